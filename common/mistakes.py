"""What is wrong with a configuration file or an option, in plain words."""

import dataclasses
import difflib
import re
import typing
from pathlib import Path
from typing import Any

import yaml

from .options import alternatives, in_words, is_optional, known_names, section_of, sections_of


class MissingOptions(ValueError):
    """Required options were not given."""


def check_file(file: str, types: list[type]) -> None:
    """Check that a YAML file holds known keys alone; their values are not looked at.

    Args:
        types: the dataclasses of a command's options; a file may hold those of the first.

    Raises:
        ValueError: it does not; names the key, and the nearest known one.
    """
    content = _read_file(file)
    if own := [f.name for each in types[1:] for f in dataclasses.fields(each) if f.name in content]:
        raise ValueError(f"{file}: '{own[0]}' does not belong in the file: give it as --{own[0]}")
    _check_keys(file, content, types[0], known_names(*types))


def _read_file(file: str) -> dict[str, Any]:
    """The content of a YAML file.

    Raises:
        ValueError: there is no such file, or it does not hold keys and values in YAML.
    """
    if not Path(file).is_file():
        raise ValueError(f"{file} is not a file")
    try:
        content = yaml.load(Path(file).read_text(), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = getattr(error, "problem", None) or one_line(error)
        raise ValueError(f"{file} is not valid YAML: {where}{problem}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} is not a configuration: it must hold keys and values, such as name: demo")
    return content


def _check_keys(file: str, content: dict, config: type, names: dict[str, str], path: str = "") -> None:
    """Check a section of a file, `path` with a dot behind it."""
    hints = typing.get_type_hints(config)
    for key, value in content.items():
        key = str(key)
        if key not in hints:
            if key in names and "." in key:  # the path of an option, as on the command line
                continue
            raise ValueError(f"{file}: unknown key '{path}{key}' ({_nearest(key, names, here=[*hints])})")
        inner, of_many = section_of(hints[key])
        if inner is None:
            continue
        sections, expected = {f"{path}{key}": value}, hints[key]
        if of_many and isinstance(value, dict):
            sections, expected = {f"{path}{key}.{name}": each for name, each in value.items()}, inner
        for where, section in sections.items():
            if isinstance(section, dict):
                _check_keys(file, section, inner, names, f"{where}.")
            elif of_many and isinstance(section, str) and str in alternatives(typing.get_args(hints[key])[1]):
                continue  # the short form of a section
            elif not is_optional(hints[key]):
                raise ValueError(f"{file}: {where}: expected {in_words(expected)}, not {_shown(section)}")


def _shown(value: object) -> str:
    return "nothing" if value is None else f"'{value}'"


def explain(message: str, arguments: list[str], file: str | None, types: list[type]) -> ValueError:
    """jsonargparse's message about arguments, some of them from a file, as an error in plain words."""
    message = about_section(message)
    if unknown := re.search(r"arguments: (\S+)", message):
        option = unknown[1].partition("=")[0]
        if not option.startswith("--"):
            return ValueError(f"'{option}' is not an option (--help lists the options)")
        hint = _nearest(option[2:], known_names(*types), on_command_line=True)
        return ValueError(f"unknown option {option} ({hint})")
    if without_value := re.match(r"argument (\S+): expected .* argument", message):
        return ValueError(f"{without_value[1]} needs a value")
    prefix = f"{file}: " if file else ""
    if missing := re.search(r"arguments are required: (.*)", message):
        return MissingOptions(f"{prefix}missing: {missing[1]}")
    if section := re.search(r'"([^"]*)": Unable to load config', message):
        return ValueError(
            f"--{section[1]} is not an option: give its keys, as --{section[1]}.KEY (see --help)"
        )
    path = ".".join(re.findall(r'Parser key "([^"]*)":', message))
    if any(word.partition("=")[0] == f"--{path}" for word in arguments):
        prefix = ""
    sections = [section for each in types for section in sections_of(each)]
    hints = {option.path.replace(".NAME", ""): option.hint for each in sections for option in each.options}
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    if value and path in hints:
        return ValueError(f"{prefix}{path}: expected {in_words(hints[path])}, not '{value[1]}'")
    return ValueError(prefix + one_line(re.sub(r"Problem with given class_path '[^']*':\s*", "", message)))


def about_section(message: str) -> str:
    """jsonargparse's message about a section with a short form; only what is wrong with the section."""
    union = r"Does not validate against any of the Union subtypes\n.*?- Expected a <class 'str'>\n *- "
    return re.sub(rf"{union}(.*?)\n *Given value type.*", r"\1", message, flags=re.DOTALL)


def _nearest(
    name: str, names: dict[str, str], on_command_line: bool = False, here: list[str] | None = None
) -> str:
    """A hint at the option that was meant by an unknown name; `here` are the names in the same section."""
    if name in names:  # known, but not there
        path = names[name]
        return f"did you mean '{path}'?" if path != name else f"'{name}' belongs at the top level"
    near = difflib.get_close_matches(name, here or [], n=1)
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    near = near or difflib.get_close_matches(name.split(".")[-1], names, n=1, cutoff=0.5)
    if not near:
        return "--help lists what is known"
    # An option is written with its path; a key of a YAML file stands below its group.
    return f"did you mean '{names[near[0]] if on_command_line else near[0]}'?"


def one_line(error: object) -> str:
    """An error's message without line ends."""
    return " ".join(str(error).split())
