"""Bootstrap intervals over documents, paired between rows, and over seeds."""

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
MAX_GROUPS = 2_000  # documents are resampled in so many groups where there are more
CHUNK = 1 << 23  # counts in memory at a time, 64 MB


def bootstrap_bpc(bits: np.ndarray, chars: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bits per character of resampled test sets: (resamples, rows) float64.

    `bits` is (rows, documents), `chars` (documents). A resample draws as many documents as there are,
    with replacement, and is the same for all rows: differences between columns are paired. The ratio is
    of sums, as the metric itself (Efron & Tibshirani 1993, chapter 10).

    More than 2,000 documents are put into that many groups by chance, and groups are drawn: documents of
    chance groups vary as much as single ones do, and 2,000 are enough to tell how much.
    """
    generator = np.random.default_rng(seed)
    chars = chars.astype(np.float64)
    if len(chars) > MAX_GROUPS:
        group = generator.permutation(len(chars)) % MAX_GROUPS
        bits = np.stack([np.bincount(group, row, MAX_GROUPS) for row in bits])
        chars = np.bincount(group, chars, MAX_GROUPS)
    documents = len(chars)
    even = np.full(documents, 1 / documents)
    done: list[np.ndarray] = []
    while (left := RESAMPLES - sum(len(part) for part in done)) > 0:
        rows = min(left, max(1, CHUNK // documents))
        counts = generator.multinomial(documents, even, size=rows).astype(np.float64)
        done.append((counts @ bits.T) / (counts @ chars)[:, None])
    return np.concatenate(done)


def seed_errors(bpc: np.ndarray, seed: int = 1) -> np.ndarray:
    """What the mean over seeds is off by, by chance: (resamples, rows) float64, to be added to a bootstrap.

    `bpc` is (rows, seeds), of one model. A residual is a seed's distance from its row's mean, times
    sqrt(k / (k - 1)), as k seeds share their mean; the errors are means of k residuals drawn from those
    of all rows, since few seeds say little of one row alone (Davison & Hinkley 1997, section 3.2). With one
    seed nothing is known, and all are 0. Rows of another model want another `seed`, or they err alike.
    """
    rows, seeds = bpc.shape
    if seeds == 1:
        return np.zeros((RESAMPLES, rows))
    residuals = (bpc - bpc.mean(axis=1, keepdims=True)) * np.sqrt(seeds / (seeds - 1))
    drawn = np.random.default_rng(seed).choice(residuals.ravel(), size=(RESAMPLES, rows, seeds))
    return drawn.mean(axis=2)


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the central 95 % of bootstrap samples, along axis 0."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
