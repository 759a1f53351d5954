"""Take measurements in turn; print a table of medians and spread, and write the medians as flat JSON.

The name of a row ends in its unit, and so does its key in JSON: "small, char: ours, tokens/s" becomes
`small_char_ours_tokens_per_s`.
"""

import math
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.files import write_json

Figures = dict[str, float | None]
Result = TypeVar("Result")

WIDTH = 66  # characters of a row's name


@dataclass(frozen=True)
class Options:
    """Options of most benchmarks."""

    rounds: int = 5
    """measurements of each variant, taken in turn"""
    json: Path | None = None
    """write the numbers as one flat JSON object to this file"""


@dataclass(frozen=True)
class FolderOptions(Options):
    """Options of benchmarks that keep files."""

    folder: Path = Path("out/benchmarks")
    """where texts, corpora, tokenizers and runs are kept for the next time"""


@contextmanager
def table(json: Path | None) -> Iterator[Figures]:
    """Print the header of a table, yield the figures for `row` to fill, and write them to `json`."""
    print(f"{'':{WIDTH}}{'median':>10}{'lowest':>10}{'highest':>10}", flush=True)
    figures: Figures = {}
    yield figures
    if json:
        write_json(json, figures)


def in_turn(
    ways: Mapping[str, Callable[[], Result]], rounds: int, warm_up: int = 0
) -> dict[str, list[Result]]:
    """The results of each way, one per round; the `warm_up` rounds before the first do not count."""
    results: dict[str, list[Result]] = {name: [] for name in ways}
    for number in range(-warm_up, rounds):
        for name, way in ways.items():
            result = way()
            if number >= 0:
                results[name].append(result)
    return results


def seconds(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def ratios(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Each value divided by the reference of the same round."""
    return [value / other for value, other in zip(values, reference, strict=True)]


def number(value: float | None) -> str:
    """Format a number with three significant digits, or with all its digits before the point."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def figure_name(name: str) -> str:
    """Convert the name of a row to a key: lower case, words joined by underscores."""
    return re.sub(r"\W+", "_", re.sub(r"/s\b", " per s", name).lower()).strip("_")


def row(figures: Figures, name: str, *values: float) -> None:
    """Print a row and store its median; a single value has no spread."""
    median = statistics.median(values)
    spread = (min(values), max(values)) if len(values) > 1 else ()
    print(f"{name:{WIDTH}}" + "".join(f"{number(value):>10}" for value in (median, *spread)), flush=True)
    figures[figure_name(name)] = median


def compare(
    figures: Figures, subject: str, unit: str, measured: Mapping[str, Sequence[float]], scale: float = 1.0
) -> None:
    """Print the measurements times `scale`, and their ratios to the first way, round by round."""
    for name, values in measured.items():
        row(figures, f"{subject}: {name}, {unit}", *(scale * value for value in values))
    reference, *others = measured.items()
    for name, values in others:
        row(figures, f"{subject}: {name}, ratio", *ratios(values, reference[1]))
