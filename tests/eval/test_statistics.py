"""Random errors over documents and seeds, and for all tokenizers at once."""

import numpy as np
import pytest

from benchmarks.claims import Cell, measure
from eval.statistics import (
    DRAWS,
    _freedom,
    document_errors,
    estimate_errors,
    interval,
    seed_errors,
    simultaneous,
)


def some_rows(documents: int = 200, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    chars = draw.integers(10, 5000, size=documents)
    per_char = 2 + 0.3 * draw.standard_normal(documents)  # some documents are harder, for every tokenizer
    bits = chars * (per_char + 0.01 * np.arange(rows)[:, None])
    return bits[:, None], chars


# ---- documents


def test_with_documents_of_equal_length_the_error_is_that_of_a_mean():
    per_char = np.random.default_rng(0).normal(2, 0.1, 30)
    errors = document_errors(100 * per_char[None, None], np.full(30, 100))
    assert errors.covariance[0, 0] == pytest.approx(per_char.var(ddof=1) / 30)


def test_draws_have_the_tails_of_students_t():
    """With four documents there are three degrees of freedom: 3.18 standard errors, not 1.96."""
    errors = document_errors(np.array([[[4.0, 5.0, 6.0, 7.0]]]), np.ones(4))
    _, high = interval(errors.draws[:, 0])
    assert high / np.sqrt(errors.covariance[0, 0]) == pytest.approx(3.18, rel=0.06)
    assert errors.draws.shape == (DRAWS, 1)


def test_documents_that_are_hard_for_all_cancel_in_a_difference():
    errors = document_errors(*some_rows())
    assert interval(errors.draws)[1].min() > 0.01  # each one is uncertain
    assert np.abs(errors.draws[:, 1] - errors.draws[:, 0]).max() < 1e-6  # the difference is not


def test_documents_of_a_group_count_as_one():
    """If the documents of a group are identical, more of them add no information."""
    few = np.random.default_rng(0).normal(2, 0.1, 8)
    many, clusters = np.repeat(few, 10), np.repeat(np.arange(8), 10)
    by_group = document_errors(many[None, None], np.ones(80), clusters).covariance
    assert by_group[0, 0] == pytest.approx(document_errors(few[None, None], np.ones(8)).covariance[0, 0])
    assert document_errors(many[None, None], np.ones(80)).covariance[0, 0] < by_group[0, 0] / 9


@pytest.mark.parametrize(
    ("lengths", "freedom"), [([1] * 12, 11), ([1] * 4, 3), ([450, 450] + [10] * 10, 1.0), ([3, 2, 1, 1], 1.9)]
)
def test_degrees_of_freedom_are_those_of_the_quadratic_form(lengths, freedom):
    shares = np.array(lengths) / np.sum(lengths)
    form = (np.eye(len(shares)) - shares) * (shares / np.sqrt(1 - shares))[:, None]
    form = form @ form.T
    assert _freedom(shares) == pytest.approx(np.trace(form) ** 2 / (form**2).sum())
    assert _freedom(shares) == pytest.approx(freedom, rel=0.1)


def test_two_documents_that_hold_nearly_all_of_the_text_claim_no_more_than_two():
    draw, shares = np.random.default_rng(6), np.array([0.45, 0.45] + [0.01] * 10)
    false = 0
    for number in range(100):
        per_char = 2 + 0.02 * draw.standard_normal((6, 1, 12)) + 0.005 * draw.standard_normal((6, 3, 1))
        errors, _ = estimate_errors(shares * per_char, shares, seed=number)
        means = (shares * per_char).sum(axis=2).mean(axis=1)
        false += (means - means.min() > simultaneous(errors, int(means.argmin()))).any()
    assert false <= 10  # with 11 degrees of freedom: 55


def test_the_same_data_gives_the_same_draws():
    assert np.array_equal(document_errors(*some_rows()).draws, document_errors(*some_rows()).draws)


def test_the_error_over_one_document_is_unknown():
    assert not document_errors(np.array([[[2.0]], [[3.0]]]), np.ones(1)).draws.any()


def test_effects_of_seeds_on_documents_are_not_counted_twice():
    """If documents differ only by the seed, errors over documents are about 0."""
    bits = 2 + 0.1 * np.random.default_rng(5).standard_normal((10, 4, 50))
    alone = document_errors(bits.mean(axis=1, keepdims=True), np.ones(50)).covariance.trace()
    assert document_errors(bits, np.ones(50)).covariance.trace() < 0.6 * alone  # below 0 counts as 0


# ---- seeds


def test_an_effect_of_a_seed_on_all_rows_cancels_in_a_difference():
    bpc = 2 + np.arange(5)[:, None] / 10 + np.array([0.0, 0.02, -0.03])
    errors, _ = seed_errors(bpc)
    assert interval(errors.draws)[1].min() > 0.02
    assert np.abs(errors.draws - errors.draws[:, :1]).max() < 1e-9


def test_few_seeds_of_one_row_borrow_from_the_others():
    """Three seeds of two rows give 2 degrees of freedom, of fourteen rows 26: 4.30 and 2.06 errors."""
    for rows, wide in ((2, 4.30), (14, 2.06)):
        errors, outlying = seed_errors(np.random.default_rng(1).normal(2, 0.01, (rows, 3)))
        assert not outlying.any()
        half = interval(errors.draws[:, 0] - errors.draws[:, 1])[1]
        among = errors.covariance
        standard = np.sqrt(among[0, 0] + among[1, 1] - 2 * among[0, 1])
        assert half / standard == pytest.approx(wide, rel=0.06)


def test_a_row_that_varies_more_keeps_its_own_spread_and_leaves_the_others_theirs():
    draw = np.random.default_rng(2)
    bpc = draw.normal(2, 0.01, (14, 3))
    alone, _ = seed_errors(bpc)
    bpc[4] = [1.9, 2.0, 2.1]
    errors, outlying = seed_errors(bpc)
    assert np.flatnonzero(outlying).tolist() == [4]
    low, high = interval(errors.draws)
    assert high[4] - low[4] > 0.3  # 2 * 4.30 * 0.1 / sqrt(3) is 0.5
    others = np.delete(high - low, 4)
    assert others == pytest.approx(np.delete(np.subtract(*interval(alone.draws)[::-1]), 4), rel=0.25)


def test_the_interval_of_an_outlying_row_contains_its_value():
    draw, held = np.random.default_rng(3), 0
    spread = np.append(0.06, np.full(13, 0.01))[:, None]
    for number in range(200):
        bpc = 2 + spread * draw.standard_normal((14, 3))
        low, high = interval(bpc.mean(axis=1)[:, None].T + seed_errors(bpc, seed=number)[0].draws)
        held += low[0] <= 2 <= high[0]
    assert held / 200 >= 0.85  # by a spread pooled over all rows: 0.65


def test_with_one_seed_its_effect_is_unknown():
    errors, outlying = seed_errors(np.array([[2.0], [2.1]]))
    assert not errors.draws.any() and not outlying.any()


# ---- all rows at once


def test_with_independent_rows_it_is_tukeys_honestly_significant_difference():
    """The studentised range of five means with 40 degrees of freedom: 4.04, over the root of 2."""
    bpc = np.random.default_rng(4).normal(2, 0.01, (5, 11))
    errors, _ = seed_errors(bpc)
    variance = errors.covariance
    standard = np.sqrt(variance[0, 0] + variance[1, 1] - 2 * variance[0, 1])
    assert simultaneous(errors, best=0)[1] / standard == pytest.approx(4.04 / np.sqrt(2), rel=0.03)


def test_equal_rows_such_as_bytes_and_characters_of_ascii_have_no_distance():
    bits, chars = some_rows(rows=1)
    errors = document_errors(np.concatenate([bits, bits]), chars)
    assert simultaneous(errors, best=0) == pytest.approx([0, 0], abs=1e-9)


@pytest.mark.parametrize("cell", [Cell(2, 47, 0, 3), Cell(14, 47, 6, 3), Cell(5, 12, 0, 5)], ids=str)
def test_equal_tokenizers_are_not_distinguished_and_intervals_hold(cell):
    """In full: `python -m benchmarks.claims`."""
    shares = measure(cell, repeats=100)
    assert shares["false"] <= 0.10
    assert shares["found"] >= 0.1
    assert shares["level"] >= 0.88 and shares["difference"] >= 0.88
