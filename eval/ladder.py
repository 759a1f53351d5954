"""The best vocabulary size of a family: smooth curves through bits per character over log V.

The sizes that were measured, the rungs, form a ladder. The curve is modelled as a straight line plus a
Gaussian process, with covariance |h| ** 3.6 between values h octaves apart (a generalised covariance,
Matheron 1973, which has no length scale; |h| ** 3 gives the cubic smoothing spline of Wahba 1990). The
amount of bending is averaged out, weighted by its marginal likelihood (Rasmussen & Williams 2006, chapter
5). For each draw of the errors, a curve is drawn that passes through the bits with these errors
(conditioning by kriging, Journel 1974); its minimum within the ladder is a draw of the best size.
docs/metric.md reports the coverage of the interval.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from comparison.labels import family as family

from .statistics import LEVEL, Errors, interval, simultaneous

SMOOTHNESS = 3.6  # exponent of the covariance
BENDS = np.geomspace(0.004, 0.1, 6)  # bits / octave ** 1.8, equally likely a priori
STEPS = 16  # grid points per interval between two rungs
AROUND = 2  # rungs fitted on each side of those that may be the lowest; farther off it bends differently
FAR = 3.0  # standard errors above the lowest rung beyond which another cannot be the lowest

Where = Literal["inside", "below", "above", "flat"]


@dataclass(frozen=True)
class Minimum:
    """The minimum of a ladder."""

    rungs: list[int]
    """the measured sizes that may be the best of all measured ones"""
    size: float
    """vocabulary size at the minimum of the curve, within the ladder"""
    size_low: float
    """lower end of its 95 % interval, at least the smallest rung"""
    size_high: float
    """upper end of its 95 % interval, at most the largest rung"""
    open_low: bool
    """true if that is the smallest rung, so the best size may be smaller still"""
    open_high: bool
    """true if that is the largest rung, so the best size may be larger still"""
    where: Where
    """position of the minimum in most curves: inside the ladder or at an end of it; flat: no rung is known
    to be better than another"""


def find_minimum(sizes: np.ndarray, bpc: np.ndarray, errors: Errors) -> Minimum:
    """The minimum of a ladder; arguments and errors as for `minima`, sizes in ascending order."""
    x = np.log2(sizes)
    drawn = minima(sizes, bpc, errors)
    low, high = interval(drawn)
    below, above = at_ends(x, drawn)
    where: Where = "below" if below.mean() > 0.5 else "above" if above.mean() > 0.5 else "inside"
    point, ends = float(drawn.mean()), (open_end(below), open_end(above))
    may_be_best = bpc - bpc.min() <= simultaneous(errors, int(np.argmin(bpc)))
    if may_be_best.all() and _flat(bpc, errors.covariance):
        where, low, high, ends = "flat", x[0], x[-1], (True, True)
    return Minimum(
        rungs=[int(size) for size in sizes[may_be_best]],
        size=2**point,
        size_low=float(2**low),
        size_high=float(2**high),
        open_low=ends[0],
        open_high=ends[1],
        where=where,
    )


def minima(sizes: np.ndarray, bpc: np.ndarray, errors: Errors) -> np.ndarray:
    """Draws of log2 of the best size, (draws), one for each draw of the errors of `bpc`, (n).

    Raises:
        ValueError: fewer than three sizes.
    """
    if len(sizes) < 3:
        raise ValueError(f"a ladder needs at least three sizes, not {len(sizes)}: add some")
    fitted = _window(bpc, errors.covariance)
    x, samples = np.log2(sizes)[fitted], (bpc + errors.draws)[:, fitted]
    covariance = errors.covariance[fitted, fitted] + 1e-12 * np.eye(len(x))  # errors may be 0

    places = np.arange((len(x) - 1) * STEPS + 1)
    rungs = places[::STEPS]
    grid = np.interp(places, rungs, x)
    line = np.stack([np.ones(len(grid)), grid - grid.mean()], axis=1)
    process = _process(grid)
    values, vectors = np.linalg.eigh(process)
    root = vectors * np.sqrt(np.maximum(values, 0))

    fits = [_krige(bpc[fitted], covariance, bend**2 * process, line, rungs) for bend in BENDS]
    likelihoods = np.array([likelihood for likelihood, _ in fits])
    weights = np.exp(likelihoods - likelihoods.max())
    # Two ladders need different random numbers, or the ratio of their best sizes would seem too certain
    generator = np.random.default_rng(np.ascontiguousarray(bpc, dtype=np.float64).view(np.uint32))
    bends = generator.choice(len(BENDS), size=len(samples), p=weights / weights.sum())
    best = np.empty(len(samples))
    for number, (bend, (_, predictor)) in enumerate(zip(BENDS, fits, strict=True)):
        rows = np.flatnonzero(bends == number)
        curves = bend * generator.standard_normal((len(rows), len(grid))) @ root.T
        curves += (samples[rows] - curves[:, rungs]) @ predictor.T
        best[rows] = grid[curves.argmin(axis=1)]
    return best


def at_ends(x: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the draws at the smallest and at the largest rung, whose minimum may be outside the ladder.

    `x` is log2 of the sizes, `drawn` the return value of `minima`.
    """
    return drawn <= x[0], drawn >= x[-1]


def open_end(outside: np.ndarray) -> bool:
    """True if more draws are outside an end of the ladder than a 95 % interval excludes on one side."""
    return bool(outside.mean() > (1 - LEVEL) / 2)


def _flat(bpc: np.ndarray, covariance: np.ndarray) -> bool:
    """True if a chi-square test at 5 % cannot reject that all rungs are equal."""
    if np.ptp(bpc) == 0:
        return True
    steps = np.diff(np.eye(len(bpc)), axis=0)  # differences between neighbours, all 0 if all are equal
    among = steps @ covariance @ steps.T + 1e-15 * np.eye(len(steps))
    distance = (steps @ bpc) @ np.linalg.solve(among, steps @ bpc)
    return bool(stats.chi2.sf(distance, len(steps)) > 1 - LEVEL)


def _window(bpc: np.ndarray, covariance: np.ndarray) -> slice:
    """The rungs that may be the lowest, and AROUND on each side; at least five if there are as many."""
    lowest = int(np.argmin(bpc))
    variance = np.diag(covariance)
    apart = np.sqrt(np.maximum(variance + variance[lowest] - 2 * covariance[lowest], 0))
    near = np.flatnonzero(bpc - bpc[lowest] <= FAR * apart)
    least = min(2 * AROUND + 1, len(bpc))
    begin = min(max(near[0] - AROUND, 0), len(bpc) - least)
    end = max(min(near[-1] + AROUND + 1, len(bpc)), begin + least)
    return slice(max(0, min(begin, end - least)), end)


def _process(grid: np.ndarray) -> np.ndarray:
    """Covariance of a curve of unit bend that is 0 at both ends of the grid; a line is added to it."""

    def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.abs(a[:, None] - b) ** SMOOTHNESS

    ends = grid[[0, -1]]
    share = (grid - ends[0]) / (ends[1] - ends[0])
    chord = np.stack([1 - share, share], axis=1)
    to_ends = covariance(grid, ends) @ chord.T
    return covariance(grid, grid) - to_ends - to_ends.T + chord @ covariance(ends, ends) @ chord.T


def _krige(
    bpc: np.ndarray, covariance: np.ndarray, process: np.ndarray, line: np.ndarray, rungs: np.ndarray
) -> tuple[float, np.ndarray]:
    """The log likelihood of `bpc`, and the matrix that predicts the mean curve on the grid from the rungs.

    The line is integrated out (Rasmussen & Williams 2006, section 2.7).
    """
    inverse = np.linalg.inv(process[np.ix_(rungs, rungs)] + covariance)
    weighted = line[rungs].T @ inverse
    information = weighted @ line[rungs]
    slopes = np.linalg.solve(information, weighted)
    residual = bpc - line[rungs] @ (slopes @ bpc)
    volume = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(information)[1]
    likelihood = (volume - residual @ inverse @ residual) / 2
    across = process[:, rungs] @ inverse
    return float(likelihood), across + (line - across @ line[rungs]) @ slopes
