"""Options, one-line errors and exit codes, the same in every command of Codebook.

1) options are the fields of a frozen dataclass; they come from a YAML file or from `--field value`,
   which wins; `--field` alone is `--field true`, and `--my-field` is `--my_field`
2) a ValueError or OSError can be put right by the user: one line, exit code 2
3) a `Failed` is a run that cannot continue: one line, exit code 1
4) any other exception is an error of Codebook's: one line, exit code 1
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
from .help import example_of, help_text
from .mistakes import MissingOptions, about_section, check_file, explain, one_line
from .options import known_names

Config = TypeVar("Config")
Command = Callable[..., int | None]
EXAMPLE_FILE = "configs/shakespeare.yaml"  # of a program with several commands: their files are comparisons


def run_command(
    main: Callable[[Config], int | None],
    config_type: type[Config],
    about: str,
    end: Callable[[int], NoReturn] = sys.exit,
) -> NoReturn:
    """Parse the command line into `config_type`, call `main` with it, and `end` with the right exit code.

    The YAML file may be given first, by itself, or as `--config FILE`.
    """
    end(_exit_code(lambda: main(*_options(_program(), about, [config_type], sys.argv[1:]))))


def run_commands(commands: list[Command], about: str) -> NoReturn:
    """As `run_command`, for a program whose first argument names a command; without one it is the first.

    A command is a function. The types of its parameters are its configuration and, if it has a second one,
    its own options, which no file may hold. The first line of its docstring is its help.
    """

    def main() -> int | None:
        command, arguments = pick_command(commands, sys.argv[1:], about)
        program = f"{_program()} {command.__name__}"
        return command(*_options(program, _summary(command), types_of(command), arguments, EXAMPLE_FILE))

    sys.exit(_exit_code(main))


def types_of(command: Command) -> list[type]:
    """The types of a command's parameters."""
    hints = typing.get_type_hints(command)
    return [hints[name] for name in inspect.signature(command).parameters]


def pick_command(commands: list[Command], arguments: list[str], about: str) -> tuple[Command, list[str]]:
    """The command that the arguments name, and the arguments after its name.

    Raises:
        ValueError: they name neither a command nor a file.
    """
    named = {command.__name__: command for command in commands}
    program, default = _program(), commands[0].__name__
    trial = f"{program} {default} {EXAMPLE_FILE}"
    if not arguments:
        raise ValueError(f"no command and no file; for example: {trial} (--help lists the commands)")
    first = arguments[0]
    if first in ("-h", "--help"):
        print(f"usage: {program} {default} FILE [options]\n\n{about}\n")
        print("\n".join(f"  {name:8}{_summary(command)}" for name, command in named.items()))
        print(f"\nexample:  {trial}\noptions:  {program} {default} --help")
        sys.exit(0)
    if first in named:
        return named[first], arguments[1:]
    if first.startswith("-") or Path(first).suffix or Path(first).exists():
        return commands[0], arguments
    near = difflib.get_close_matches(first, named, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(named)}"
    raise ValueError(f"'{first}' is neither a command nor a file ({hint})")


def _summary(command: Command) -> str:
    return (inspect.getdoc(command) or "").partition("\n")[0]


def _program() -> str:
    """This program as it is called: compare.py, or python -m eval.report."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name.removesuffix('.__main__')}" if spec else Path(sys.argv[0]).name


def _options(program: str, about: str, types: list[type], words: list[str], file: str = "FILE") -> list[Any]:
    """The options of a command, as `parse_all`; --help prints its help and ends the program."""
    for place, word in enumerate(words):
        if word in ("-h", "--help"):
            topic = "".join(words[place + 1 : place + 2])
            print(help_text(program, about, types, topic), end="")
            sys.exit(0)
    try:
        return parse_all(types, words)
    except MissingOptions as error:
        call = f"{program} {example_of(types[0], file)}"
        raise ValueError(f"{error}; for example: {call} (--help lists all options)") from error


def _exit_code(action: Callable[[], int | None]) -> int:
    """Run an action, say in one line what it raises, and return the exit code."""
    debug = "--debug" in sys.argv
    try:
        return action() or 0
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)  # erase the ^C that the terminal printed
        return _report("interrupted; the same command resumes", 130, debug)
    except (ValueError, OSError) as error:
        return _report(one_line(error), 2, debug)
    except Failed as error:
        return _report(one_line(error), 1, debug)
    except Exception as error:
        hint = "" if debug else " (--debug shows where)"
        return _report(f"{type(error).__name__}: {one_line(error)}{hint}", 1, debug)


def log(line: str) -> None:
    """Print a line at once, above the progress bar where there is one."""
    tqdm.write(line)
    sys.stdout.flush()


def parse(config_type: type[Config], arguments: list[str]) -> Config:
    """A `config_type` from a YAML file and options.

    Raises:
        ValueError: an option, a key or a value that is not right; names the nearest known key.
    """
    return parse_all([config_type], arguments)[0]


def parse_all(types: list[type], arguments: list[str]) -> list[Any]:
    """One object of each of `types` from the same options; a YAML file may hold those of the first alone.

    Raises:
        ValueError: as `parse`.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--debug", action="store_true")
    for each in types:
        parser.add_class_arguments(each, None)
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]
    names = known_names(*types)
    arguments = [_underscored(word, names) for word in arguments]
    switches, following = [s for each in types for s in _switches(each)], [*arguments[1:], "--"]
    given = [
        f"{option}=true" if option in switches and after.startswith("--") else option
        for option, after in zip(arguments, following, strict=False)
    ]
    file = None
    try:
        if file := _config_file(arguments):
            check_file(file, types)
        options = parser.instantiate(parser.parse_args(given))
    except (argparse.ArgumentError, jsonargparse.ArgumentError) as error:
        raise explain(str(error), arguments, file, types) from error
    except ValueError as error:
        raise ValueError(about_section(str(error))) from error
    return [each(**{f.name: options[f.name] for f in dataclasses.fields(each)}) for each in types]


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
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    options.add_argument("--config")
    return options.parse_known_args(arguments)[0].config


def _switches(config_type: type, prefix: str = "--") -> list[str]:
    """The options that are true or false."""
    found = []
    for name, hint in typing.get_type_hints(config_type).items():
        if hint is bool:
            found.append(prefix + name)
        elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
            found += _switches(hint, f"{prefix}{name}.")
    return found


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"codebook: {message}", file=sys.stderr)
    return code
