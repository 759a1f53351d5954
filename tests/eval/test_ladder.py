"""The best size of simulated ladders whose best size is known."""

import numpy as np
import pytest

from benchmarks.claims import LadderCell, measure_ladder
from eval.ladder import family, find_minimum, minima
from eval.statistics import Errors

SIZES = 2 ** np.arange(9, 15)  # 512 to 16,384


def errors_of(noise: float, rungs: int = len(SIZES), draws: int = 2000) -> Errors:
    draw = np.random.default_rng(0)
    return Errors(noise * draw.standard_normal((draws, rungs)), noise**2 * np.eye(rungs))


@pytest.mark.parametrize(
    "cell",
    [
        LadderCell(3, 0.006, 1.0, "middle"),
        LadderCell(6, 0.006, 1.0, "middle"),
        LadderCell(6, 0.012, 1.0, "near the low end"),
        LadderCell(6, 0.003, 2.0, "near the high end"),
        LadderCell(11, 0.006, 2.0, "middle"),
        LadderCell(5, 0.006, 1.0, "middle", outlier=True),
    ],
    ids=str,
)
def test_the_interval_contains_the_true_minimum(cell):
    """In full: `python -m benchmarks.claims`."""
    found = measure_ladder(cell, repeats=140)
    assert found["held"] >= 0.9
    assert abs(found["bias"]) <= 0.25  # octaves


@pytest.mark.parametrize("place", ["beyond the low end", "beyond the high end"])
def test_the_interval_is_open_on_the_side_of_a_minimum_outside_the_ladder(place):
    assert measure_ladder(LadderCell(6, 0.006, 1.0, place), repeats=140)["held"] >= 0.95


def test_an_interval_is_no_wider_than_the_noise_makes_it():
    bpc = 2 + 0.02 * (np.log2(SIZES) - 11.3) ** 2
    widths = []
    for noise in (0.001, 0.004, 0.016):
        found = find_minimum(SIZES, bpc, errors_of(noise))
        assert found.where == "inside"
        assert found.size_low < 2**11.3 < found.size_high
        widths.append(np.log2(found.size_high / found.size_low))
    assert widths == sorted(widths)
    assert widths[0] < 1 < widths[-1]


def test_the_rungs_that_may_be_best_are_those_not_shown_to_be_worse():
    bpc = np.array([2.251, 2.225, 2.175, 2.148, 2.190, 2.313])
    assert find_minimum(SIZES, bpc, errors_of(0.002)).rungs == [4096]
    assert find_minimum(SIZES, bpc, errors_of(0.012)).rungs == [2048, 4096, 8192]


@pytest.mark.parametrize(("sign", "where"), [(1, "below"), (-1, "above")])
@pytest.mark.parametrize("bend", [-1e-3, 0.0, 1e-4])
def test_a_minimum_outside_the_ladder_is_reported(sign, where, bend):
    x = np.log2(SIZES)
    bpc = 2 + sign * 0.02 * x + bend * (x - x.mean()) ** 2
    found = find_minimum(SIZES, bpc, errors_of(0.001))
    assert (found.where, found.open_low, found.open_high) == (where, sign > 0, sign < 0)
    assert found.rungs == [SIZES[0] if sign > 0 else SIZES[-1]]


@pytest.mark.parametrize("noise", [0.01, 0.0])
def test_if_no_rung_is_shown_to_be_better_the_interval_is_the_whole_ladder(noise):
    bpc = 2 + 0.5 * noise * np.random.default_rng(1).standard_normal(len(SIZES))
    found = find_minimum(SIZES, bpc, errors_of(noise))
    assert (found.where, found.size_low, found.size_high) == ("flat", 512, 16384)
    assert found.open_low and found.open_high
    assert found.rungs == SIZES.tolist()


def test_errors_that_all_rungs_share_do_not_move_the_minimum():
    bpc = 2 + 0.02 * (np.log2(SIZES) - 11.3) ** 2
    alone, shared = errors_of(0.002), np.random.default_rng(2).standard_normal((2000, 1))
    both = Errors(alone.draws + shared, alone.covariance + np.ones((6, 6)))
    one, other = find_minimum(SIZES, bpc, alone), find_minimum(SIZES, bpc, both)
    assert np.log2(one.size_low / other.size_low) == pytest.approx(0, abs=0.13)
    assert np.log2(one.size_high / other.size_high) == pytest.approx(0, abs=0.13)


def test_far_rungs_of_a_long_ladder_do_not_count():
    sizes = 2 ** np.arange(6, 19)
    bpc = 2 + 0.01 * np.minimum(np.abs(np.log2(sizes) - 12.2), 3.5) ** 2
    far = bpc.copy()
    far[0] += 5
    found = [minima(sizes, each, errors_of(0.003, 13)).mean() for each in (bpc, far)]
    assert found[0] == pytest.approx(found[1], abs=0.05)
    assert found[0] == pytest.approx(12.2, abs=0.15)


def test_two_sizes_are_not_a_ladder():
    with pytest.raises(ValueError, match="at least three sizes"):
        minima(SIZES[:2], np.ones(2), errors_of(0.01, 2))


def test_specs_of_a_family_differ_only_in_size():
    assert [family(spec) for spec in ("bpe-512", "bpe-512:gpt2", "char", "tiktoken:gpt2")] == [
        "bpe",
        "bpe:gpt2",
        "char",
        "tiktoken:gpt2",
    ]
