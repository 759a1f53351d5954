"""Bootstrap over documents, paired between runs."""

import numpy as np
import pytest

from eval.statistics import RESAMPLES, bootstrap_bpc, interval, seed_errors


def some_runs(documents: int = 200, runs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    chars = draw.integers(10, 5000, size=documents)
    per_char = 2 + 0.3 * draw.standard_normal(documents)  # some documents are harder, for every run
    bits = chars * (per_char + 0.01 * np.arange(runs)[:, None])
    return bits, chars


def test_a_resample_is_a_ratio_of_sums_over_documents_drawn_with_replacement():
    bits, chars = np.array([[4.0, 30.0]]), np.array([2, 10])
    samples = bootstrap_bpc(bits, chars)[:, 0]
    assert len(samples) == RESAMPLES
    assert set(np.round(samples, 9)) == {2.0, round(34 / 12, 9), 3.0}
    assert np.mean(samples == 2.0) == pytest.approx(0.25, abs=0.02)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """On documents drawn from a population with a known ratio."""
    draw = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        chars = draw.integers(100, 200, size=60)
        bits = chars * (2 + 0.5 * draw.standard_normal(60))
        low, high = interval(bootstrap_bpc(bits[None], chars, seed=int(draw.integers(1 << 30))))
        covered += low[0] <= 2 <= high[0]
    assert 0.88 <= covered / 100 <= 0.99


def test_runs_are_resampled_together_so_that_a_small_difference_shows():
    samples = bootstrap_bpc(*some_runs())
    low, high = interval(samples)
    assert low[1] < high[0]  # each alone is uncertain
    low, high = interval(samples[:, 1] - samples[:, 0])
    assert low == pytest.approx(0.01)  # the difference is not
    assert high == pytest.approx(0.01)


def test_the_same_data_gives_the_same_interval_in_any_memory(monkeypatch):
    bits, chars = some_runs()
    whole = bootstrap_bpc(bits, chars)
    assert np.array_equal(bootstrap_bpc(bits, chars), whole)
    monkeypatch.setattr("eval.statistics.CHUNK", 5000)
    assert interval(bootstrap_bpc(bits, chars))[0] == pytest.approx(interval(whole)[0], rel=1e-2)


def test_many_documents_are_drawn_in_groups_with_the_same_interval(monkeypatch):
    draw = np.random.default_rng(2)
    chars = draw.integers(100, 200, size=8_000)
    bits = chars * (2 + 0.5 * draw.standard_normal((2, 8_000)))
    grouped = bootstrap_bpc(bits, chars)
    monkeypatch.setattr("eval.statistics.MAX_GROUPS", 8_000)
    monkeypatch.setattr("eval.statistics.RESAMPLES", 1_000)
    assert grouped.std(axis=0) == pytest.approx(bootstrap_bpc(bits, chars).std(axis=0), rel=0.08)
    assert grouped.mean(axis=0) == pytest.approx(bits.sum(axis=1) / chars.sum(), abs=1e-3)


def test_seeds_are_a_second_level_of_the_interval():
    """The mean of a few seeds is off by their deviation over the root of their number, pooled over rows."""
    draw = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        bpc = 2 + 0.02 * draw.standard_normal((8, 3))
        errors = seed_errors(bpc, seed=int(draw.integers(1 << 30)))
        low, high = interval(bpc.mean(axis=1) + errors)
        covered += np.mean((low <= 2) & (high >= 2)) / 200
    assert 0.90 <= covered <= 0.98


def test_one_seed_says_nothing_of_seeds():
    assert not seed_errors(np.array([[2.0], [2.1]])).any()
