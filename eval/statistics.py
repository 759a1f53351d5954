"""Bootstrap intervals over documents, paired between runs."""

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 1 << 23  # counts in memory at a time, 64 MB


def bootstrap_bpc(bits: np.ndarray, chars: np.ndarray, seed: int = 0) -> np.ndarray:
    """Bits per character of resampled test sets: (resamples, runs) float64.

    `bits` is (runs, documents), `chars` (documents). A resample draws as many documents as there are,
    with replacement, and is the same for all runs: differences between columns are paired. The ratio is
    of sums, as the metric itself (Efron & Tibshirani 1993, chapter 10).
    """
    documents = len(chars)
    generator = np.random.default_rng(seed)
    even = np.full(documents, 1 / documents)
    done = []
    while (left := RESAMPLES - sum(map(len, done))) > 0:
        rows = min(left, max(1, CHUNK // documents))
        counts = generator.multinomial(documents, even, size=rows).astype(np.float64)
        done.append((counts @ bits.T) / (counts @ chars.astype(np.float64))[:, None])
    return np.concatenate(done)


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the central 95 % of bootstrap samples, along axis 0."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
