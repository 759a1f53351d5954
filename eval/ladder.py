"""The best size on a ladder of vocabularies: smooth curves through bits per character over log V.

A curve is taken for a random one: a straight line plus a Gaussian process with the covariance |h| ** 3.6 of
its values h octaves apart (Matheron 1973's generalised covariance, which has no length scale; |h| ** 3 is the
cubic smoothing spline of Wahba 1990). How much curves bend is averaged over by its marginal likelihood
(Rasmussen & Williams 2006, chapter 5). For every draw of the errors, a curve is drawn that fits the bits with
these errors (conditioning by kriging, Journel 1974), and its minimum within the ladder is a draw of the best
size. How often the interval of these draws holds is in docs/metric.md.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from comparison.labels import family as family

from .statistics import LEVEL, Errors, interval, simultaneous

SMOOTHNESS = 3.6  # exponent of the covariance
BENDS = np.geomspace(0.004, 0.1, 6)  # bits / octave ** 1.8, all as likely before anything is measured
STEPS = 16  # places between two rungs at which a curve is looked at
AROUND = 2  # rungs on each side of those that may be the lowest; farther ones bend the curve otherwise
FAR = 3.0  # standard errors above the lowest rung beyond which a rung is not the lowest

Where = Literal["inside", "below", "above", "flat"]


@dataclass(frozen=True)
class Minimum:
    """Where a ladder has its minimum."""

    rungs: list[int]
    """the measured sizes that may be the best of those measured"""
    size: float
    """vocabulary size at the minimum of the curve, within the ladder"""
    size_low: float
    """lower end of its 95 % interval; the smallest rung if it lies below"""
    size_high: float
    """upper end of its 95 % interval; the largest rung if it lies above"""
    open_low: bool
    """whether that is the smallest rung, so that the best size may be smaller yet"""
    open_high: bool
    """whether that is the largest rung, so that the best size may be larger yet"""
    where: Where
    """whether most curves have their minimum inside the ladder, or at an end; flat: no rung is known to be
    better than another"""


def find_minimum(sizes: np.ndarray, bpc: np.ndarray, errors: Errors) -> Minimum:
    """The minimum of a ladder; arguments and errors as for `minima`, sizes in rising order."""
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
    """Draws of log2 of the best size, one for each draw of the errors of `bpc` (n), n at least 3: (draws).

    Raises:
        ValueError: less than three sizes.
    """
    if len(sizes) < 3:
        raise ValueError(f"a ladder needs at least three sizes, not {len(sizes)}: add some")
    fitted = _window(bpc, errors.covariance)
    x, samples = np.log2(sizes)[fitted], (bpc + errors.draws)[:, fitted]
    covariance = errors.covariance[fitted, fitted] + 1e-12 * np.eye(len(x))  # which may be no error at all

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
    # Curves of two ladders must not be drawn alike, or the ratio of their best sizes seems too certain
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
    """Which draws of the minimum lie at the smallest rung, and which at the largest: they may lie beyond it.

    `x` is log2 of the sizes, `drawn` what `minima` returns.
    """
    return drawn <= x[0], drawn >= x[-1]


def open_end(outside: np.ndarray) -> bool:
    """Whether more draws lie outside an end of the ladder than a 95 % interval leaves out on one side."""
    return bool(outside.mean() > (1 - LEVEL) / 2)


def _flat(bpc: np.ndarray, covariance: np.ndarray) -> bool:
    """Whether the rungs may all be equal, by a chi-square test at 5 %."""
    if np.ptp(bpc) == 0:
        return True
    steps = np.diff(np.eye(len(bpc)), axis=0)  # differences of neighbours are all 0 where all are equal
    among = steps @ covariance @ steps.T + 1e-15 * np.eye(len(steps))
    distance = (steps @ bpc) @ np.linalg.solve(among, steps @ bpc)
    return bool(stats.chi2.sf(distance, len(steps)) > 1 - LEVEL)


def _window(bpc: np.ndarray, covariance: np.ndarray) -> slice:
    """The rungs that may be the lowest, and some on each side; at least five where there are as many."""
    lowest = int(np.argmin(bpc))
    variance = np.diag(covariance)
    apart = np.sqrt(np.maximum(variance + variance[lowest] - 2 * covariance[lowest], 0))
    near = np.flatnonzero(bpc - bpc[lowest] <= FAR * apart)
    least = min(2 * AROUND + 1, len(bpc))
    begin = min(max(near[0] - AROUND, 0), len(bpc) - least)
    end = max(min(near[-1] + AROUND + 1, len(bpc)), begin + least)
    return slice(max(0, min(begin, end - least)), end)


def _process(grid: np.ndarray) -> np.ndarray:
    """Covariance of a curve of unit bend that is 0 at both ends of the grid; plus a line it is any curve."""

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
    """The log likelihood of `bpc`, and the matrix by which a curve's mean on the grid follows from the rungs.

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
