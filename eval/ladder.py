"""The best size on a ladder of vocabularies: a parabola through bits per character over log V."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .statistics import LEVEL, interval

AROUND = 3  # rungs on each side of the lowest that are fitted; farther ones bend the curve otherwise
ENOUGH_FOR_CUBIC = 5  # rungs; it goes through four exactly
GRID = 301  # places between the ends of a ladder at which a cubic is looked at


Where = Literal["inside", "below", "above", "flat"]


@dataclass(frozen=True)
class Minimum:
    """Where a ladder has its minimum."""

    size: float
    """vocabulary size at the minimum of the fit, within the ladder"""
    size_low: float
    """lower end of its 95 % interval; the smallest rung if it lies below"""
    size_high: float
    """upper end of its 95 % interval; the largest rung if it lies above"""
    open_low: bool
    """whether that is the smallest rung, so that the best size may be smaller yet"""
    open_high: bool
    """whether that is the largest rung, so that the best size may be larger yet"""
    nearest: int
    """the measured size that is nearest"""
    rung: int
    """the measured size to take: the nearest that is not distinguishable from the best measured"""
    where: Where
    """whether the fit has its minimum inside the ladder, or falls towards an end; flat: all are alike"""


def family(tokenizer: str) -> str:
    """What differs in the size of the vocabulary alone: `bpe`, or `bpe:gpt2` where a pattern is named."""
    sized = re.fullmatch(r"(\w+)-\d+(:.*)?", tokenizer)
    return sized[1] + (sized[2] or "") if sized else tokenizer


def minima(sizes: np.ndarray, bpc: np.ndarray, samples: np.ndarray) -> tuple[float, np.ndarray]:
    """log2 V at the minimum of `bpc` (n), n at least 3; and of `samples` (resamples, n), twice as many.

    The method is the IsoFLOP parabola of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.2), as Tao et al.
    2024 (arXiv 2407.13623) use it for vocabularies, through the rung with the fewest bits and three on each
    side. Where it has no minimum within the ladder, the first return value is infinite.

    A curve is never quite a parabola, so each sample is fitted with a cubic polynomial, too: in simulations
    the interval of the parabola alone holds the true minimum in 36 to 74 of 100 cases, of both in 87 to 95.
    Samples' minima lie within the ladder, at an end of it if need be.

    Raises:
        ValueError: less than three sizes.
    """
    if len(sizes) < 3:
        raise ValueError(f"a ladder needs at least three sizes, not {len(sizes)}: add some")
    x = np.log2(sizes)
    begin = max(0, min(int(np.argmin(bpc)) - AROUND, len(x) - 2 * AROUND - 1))
    fitted = slice(begin, begin + 2 * AROUND + 1)
    middle = x[fitted].mean()
    square, slope, _ = np.polyfit(x[fitted] - middle, np.vstack([bpc, samples])[:, fitted].T, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(square > 0, middle - slope / (2 * square), np.copysign(np.inf, -slope))
    found = float(at[0]) if x[0] <= at[0] <= x[-1] else float(np.copysign(np.inf, at[0] - middle))
    parabola = cubic = np.clip(at[1:], x[0], x[-1])
    if len(x[fitted]) >= ENOUGH_FOR_CUBIC:
        grid = np.linspace(x[0], x[-1], GRID)
        powers = np.polyfit(x[fitted] - middle, samples[:, fitted].T, 3)
        cubic = grid[(np.vander(grid - middle, 4) @ powers).argmin(axis=0)]
    return found, np.concatenate([parabola, cubic])


def at_ends(x: np.ndarray, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which minima of samples lie at the smallest rung, and which at the largest: they may lie beyond it.

    `x` is log2 of the sizes, `resampled` what `minima` returns of the samples.
    """
    return resampled <= x[0], resampled >= x[-1]


def open_end(outside: np.ndarray) -> bool:
    """Whether so many samples lie outside that an end of their 95 % interval does."""
    return bool(outside.mean() > (1 - LEVEL) / 2)


def find_minimum(sizes: np.ndarray, bpc: np.ndarray, samples: np.ndarray) -> Minimum:
    """The minimum of a ladder; arguments and errors as for `minima`, sizes in rising order."""
    x = np.log2(sizes)
    at, resampled = minima(sizes, bpc, samples)
    low, high = interval(resampled)
    below, above = at_ends(x, resampled)
    where: Where = "inside" if np.isfinite(at) else "below" if at < 0 else "above"
    if np.ptp(bpc) == 0:  # rounding would decide
        at, where = -np.inf, "flat"
        low, high, below, above = x[0], x[-1], np.ones(1), np.ones(1)
    clipped = float(np.clip(at, x[0], x[-1]))
    away = np.abs(x - clipped)
    worse, _ = interval(samples - samples[:, [np.argmin(bpc)]])
    return Minimum(
        size=2**clipped,
        size_low=float(2**low),
        size_high=float(2**high),
        open_low=open_end(below),
        open_high=open_end(above),
        nearest=int(sizes[np.argmin(away)]),
        rung=int(sizes[np.argmin(np.where(worse > 0, np.inf, away))]),
        where=where,
    )
