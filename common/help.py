"""The text of --help."""

import argparse
import difflib
import re
import shutil
import textwrap
from functools import partial
from typing import Any

from .options import Option, Section, sections_of

MANY = 25  # options; where there are more, optional sections are explained on demand


class Formatter(argparse.HelpFormatter):
    """Breaks lines between words only, so that bpe-2048 stays whole."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def help_text(program: str, about: str, types: list[type], topic: str = "") -> str:
    """The help of a command, or of one of its sections.

    Args:
        program: the command as it is called, such as "compare.py run".
        about: a sentence that says what it does.
        types: the dataclasses of its options; a YAML file may hold those of the first.
        topic: the section to explain; "all" for all of them.

    Raises:
        ValueError: there is no section of that name.
    """
    top, *sections = sections_of(types[0])
    if topic and topic != "all":
        return _topic_text(program, topic, sections)
    parser = _parser(f"{program} {usage(types[0])}", about)
    for own in types[1:]:
        _add_options(parser, sections_of(own)[0], dashed=True)
    _add_options(
        parser, top, "keys of FILE, each of them also an option" if _takes_file(types[0]) else "options"
    )
    brief = sum(len(section.options) for section in [top, *sections]) > MANY and not topic
    for section in sections:
        if section.required or not brief:
            _add_options(parser, section)
    if brief:
        group = parser.add_argument_group(f"more keys, explained by `{program} --help SECTION`")
        for section in sections:
            if not section.required and _is_outermost(section, sections):
                _add(group, _name(section), f"{section.meaning}: {', '.join(section.fields)}")
        _add(group, "all", "all of them")
    _add(parser.add_argument_group("always"), "--debug", "show the traceback of an error")
    return parser.format_help()


def usage(config: type) -> str:
    """The arguments of a command as its usage line shows them."""
    required = [f"--{option.path} {option.value}" for option in _required(config)]
    return "FILE [options]" if _takes_file(config) else " ".join([*required, "[options]"])


def example_of(config: type, file: str) -> str:
    """Arguments that a command can be called with: a file, or the required options with examples' values."""
    found = {option: re.search(r"such as (\S+)", option.meaning) for option in _required(config)}
    words = [f"--{option.path} {match[1] if match else option.value}" for option, match in found.items()]
    return file if _takes_file(config) else " ".join(words)


def _required(config: type) -> list[Option]:
    return [option for option in sections_of(config)[0].options if option.required]


def _takes_file(config: type) -> bool:
    """Whether the options are so many that a file is the usual way to give them: a section is required."""
    return any(section.required for section in sections_of(config)[1:])


def _topic_text(program: str, topic: str, sections: list[Section]) -> str:
    found = [s for s in sections if f"{_name(s)}.".startswith(f"{topic}.")]
    if not found:
        names = [_name(section) for section in sections]
        near = difflib.get_close_matches(topic, names, n=1)
        outermost = ", ".join(_name(section) for section in sections if _is_outermost(section, sections))
        hint = f"did you mean '{near[0]}'?" if near else f"known: {outermost}"
        raise ValueError(f"--help {topic}: no section has this name ({hint})")
    parser = _parser(f"{program} FILE [options]", "")
    for section in found:
        _add_options(parser, section)
    return parser.format_help()


def _name(section: Section) -> str:
    """A section as `--help SECTION` calls it: models.NAME.model is models.model."""
    return section.path.replace(".NAME", "")


def _is_outermost(section: Section, sections: list[Section]) -> bool:
    return not any(section.path.startswith(f"{other.path}.") for other in sections)


def _parser(usage: str, about: str) -> argparse.ArgumentParser:
    """A parser that only prints: argparse breaks lines as wide as the terminal is."""
    return argparse.ArgumentParser(
        usage=usage,
        description=about or None,
        add_help=False,
        formatter_class=partial(Formatter, max_help_position=26),
    )


def _add_options(
    parser: argparse.ArgumentParser, section: Section, title: str = "", dashed: bool = False
) -> None:
    name = section.path and f"{section.path}: "
    title = title or f"{name}{section.meaning}".rstrip(".")
    # argparse breaks all lines but these
    group = parser.add_argument_group(textwrap.fill(title, shutil.get_terminal_size().columns - 2))
    for option in section.options:
        meaning = f"{option.meaning} (default: {option.default})" if option.default else option.meaning
        if "NAME" in option.path:  # a name of the user's stands in a file, not on the command line
            _add(group, f"{option.path.split('.')[-1]}: {option.value}", meaning.strip())
        else:
            path = option.path.replace("_", "-") if dashed else option.path
            _add(group, f"--{path} {option.value}", meaning.strip())


def _add(group: argparse._ArgumentGroup, invocation: str, meaning: str) -> None:
    option, _, value = invocation.partition(" ")
    help = meaning.replace("%", "%%")
    if option.startswith("--"):
        kinds: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
        group.add_argument(option, help=help, **kinds)
    else:
        group.add_argument(invocation.replace(" ", "_"), metavar=invocation, help=help)
