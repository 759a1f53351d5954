"""Options, one-line errors and exit codes, the same in every command of Codebook.

1) options are the fields of a frozen dataclass: from a YAML file, from `--field value`, the latter wins;
   `--field` alone is `--field true`, and `--my-field` is `--my_field`
2) a ValueError or OSError is the user's to mend: one line, exit code 2
3) a `Failed` is a run's: one line that says all, exit code 1
4) any other exception is a failure of ours: one line, exit code 1
5) a traceback is shown only with `--debug`
"""

import argparse
import dataclasses
import difflib
import inspect
import re
import sys
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import jsonargparse
import yaml
from tqdm import tqdm

from .errors import Failed

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

Config = TypeVar("Config")
Command = Callable[..., int | None]


def run_command(
    main: Callable[[Config], int | None],
    config_type: type[Config],
    about: str,
    end: Callable[[int], NoReturn] = sys.exit,
) -> NoReturn:
    """Parse the command line into `config_type`, call `main` with it, and `end` with the right exit code.

    The YAML file may be given first, by itself, or as `--config FILE`.
    """
    end(_exit_code(lambda: main(parse(config_type, sys.argv[1:], about))))


def run_commands(commands: list[Command], about: str) -> NoReturn:
    """As `run_command`, for a program whose first argument is the name of a command; without one, the first.

    A command is a function: its parameters' types are its configuration and, if it has a second one, its own
    options, which no file may hold; the first line of its docstring is what --help says of it.
    """

    def main() -> int | None:
        command, arguments = pick_command(commands, sys.argv[1:], about)
        return command(*parse_all(types_of(command), arguments, f"{command.__name__}: {_summary(command)}"))

    sys.exit(_exit_code(main))


def types_of(command: Command) -> list[type]:
    """The types of a command's parameters."""
    hints = typing.get_type_hints(command)
    return [hints[name] for name in inspect.signature(command).parameters]


def pick_command(commands: list[Command], arguments: list[str], about: str) -> tuple[Command, list[str]]:
    """The command that is asked for, and its arguments."""
    named = {command.__name__: command for command in commands}
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        print(f"usage: {Path(sys.argv[0]).name} [{'|'.join(named)}] FILE [--option value ...]\n\n{about}\n")
        print("\n".join(f"  {name:8}{_summary(command)}" for name, command in named.items()))
        print(f"\nCOMMAND --help lists the options; without a command it does {next(iter(named))}.")
        sys.exit(0)
    if first in named:
        return named[first], arguments[1:]
    if first.startswith("-") or Path(first).suffix or Path(first).exists():
        return commands[0], arguments
    near = difflib.get_close_matches(first, named, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(named)}"
    raise ValueError(f"no command and no file '{first}' ({hint})")


def _summary(command: Command) -> str:
    return (inspect.getdoc(command) or "").partition("\n")[0]


def _exit_code(action: Callable[[], int | None]) -> int:
    """Run an action, say in one line what it raises, and return the exit code."""
    debug = "--debug" in sys.argv
    try:
        return action() or 0
    except KeyboardInterrupt:
        return _report("interrupted; the same command resumes", 130, debug)
    except (ValueError, OSError) as error:
        return _report(_one_line(error), 2, debug)
    except Failed as error:
        return _report(_one_line(error), 1, debug)
    except Exception as error:
        hint = "" if debug else " (--debug shows where)"
        return _report(f"{type(error).__name__}: {_one_line(error)}{hint}", 1, debug)


def log(line: str) -> None:
    """Print a line at once, above the progress bar where there is one."""
    tqdm.write(line)
    sys.stdout.flush()


def parse(config_type: type[Config], arguments: list[str], about: str = "") -> Config:
    """A `config_type` from a YAML file and options.

    Raises:
        ValueError: an option, a key or a value that is not right; names the nearest known key.
    """
    return parse_all([config_type], arguments, about)[0]


def parse_all(types: list[type], arguments: list[str], about: str) -> list[Any]:
    """One object of each of `types` from the same options; a YAML file may hold those of the first alone.

    Raises:
        ValueError: as `parse`.
    """
    parser = jsonargparse.ArgumentParser(description=about, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file with the options below")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    for each in types:
        parser.add_class_arguments(each, None)
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]
    names: dict[str, str] = {}
    for each in types:
        names |= _names(each)
    arguments = [_underscored(word, names) for word in arguments]
    switches, following = [s for each in types for s in _switches(each)], [*arguments[1:], "--"]
    given = [
        f"{option}=true" if option in switches and after.startswith("--") else option
        for option, after in zip(arguments, following, strict=False)
    ]
    file = _config_file(arguments)
    if file and not Path(file).is_file():
        raise ValueError(f"{file} is not a file")
    _refuse_in_file(file, [f.name for own in types[1:] for f in dataclasses.fields(own)])
    try:
        options = parser.instantiate(parser.parse_args(given))
    except (argparse.ArgumentError, jsonargparse.ArgumentError, UnicodeDecodeError) as error:
        message = _explain(str(error), names)
        if missing := re.search(r"arguments are required: (.*)", message):
            where = f"{file}: " if file else ""
            message = f"{where}missing: {missing[1]}; give a YAML file that has them, or options (see --help)"
        if re.match("Problems parsing config|Unexpected config|'utf-8' codec", message):
            message = f"{file} is not a valid configuration: {message}"
        elif message.startswith("Option "):  # a key; an option of the command line begins with --
            message = f"{file}: {message}"
        raise ValueError(message) from error
    return [each(**{f.name: options[f.name] for f in dataclasses.fields(each)}) for each in types]


def _refuse_in_file(path: str | None, names: list[str]) -> None:
    """Refuse a file that holds an option of the command line."""
    try:
        content = yaml.safe_load(Path(path).read_text()) if path and names else None
    except (OSError, ValueError, yaml.YAMLError):
        return  # the parser says it better
    if isinstance(content, dict) and (found := [name for name in names if name in content]):
        raise ValueError(f"{path}: '{found[0]}' does not belong in the file: give it as --{found[0]}")


class _Dumper(yaml.SafeDumper):
    """Writes paths as texts, and quotes texts such as 1e3, which jsonargparse reads as numbers."""


_NUMBER = re.compile(r"[-+]?(\d[\d_]*)?\.?\d+([eE][-+]?\d+)?")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_multi_representer(Path, lambda dumper, path: dumper.represent_str(str(path)))


def as_yaml(config: Any) -> str:
    """A configuration as the YAML text from which `parse` makes the same one."""
    return yaml.dump(dataclasses.asdict(config), Dumper=_Dumper, sort_keys=False)


def plain(config: Any) -> dict[str, Any]:
    """A configuration as dicts, lists, texts and numbers."""
    return yaml.safe_load(as_yaml(config))


def _underscored(word: str, names: dict[str, str]) -> str:
    """An option as its field is called: --dry-run is --dry_run."""
    option, equals, value = word.partition("=")
    field = option[2:].replace("-", "_")
    known = word.startswith("--") and field in names.values()
    return f"--{field}{equals}{value}" if known else word


def _config_file(arguments: list[str]) -> str | None:
    """The value of --config."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--config")
    return options.parse_known_args(arguments)[0].config


def _explain(message: str, names: dict[str, str]) -> str:
    """jsonargparse's message on one line, with the nearest known name behind an unknown one."""
    message = re.sub(r"Problem with given class_path '[^']*':\s*", "", message)
    message = re.sub(r'Parser key "[^"]*":\s*(?=Option)', "", message)
    message = re.sub(r"Expected a (?:<class '(\w+)'>|typing\.)", r"expected \1", message)
    unknown = re.search(r"ption '([^']+)'|arguments: --(\S+)", message)
    if unknown:
        name = (unknown[1] or unknown[2]).split("=")[0]
        message += f" ({_nearest(name, names, on_command_line=bool(unknown[2]))})"
    return _one_line(message)


def _nearest(name: str, names: dict[str, str], on_command_line: bool) -> str:
    """A hint at the option that was meant by an unknown name."""
    if name in names:  # known, but not there
        path = names[name]
        return f"did you mean '{path}'?" if path != name else f"'{name}' belongs at the top level"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(name.split(".")[-1], names, n=1, cutoff=0.5)
    if not near:
        return "--help lists what is known"
    # An option is written with its path; a key of a YAML file stands below its group.
    return f"did you mean '{names[near[0]] if on_command_line else near[0]}'?"


def _switches(config_type: type, prefix: str = "--") -> list[str]:
    """The options that are true or false."""
    found = []
    for name, hint in typing.get_type_hints(config_type).items():
        if hint is bool:
            found.append(prefix + name)
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found += _switches(hint, f"{prefix}{name}.")
    return found


def _names(config_type: type, prefix: str = "") -> dict[str, str]:
    """Every field below a dataclass, both by its name alone and by its path, to its path."""
    names: dict[str, str] = {}
    hints = typing.get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        names |= {name: prefix + field.name for name in (field.name, prefix + field.name)}
        inner = hints[field.name]
        for candidate in (inner, *typing.get_args(inner)):
            if isinstance(candidate, type) and dataclasses.is_dataclass(candidate):
                names = _names(candidate, f"{prefix}{field.name}.") | names
    return names


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"codebook: {message}", file=sys.stderr)
    return code
