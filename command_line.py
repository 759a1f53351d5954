"""What every command of Codebook does alike: typed options, one-line errors, exit codes.

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
import re
import sys
import traceback
import typing
from collections.abc import Callable
from typing import NoReturn, TypeVar

import jsonargparse

jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)

Config = TypeVar("Config")


class Failed(Exception):
    """A run cannot go on, and its message says why."""


def run_command(
    main: Callable[[Config], int | None],
    config_type: type[Config],
    about: str,
    end: Callable[[int], NoReturn] = sys.exit,
) -> NoReturn:
    """Parse the command line into `config_type`, call `main` with it, and `end` with the right exit code.

    The YAML file may be given first, by itself, or as `--config FILE`.
    """
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    try:
        code = main(parse(config_type, arguments, about)) or 0
    except KeyboardInterrupt:
        code = _report("interrupted; the same command goes on from here", 130, debug)
    except (ValueError, OSError) as error:
        code = _report(_one_line(error), 2, debug)
    except Failed as error:
        code = _report(_one_line(error), 1, debug)
    except Exception as error:
        hint = "" if debug else " (--debug shows where)"
        code = _report(f"{type(error).__name__}: {_one_line(error)}{hint}", 1, debug)
    end(code)


def parse(config_type: type[Config], arguments: list[str], about: str) -> Config:
    """A `config_type` from a YAML file and options.

    Raises:
        ValueError: an option, a key or a value that is not right; names the nearest known key.
    """
    parser = jsonargparse.ArgumentParser(description=about, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file with the options below")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parser.add_class_arguments(config_type, None)
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]
    arguments = [_underscored(word, config_type) for word in arguments]
    switches, following = _switches(config_type), [*arguments[1:], "--"]
    given = [
        f"{option}=true" if option in switches and after.startswith("--") else option
        for option, after in zip(arguments, following, strict=False)
    ]
    try:
        options = parser.instantiate(parser.parse_args(given))
    except (argparse.ArgumentError, jsonargparse.ArgumentError, UnicodeDecodeError) as error:
        message = _explain(str(error), config_type)
        if re.match("Problems parsing config|Unexpected config|'utf-8' codec", message):
            message = f"{_config_file(arguments)} is no configuration: {message}"
        raise ValueError(message) from error
    return config_type(**{field.name: options[field.name] for field in dataclasses.fields(config_type)})


def _underscored(word: str, config_type: type) -> str:
    """An option as its field is called: --dry-run is --dry_run."""
    option, equals, value = word.partition("=")
    field = option[2:].replace("-", "_")
    known = word.startswith("--") and field in _names(config_type).values()
    return f"--{field}{equals}{value}" if known else word


def _config_file(arguments: list[str]) -> str:
    """What stands behind --config."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--config")
    return options.parse_known_args(arguments)[0].config


def _explain(message: str, config_type: type) -> str:
    """jsonargparse's message on one line, with the nearest known name behind an unknown one."""
    message = re.sub(r"Problem with given class_path '[^']*':\s*", "", message)
    message = re.sub(r"Expected a (?:<class '(\w+)'>|typing\.)", r"expected \1", message)
    unknown = re.search(r"ption '([^']+)'|arguments: --(\S+)", message)
    if unknown:
        name = (unknown[1] or unknown[2]).split("=")[0]
        known = _names(config_type)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        near = near or difflib.get_close_matches(name.split(".")[-1], known, n=1, cutoff=0.5)
        # An option is written with its path; a key of a YAML file stands below its group.
        hint = [known[near[0]] if unknown[2] else near[0]] if near else []
        message += f" (did you mean '{hint[0]}'?)" if hint else " (--help lists what is known)"
    return _one_line(message)


def _switches(config_type: type, prefix: str = "--") -> list[str]:
    """The options that are true or false."""
    found = []
    for name, hint in typing.get_type_hints(config_type).items():
        if hint is bool:
            found.append(prefix + name)
        elif dataclasses.is_dataclass(hint):
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
            if dataclasses.is_dataclass(candidate):
                names = _names(candidate, f"{prefix}{field.name}.") | names
    return names


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"codebook: {message}", file=sys.stderr)
    return code
