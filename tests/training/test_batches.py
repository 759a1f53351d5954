"""Batches are a pure function of (seed, step), and random chunks of the training split."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.arrays import TokenArrays
from training.batches import AHEAD, crop_starts, make_batch, prefetch, rank_slice


def test_the_same_seed_and_step_draw_the_same_crops():
    assert np.array_equal(crop_starts(1, 7, 64, 1000), crop_starts(1, 7, 64, 1000))


def test_another_step_or_seed_draws_others():
    one = crop_starts(1, 7, 64, 10**9)
    assert not np.intersect1d(one, crop_starts(1, 8, 64, 10**9)).size
    assert not np.intersect1d(one, crop_starts(2, 7, 64, 10**9)).size


def test_crops_are_those_of_every_machine_and_version():
    assert crop_starts(0, 0, 4, 1000).tolist() == [259, 458, 49, 556]


def test_crops_begin_everywhere_equally_often():
    counts = np.bincount(crop_starts(0, 0, 100_000, 10), minlength=10)
    assert counts.min() > 9_600
    assert counts.max() < 10_400


@given(st.integers(1, 500), st.integers(1, 16))
@settings(deadline=None, derandomize=True)
def test_the_parts_of_all_ranks_are_the_batch_in_order(sequences, world_size):
    batch = list(range(sequences))
    parts = [batch[rank_slice(sequences, rank, world_size)] for rank in range(world_size)]
    assert [i for part in parts for i in part] == batch
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_target_is_the_token_after_its_input(tiny_arrays):
    train = TokenArrays(tiny_arrays("bpe-300")).split("train")
    x, y = make_batch(train, np.array([0, 17, train.crop_starts(9) - 1]), block_size=8)
    stream = np.concatenate(train.shards)
    assert x[1].tolist() == stream[17:25].tolist()
    assert y[1].tolist() == stream[18:26].tolist()
    assert y[2, -1] == stream[-1]  # the last position of the text is trained too


@pytest.mark.parametrize("spec", ["char", "bpe-300"])
def test_every_token_can_be_drawn_as_a_target(tiny_arrays, spec):
    train = TokenArrays(tiny_arrays(spec)).split("train")
    _, y = make_batch(train, np.arange(train.crop_starts(2)), block_size=1)
    assert y[:, 0].tolist() == np.concatenate(train.shards)[1:].tolist()


@pytest.mark.parametrize("steps", [range(0), range(1), range(5, 7), range(3, 40)])
def test_prefetched_batches_are_those_of_each_step_in_order(steps):
    assert list(prefetch(lambda step: step * step, steps)) == [step * step for step in steps]


def test_batches_are_made_ahead_by_another_thread_and_not_further():
    made = []
    third = threading.Event()

    def make(step):
        made.append((step, threading.current_thread()))
        if step == AHEAD:
            third.set()

    batches = prefetch(make, range(100))
    next(batches)
    assert third.wait(10)
    batches.close()  # as when a run is stopped: what has been begun is finished, and nothing hangs
    assert [step for step, _ in made] == list(range(AHEAD + 1))
    assert threading.current_thread() not in {thread for _, thread in made}


def test_a_batch_that_cannot_be_made_is_an_error_at_its_step():
    def make(step):
        return 1 // (7 - step)

    batches = prefetch(make, range(100))
    assert [next(batches) for _ in range(7)] == [1 // (7 - step) for step in range(7)]
    with pytest.raises(ZeroDivisionError):
        next(batches)
