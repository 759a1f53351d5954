"""The best size on a ladder, on simulated ladders whose best size is known."""

import numpy as np
import pytest

from eval.ladder import family, find_minimum, minima

SIZES = 2 ** np.arange(9, 15)  # 512 to 16,384
NOISE, DEPTH = 0.01, 0.15  # bits per character; a ladder's highest rung is so far above its minimum


def simulated(seed: int, lowest: float = 9.5, highest: float = 13.5) -> tuple[float, np.ndarray, np.ndarray]:
    """log2 V of the true minimum, between two bounds, and bits per character of the rungs with their samples.

    The curve is no parabola: a power of V that falls and one that rises, in changing proportions.
    """
    draw = np.random.default_rng(seed)
    best, fall, rise = draw.uniform(lowest, highest), draw.uniform(0.2, 1.0), draw.uniform(0.1, 0.8)
    away = np.log2(SIZES) - best
    curve = rise * 2 ** (-fall * away) + fall * 2 ** (rise * away) - rise - fall
    bpc = 2 + DEPTH * curve / curve.max() + NOISE * draw.standard_normal(len(SIZES))
    return best, bpc, bpc + NOISE * draw.standard_normal((2000, len(SIZES)))


def test_the_recommended_size_is_within_a_grid_step_of_the_true_minimum():
    near = rungs = 0
    for seed in range(100):
        best, bpc, samples = simulated(seed)
        found = find_minimum(SIZES, bpc, samples)
        near += abs(np.log2(found.size) - best) <= 1
        rungs += abs(np.log2(found.rung) - best) <= 1
    assert near >= 95 and rungs >= 95


def test_the_interval_holds_the_true_minimum_as_often_as_it_says():
    covered = 0
    for seed in range(400):
        best, bpc, samples = simulated(seed)
        found = find_minimum(SIZES, bpc, samples)
        covered += found.size_low <= 2**best <= found.size_high
    assert 0.93 <= covered / 400 <= 0.99


@pytest.mark.parametrize(("bounds", "side"), [((6.0, 8.5), "low"), ((14.5, 17.0), "high")])
def test_where_the_true_minimum_lies_outside_the_interval_is_open_on_that_side(bounds, side):
    """Whatever the noise makes of the fit's own minimum."""
    found = [find_minimum(SIZES, *simulated(seed, *bounds)[1:]) for seed in range(100)]
    assert sum(getattr(minimum, f"open_{side}") for minimum in found) >= 95
    other = "high" if side == "low" else "low"
    assert sum(getattr(minimum, f"open_{other}") for minimum in found) <= 10


def test_the_rung_to_take_is_never_distinguishably_worse_than_the_best_measured():
    bpc = np.array([2.251, 2.225, 2.175, 2.148, 2.190, 2.313])  # steeper above than below
    noise = np.random.default_rng(0).standard_normal((2000, len(SIZES)))
    sure, unsure = (find_minimum(SIZES, bpc, bpc + sigma * noise) for sigma in (0.005, 0.05))
    assert sure.size == unsure.size == pytest.approx(2650, abs=1)
    assert (sure.nearest, sure.rung) == (2048, 4096)
    assert (unsure.nearest, unsure.rung) == (2048, 2048)


def test_a_parabola_is_found_exactly():
    bpc = 2 + 0.01 * (np.log2(SIZES) - 11.3) ** 2
    found = find_minimum(SIZES, bpc, bpc[None])
    assert (found.where, found.rung) == ("inside", 2048)
    assert found.size == pytest.approx(2**11.3)


@pytest.mark.parametrize(("sign", "where", "rung"), [(1, "below", 512), (-1, "above", 16384)])
@pytest.mark.parametrize("bend", [-1e-3, 0.0, 1e-4])
def test_a_minimum_outside_the_ladder_is_said_to_be(sign, where, rung, bend):
    x = np.log2(SIZES)
    bpc = 2 + sign * 0.02 * x + bend * (x - x.mean()) ** 2
    found = find_minimum(SIZES, bpc, bpc[None])
    assert (found.where, found.rung, found.size) == (where, rung, rung)


@pytest.mark.parametrize("noise", [NOISE, 0.0])
def test_where_all_sizes_are_alike_the_interval_is_the_whole_ladder(noise):
    samples = 2 + noise * np.random.default_rng(0).standard_normal((2000, len(SIZES)))
    found = find_minimum(SIZES, np.full(len(SIZES), 2.0), samples)
    assert (found.where, found.size_low, found.size_high) == ("flat", 512, 16384)
    assert found.open_low and found.open_high


def test_far_rungs_of_a_long_ladder_do_not_count():
    sizes = 2 ** np.arange(6, 19)
    bpc = 2 + 0.01 * np.minimum(np.abs(np.log2(sizes) - 12.2), 3.5) ** 2
    bpc[0] += 5
    assert minima(sizes, bpc, bpc[None])[0] == pytest.approx(12.2, abs=0.05)


def test_two_sizes_are_no_ladder():
    with pytest.raises(ValueError, match="at least three sizes"):
        minima(SIZES[:2], np.ones(2), np.ones((1, 2)))


def test_a_family_differs_in_size_alone():
    assert [family(spec) for spec in ("bpe-512", "bpe-512:gpt2", "char", "tiktoken:gpt2")] == [
        "bpe",
        "bpe:gpt2",
        "char",
        "tiktoken:gpt2",
    ]
