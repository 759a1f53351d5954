"""--help: how a command is called, and every option in plain words."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from common.help import help_text
from common.options import field_docs, in_words, sections_of

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Oven:
    """Where it is baked."""

    degrees: float = 200.0
    """temperature in degrees Celsius"""
    grill: bool = False
    """heat from above, 100 % of it"""


@dataclass(frozen=True)
class Layer:
    """A layer."""

    filling: str = "jam"
    """what is on it"""
    oven: Oven = field(default_factory=Oven)
    """where this layer is baked"""


@dataclass(frozen=True)
class Food:
    """Anything to eat."""

    eggs: int | None = None
    """number of eggs (default: as many as there are)"""


@dataclass(frozen=True, kw_only=True)
class Cake(Food):
    """A cake.

    In more words.
    """

    size: Literal["small", "large"] = "small"
    """how many it feeds"""
    name: str
    """what it is called,
    such as lemon"""
    oven: Oven = field(default_factory=Oven)
    """where it is baked"""
    layers: dict[str, Layer] = field(default_factory=dict)
    """layers by name"""
    no_words: list[int] = field(default_factory=lambda: [1, 2])


@dataclass(frozen=True)
class Delivery:
    """How it is delivered."""

    by_bike: bool = False
    """by bicycle"""


@dataclass(frozen=True, kw_only=True)
class Menu:
    """A menu, of which a file is the usual form."""

    main: Oven
    """what is baked"""


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def test_the_docstring_below_a_field_explains_it_also_where_it_is_inherited() -> None:
    assert field_docs(Cake) == {
        "eggs": "number of eggs (default: as many as there are)",
        "size": "how many it feeds",
        "name": "what it is called, such as lemon",
        "oven": "where it is baked",
        "layers": "layers by name",
        "no_words": "",
    }


def test_what_is_required_comes_first_and_what_is_inherited_last() -> None:
    top, *below = sections_of(Cake)
    assert [option.path for option in top.options] == ["name", "size", "layers", "no_words", "eggs"]
    assert [option.default for option in top.options] == ["", "small", "{}", "[1, 2]", ""]
    assert [section.path for section in below] == ["oven", "layers.NAME", "layers.NAME.oven"]
    assert below[-1].options[0].path == "layers.NAME.oven.degrees"


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number"),
        (bool, "true or false"),
        (Literal["a", "b", "c"], "a, b or c"),
        (int | Literal["auto"], "a whole number or auto"),
        (bool | Literal["auto"], "true, false or auto"),
        (list[float], "a list of numbers"),
        (list[str | dict[str, str]], "a list, each item text or a mapping"),
        (Oven, "keys (degrees, grill)"),
        (Oven | None, "keys (degrees, grill)"),
        (dict[str, Oven], "sections, each with a name of its own"),
    ],
)
def test_a_type_is_said_in_words(hint: object, words: str) -> None:
    assert in_words(hint) == words


@pytest.mark.usefixtures("narrow")
def test_help_of_a_small_command_explains_everything_at_once() -> None:
    assert (
        help_text("bake", "Bake a cake.", [Cake, Delivery])
        == """\
usage: bake --name TEXT [options]

Bake a cake.

How it is delivered:
  --by-bike true|false    by bicycle (default: false)

options:
  --name TEXT             what it is called, such as lemon
  --size small|large      how many it feeds (default: small)
  --layers {...}          layers by name (default: {})
  --no_words [...]        (default: [1, 2])
  --eggs N                number of eggs (default: as many as there are)

oven: where it is baked:
  --oven.degrees X        temperature in degrees Celsius (default: 200)
  --oven.grill true|false
                          heat from above, 100 % of it (default: false)

layers.NAME: layers by name:
  filling: TEXT           what is on it (default: jam)

layers.NAME.oven: where this layer is baked:
  degrees: X              temperature in degrees Celsius (default: 200)
  grill: true|false       heat from above, 100 % of it (default: false)

always:
  --debug                 show the traceback of an error
"""
    )


def test_a_section_is_explained_by_its_name() -> None:
    text = help_text("bake", "Bake a cake.", [Cake], "layers")
    assert "filling: TEXT" in text and "where this layer is baked" in text and "--name" not in text
    with pytest.raises(ValueError, match=r"--help ofen: no section has this name \(did you mean 'oven'\?\)"):
        help_text("bake", "Bake a cake.", [Cake], "ofen")
    with pytest.raises(ValueError, match=r"--help xyz: no section has this name \(known: oven, layers\)"):
        help_text("bake", "Bake a cake.", [Cake], "xyz")


def test_what_has_a_required_section_is_called_with_a_file() -> None:
    assert help_text("serve", "Serve.", [Menu]).startswith("usage: serve FILE [options]\n")


# ---- the real programs


@pytest.fixture(scope="module")
def help_of() -> Callable[..., str]:
    """A function that gives the help of one of our programs on a terminal of 80 columns."""

    def help_of(*words: str) -> str:
        command = [sys.executable, *words]
        env = {"COLUMNS": "80", "PATH": ""}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    return help_of


def test_the_first_help_fits_a_screen(help_of: Callable[..., str]) -> None:
    lines = help_of("compare.py", "--help").splitlines()
    assert lines[0] == "usage: compare.py run FILE [options]"
    assert len(lines) <= 24 and max(map(len, lines)) <= 80


def test_the_help_of_a_command_names_it_and_lists_the_sections(help_of: Callable[..., str]) -> None:
    text = help_of("compare.py", "run", "--help")
    assert text.startswith("usage: compare.py run FILE [options]\n")
    assert max(map(len, text.splitlines())) <= 80 and len(text.splitlines()) < 120
    for section in ("models", "corpus", "evaluate", "execution", "checkpoints", "tracking"):
        assert f"\n  {section}  " in text
    assert "--execution.device" not in text
    assert "--execution.device auto|cpu|cuda" in help_of("compare.py", "run", "--help", "execution")


def test_the_help_of_a_module_names_it(help_of: Callable[..., str]) -> None:
    text = help_of("-m", "data_prep.encode", "--help")
    assert text.startswith(
        "usage: python -m data_prep.encode --corpus PATH --tokenizer PATH --out PATH [options]"
    )
