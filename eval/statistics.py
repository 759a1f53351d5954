"""Random errors of bits per character: over test documents, over seeds, and for many rows at once.

Errors of both kinds are drawn from Student's t with the estimated variance and its degrees of freedom, and
added (Behrens-Fisher). They are draws rather than formulas because not every quantity derived from them is a
difference: the best size of a ladder depends on all rows.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

DRAWS = 10_000
LEVEL = 0.95
OUTLYING = 0.05  # significance level of the test that a row's seeds vary more than those of other rows


@dataclass(frozen=True)
class Errors:
    """Errors of the estimates of several rows."""

    draws: np.ndarray
    """(draws, rows) float64, to add to the estimates"""
    covariance: np.ndarray
    """(rows, rows), estimated"""

    def plus(self, other: "Errors") -> "Errors":
        """The sum of these and other, independent errors."""
        return Errors(self.draws + other.draws, self.covariance + other.covariance)

    def of(self, rows: list[int]) -> "Errors":
        """The errors of some of the rows."""
        return Errors(self.draws[:, rows], self.covariance[np.ix_(rows, rows)])


def estimate_errors(
    bits: np.ndarray, chars: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0
) -> tuple[Errors, np.ndarray]:
    """Errors of bits per character, averaged over seeds, as estimates for all text and all seeds.

    `bits` is (rows, seeds, documents), for one model; `chars` is (documents); `clusters`, (documents), is the
    index of each document's group. Also returns a mask of the rows whose seeds vary more than those of the
    others (1-d bool). Each model needs its own random `seed`, or their errors would be correlated. With one
    training seed, errors are over documents only.
    """
    errors = document_errors(bits, chars, clusters, seed)
    of_seeds, outlying = seed_errors(bits.sum(axis=2) / chars.sum(), seed + 1_000_000)
    return errors.plus(of_seeds), outlying


def document_errors(
    bits: np.ndarray, chars: np.ndarray, clusters: np.ndarray | None = None, seed: int = 0
) -> Errors:
    """Errors over test documents; arguments as for `estimate_errors`.

    Documents of a group are not independent, so groups replace documents. Bits per character are a ratio of
    sums: the variance is linearised, residuals are corrected for leverage, and the degrees of freedom for
    few documents or groups and for unequal lengths ("CR2", Bell & McCaffrey 2002). All rows scored the same
    documents, so what makes a document hard for all of them cancels in differences. Variation between
    documents from seed to seed is subtracted here, as the errors over seeds include it (Cameron, Gelbach &
    Miller 2011, on two-way clusters).
    """
    chars = chars.astype(np.float64)
    shares = chars / chars.sum()
    residuals = bits / chars.sum() - bits.sum(axis=2, keepdims=True) / chars.sum() * shares
    if clusters is not None:
        order = np.argsort(clusters, kind="stable")
        begins = np.flatnonzero(np.diff(clusters[order], prepend=-1))
        shares = np.add.reduceat(shares[order], begins)
        residuals = np.add.reduceat(residuals[..., order], begins, axis=-1)
    rows, seeds, count = residuals.shape
    if count == 1:  # the error is unknown; the report says so
        return Errors(np.zeros((DRAWS, rows)), np.zeros((rows, rows)))
    residuals = residuals / np.sqrt(1 - shares)
    mean = residuals.mean(axis=1)  # (rows, documents or groups)
    covariance = mean @ mean.T
    if seeds > 1:
        apart = (residuals - mean[:, None]).reshape(rows, -1)
        covariance -= apart @ apart.T / (seeds * (seeds - 1))
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    generator = np.random.default_rng(seed)
    draws = generator.standard_normal((DRAWS, rows)) @ root.T * _t_scale(generator, _freedom(shares))
    return Errors(draws, root @ root.T)


def _freedom(shares: np.ndarray) -> float:
    """Degrees of freedom of a variance over documents or groups with these shares of the text.

    One less than their number if all are equal; about 1 if two of them hold nearly all of the text. With the
    shares s and a = s / sqrt(1 - s), the variance is a quadratic form with the matrix M = diag(a) (I - s 1'
    - 1 s' + 1 s's 1') diag(a), and the degrees of freedom are trace(M) ** 2 / trace(M M).
    """
    squares = shares**2 / (1 - shares)  # of a
    together = (shares**2).sum()
    trace = (squares * (1 - 2 * shares + together)).sum()
    own = (squares**2 * ((1 - 2 * shares + together) ** 2 - (together - 2 * shares) ** 2)).sum()
    sums = [(squares * shares**power).sum() for power in range(3)]
    pairs = (
        together**2 * sums[0] ** 2
        + 2 * sums[2] * sums[0]
        - 4 * together * sums[1] * sums[0]
        + 2 * sums[1] ** 2
    )
    return float(trace**2 / (own + pairs))


def seed_errors(bpc: np.ndarray, seed: int = 1) -> tuple[Errors, np.ndarray]:
    """Errors over seeds of the means of `bpc` (rows, seeds), and the mask of rows as in `estimate_errors`.

    A seed draws the same text for every row, so this is a two-way analysis of variance: the effect of a seed
    on all rows cancels in their differences. As each row has few seeds, the residual variance is pooled over
    rows; rows that vary more than chance allows (Cochran's C test, ISO 5725-2, repeated) keep their own.
    With one seed the errors are unknown and set to 0.
    """
    rows, seeds = bpc.shape
    draws, covariance = np.zeros((DRAWS, rows)), np.zeros((rows, rows))
    if seeds == 1:
        return Errors(draws, covariance), np.zeros(rows, dtype=bool)
    generator, freedom = np.random.default_rng(seed), seeds - 1
    outlying = _outlying(bpc)
    alike = bpc[~outlying]
    count, mean = len(alike), alike.mean(axis=0)

    common = mean.var(ddof=1) / seeds  # variance of the mean of all rows that are not outlying
    draws += np.sqrt(common) * generator.standard_t(freedom, size=(DRAWS, 1))
    covariance += common
    if count > 1:
        pooled = _squares(alike).sum() / ((count - 1) * freedom) / seeds
        apart = generator.standard_normal((DRAWS, count)) * np.sqrt(pooled)
        apart *= _t_scale(generator, (count - 1) * freedom)
        draws[:, ~outlying] += apart - apart.mean(axis=1, keepdims=True)
        covariance[np.ix_(~outlying, ~outlying)] += pooled * (np.eye(count) - 1 / count)
    for row in np.flatnonzero(outlying):
        own = (bpc[row] - mean).var(ddof=1) / seeds
        draws[:, row] += np.sqrt(own) * generator.standard_t(freedom, size=DRAWS)
        covariance[row, row] += own
    return Errors(draws, covariance), outlying


def _squares(bpc: np.ndarray) -> np.ndarray:
    """The residual sum of squares of each row after removing the means of rows and of seeds."""
    residuals = bpc - bpc.mean(axis=1, keepdims=True) - bpc.mean(axis=0) + bpc.mean()
    return (residuals**2).sum(axis=1)


def _outlying(bpc: np.ndarray) -> np.ndarray:
    """Mask of the rows that vary more than chance allows, found one at a time by Cochran's C test."""
    outlying = np.zeros(len(bpc), dtype=bool)
    while (count := int((~outlying).sum())) > 2:
        squares = _squares(bpc[~outlying])
        others = squares.sum() - squares.max()
        if others <= 0:
            break
        freedom = bpc.shape[1] - 1
        ratio = squares.max() * (count - 1) / others
        if count * stats.f.sf(ratio, freedom, freedom * (count - 1)) >= OUTLYING:
            break
        outlying[np.flatnonzero(~outlying)[squares.argmax()]] = True
    return outlying


def _t_scale(generator: np.random.Generator, freedom: float) -> np.ndarray:
    """Factors that turn normal draws into draws of Student's t, the same for all rows: (draws, 1)."""
    return np.sqrt(freedom / generator.chisquare(freedom, size=(DRAWS, 1)))


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the central 95 % of samples, along axis 0."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def simultaneous(errors: Errors, best: int) -> np.ndarray:
    """Half the width of the interval of each row's distance to row `best`: (rows) float64.

    The intervals hold for all rows at once, whichever row happens to be the best.
    """
    return between_all(errors)[:, best]


def between_all(errors: Errors) -> np.ndarray:
    """Half the width of the interval of the difference between any two rows: (rows, rows) float64.

    The intervals hold for all pairs at once. Their width in standard errors is the 95 % quantile of the
    largest difference between any two rows (max-t, Westfall & Young 1993; with independent and equal errors,
    Tukey's honestly significant difference).
    """
    variances = np.diag(errors.covariance)
    standard = np.sqrt(np.maximum(variances + variances[:, None] - 2 * errors.covariance, 0))
    largest = np.zeros(len(errors.draws))
    for row, draws in enumerate(errors.draws.T):
        known = standard[row] > 1e-6  # 0 between equal rows, such as `byte` and `char` on plain ASCII
        if known.any():
            distances = np.abs(errors.draws[:, known] - draws[:, None]) / standard[row, known]
            largest = np.maximum(largest, distances.max(axis=1))
    return np.quantile(largest, LEVEL) * standard
