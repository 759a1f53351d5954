"""The options that a dataclass declares, in plain words, for help, errors and the reference."""

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import types
import typing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

WORDS = {int: "a whole number", float: "a number", str: "text", Path: "a path"}
SHORT = {bool: "true|false", int: "N", float: "X", str: "TEXT", Path: "PATH"}
MISSING = dataclasses.MISSING


@dataclass(frozen=True)
class Option:
    """A field of a configuration that holds a value."""

    path: str
    """its name below all sections, such as execution.device"""
    hint: Any
    """its type"""
    required: bool
    default: str
    """the default as it is written in YAML; empty where there is none, or where `meaning` says it"""
    meaning: str
    """its docstring"""

    @property
    def type(self) -> str:
        """Its type in words, such as "a whole number"."""
        return in_words(self.hint)

    @property
    def value(self) -> str:
        """A short word for its value, such as N."""
        return _in_short(self.hint)


@dataclass(frozen=True)
class Section:
    """A dataclass of options, and where it stands."""

    path: str
    """its name below all other sections; empty at the top level"""
    required: bool
    meaning: str
    """the docstring of its field; at the top level that of the class"""
    options: list[Option]
    """options with a value, the required ones first, then those of the class before inherited ones"""
    fields: list[str]
    """the names of all its fields, sections included"""


def sections_of(config: type, path: str = "", required: bool = True, meaning: str = "") -> list[Section]:
    """A configuration's sections: the top level first, then those that are required."""
    hints, docs = typing.get_type_hints(config), field_docs(config)
    options, below = [], []
    for each in _in_order(config):
        hint, name = hints[each.name], f"{path}{each.name}"
        must = each.default is MISSING and each.default_factory is MISSING
        inner, of_many = section_of(hint)
        if inner and not is_optional(hint):
            where = f"{name}.NAME." if of_many else f"{name}."
            below.append(sections_of(inner, where, must and not of_many, docs[each.name]))
        if not inner or of_many or is_optional(hint):
            options.append(Option(name, hint, must, _default(each, docs[each.name]), docs[each.name]))
    fields = [each.name for each in _in_order(config)]
    own = Section(path.rstrip("."), required, meaning or _first_line(config), options, fields)
    below.sort(key=lambda sections: not sections[0].required)
    return [own, *itertools.chain(*below)]


@cache
def field_docs(config: type) -> dict[str, str]:
    """The docstring below each field of a dataclass, on one line; empty where a field has none."""
    docs = {field.name: "" for field in dataclasses.fields(config)}
    for base in reversed([base for base in config.__mro__ if dataclasses.is_dataclass(base)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                text = ast.literal_eval(after.value)
                docs[ast.unparse(field.target)] = " ".join(text.split())
    return docs


def known_names(*configs: type, prefix: str = "") -> dict[str, str]:
    """Every field below dataclasses, both by its name alone and by its path, to its path."""
    names: dict[str, str] = {}
    for config in configs:
        hints = typing.get_type_hints(config)
        for field in dataclasses.fields(config):
            names |= {name: prefix + field.name for name in (field.name, prefix + field.name)}
            below = known_names(*_dataclasses_in(hints[field.name]), prefix=f"{prefix}{field.name}.")
            names = below | names
    return names


def in_words(hint: Any) -> str:
    """A type in words, such as "a whole number" or "auto, cpu or cuda"."""
    inner, of_many = section_of(hint)
    if inner:
        keys = ", ".join(field.name for field in dataclasses.fields(inner))
        return "sections, each with a name of its own" if of_many else f"keys ({keys})"
    words = []
    for each in alternatives(hint):
        if typing.get_origin(each) is list:
            (of,) = typing.get_args(each)
            simple = of in (int, float, Path)
            words.append(f"a list of {WORDS[of][2:]}s" if simple else f"a list, each item {in_words(of)}")
        elif each is bool:
            words += ["true", "false"]
        else:
            words += [str(value) for value in _values(each)] or [WORDS.get(each, "a mapping")]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def is_optional(hint: Any) -> bool:
    """Whether a type allows null."""
    return type(None) in typing.get_args(hint)


def _in_short(hint: Any) -> str:
    words = []
    for each in alternatives(hint):
        if _values(each):
            words += [str(value) for value in _values(each)]
        else:
            words.append(SHORT.get(each, "[...]" if typing.get_origin(each) is list else "{...}"))
    return "|".join(words)


def alternatives(hint: Any) -> list[Any]:
    """The members of a union but for None; any other type alone."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [each for each in typing.get_args(hint) if each is not type(None)] if union else [hint]


def _values(hint: Any) -> tuple:
    """The values of a Literal."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else ()


def section_of(hint: Any) -> tuple[type | None, bool]:
    """The dataclass of a field that is a section, and whether it has many of them, each with a name."""
    found = _dataclasses_in(hint)
    return (found[0], typing.get_origin(hint) is dict) if found else (None, False)


def _dataclasses_in(hint: Any) -> list[type]:
    candidates = [hint, *itertools.chain.from_iterable(map(alternatives, typing.get_args(hint)))]
    return [each for each in candidates if isinstance(each, type) and dataclasses.is_dataclass(each)]


def _in_order(config: type) -> list[dataclasses.Field]:
    own = inspect.get_annotations(config)

    def place(field: dataclasses.Field) -> tuple[bool, bool]:
        optional = field.default is not MISSING or field.default_factory is not MISSING
        return optional, field.name not in own

    return sorted(dataclasses.fields(config), key=place)


def _default(field: dataclasses.Field, meaning: str) -> str:
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if value in (MISSING, None, "") or re.search(r"\(default: ", meaning):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_line(config: type) -> str:
    return (inspect.getdoc(config) or "").partition("\n")[0]
