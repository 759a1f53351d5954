"""Batches are a pure function of (seed, step), and random chunks of the training split."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.arrays import MARK_CHARS, Split, TokenArrays
from data_prep.row_groups import token_chars
from model import ModelConfig
from tokenizers import load_tokenizer
from training.batches import AHEAD, crop_starts, make_batch, prefetch, rank_slice
from training.budget import Budget, Plan, TextAmount, make_plan, plan_block_size

MODEL = ModelConfig(n_layer=1, n_embd=16, n_head=2)
FIRST = [49299, 71013, 34440, 74057]


SPECS = ["byte", "char", "bpe-300", "spbpe-420"]


@pytest.fixture(scope="module")
def planned(tiny_arrays):
    """A function from a tokenizer spec to its training split and plan, 20 places of 100 characters a step."""

    def plan(spec: str, **options) -> tuple[Split, Plan]:
        arrays = TokenArrays(tiny_arrays(spec))
        train, context = arrays.split("train"), options.pop("context", TextAmount(chars=100))
        block_size = plan_block_size(context, train)
        amounts = {"batch": TextAmount(chars=2000), "budget": Budget(steps=1)} | options
        return train, make_plan(
            MODEL, arrays.vocab_size, block_size, context, train=train, eot=arrays.eot, **amounts
        )

    return plan


def text_before(split: Split) -> np.ndarray:
    """The number of characters of training text before each token of the circle."""
    tokenizer = load_tokenizer(split.paths[0].parent / "tokenizer")
    return np.append(0, np.cumsum(token_chars(tokenizer)[split.crops(np.array([0]), split.length)[0]]))


@pytest.mark.parametrize("spec", SPECS)
def test_crops_depend_on_the_seed_and_the_step(planned, spec):
    one = crop_starts(*planned(spec), 1, 7)
    assert np.array_equal(one, crop_starts(*planned(spec), 1, 7))
    assert len(np.intersect1d(one, crop_starts(*planned(spec), 1, 8))) < 4
    assert len(np.intersect1d(one, crop_starts(*planned(spec), 2, 7))) < 4


def test_crops_are_the_same_on_every_machine_and_in_every_version(planned):
    split, plan = planned("byte")
    assert crop_starts(split, plan, 0, 0)[:4].tolist() == FIRST


def test_a_step_reads_the_same_places_of_the_text_with_every_tokenizer(planned):
    found = {}
    for spec in SPECS:
        split, plan = planned(spec)
        before = text_before(split)  # a few characters less for a token that begins before the place
        found[spec] = np.concatenate([before[crop_starts(split, plan, 3, step) + 1] for step in range(50)])
    for spec in SPECS[1:]:
        same = np.abs(found["byte"] - found[spec][:, None]).min(axis=1) < 10
        assert same.mean() > 0.75  # the rest: text with more or fewer tokens than usual


def test_all_text_is_seen_equally_often_however_many_tokens_it_takes(tmp_path):
    """Half of the text has tokens of four characters, the other half of one character."""
    half = 200 * MARK_CHARS
    tokens = np.concatenate([np.zeros(half // 4), np.ones(half), [9]]).astype(np.uint8)
    marks = np.searchsorted(np.cumsum(np.where(tokens == 0, 4, 1)), np.arange(0, 2 * half, 32), "right") + 1
    np.save(tmp_path / "train-00000.tokens.npy", np.concatenate([[9], tokens]).astype(np.uint8))
    np.save(tmp_path / "train-00000.marks.npy", marks)
    np.save(tmp_path / "train-00000.documents.npy", np.zeros(1, dtype=[("start", int)]))
    counts = {"documents": 1, "chars": 2 * half, "bytes": 2 * half, "tokens": len(tokens) - 1}
    split = Split(tmp_path, "train", counts | {"lossy_documents": 0, "text_sha256": ""})
    amounts = TextAmount(chars=96), TextAmount(chars=1920), Budget(steps=1)
    plan = make_plan(MODEL, 10, plan_block_size(amounts[0], split), *amounts, split)
    seen = np.zeros(split.length)
    for step in range(3000):
        for start in crop_starts(split, plan, 0, step):
            seen[np.arange(start + 1, start + 1 + plan.block_size) % split.length] += 1
    long, short = seen[1 : half // 4], seen[half // 4 + 1 :]
    assert long.mean() / short.mean() == pytest.approx(1, abs=0.1)  # 4 with one random token per crop
    assert seen.min() > 0


@given(st.floats(0.3, 3000), st.integers(1, 300), st.integers(0, 10**6))
def test_the_remainder_of_rounding_is_carried_to_the_next_step(chars_per_token, block_size, step):
    sequences = max(1, 2048 / chars_per_token / block_size)
    plan = Plan(MODEL, block_size, sequences, 16, 128, 10**6, None, chars_per_token)
    assert plan.sequences_in(step) in (math.floor(sequences), plan.most_sequences)
    assert abs(plan.sequences_before(step) - step * sequences) < 1 + 1e-6


@given(st.integers(1, 500), st.integers(1, 16))
@settings(deadline=None, derandomize=True)
def test_the_slices_of_all_ranks_make_up_the_batch_in_order(sequences, world_size):
    batch = list(range(sequences))
    parts = [batch[rank_slice(sequences, rank, world_size)] for rank in range(world_size)]
    assert [i for part in parts for i in part] == batch
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_target_is_the_token_after_its_input(planned):
    train, plan = planned("bpe-300", context=TextAmount(tokens=8))
    batch = make_batch(train, np.array([0, 17, train.length - 1]), plan)
    stream = train.crops(np.array([0]), train.length)[0]
    assert batch.inputs[1].tolist() == stream[17:25].tolist()
    assert batch.targets[1].tolist() == stream[18:26].tolist()
    assert batch.targets[2].tolist() == stream[:8].tolist()  # the tokens form a circle


def test_each_position_knows_where_its_document_begins(planned):
    train, plan = planned("char", context=TextAmount(tokens=12))
    eot = plan.eot
    second = int(np.flatnonzero(train.crops(np.array([0]), train.length)[0] == eot)[1])
    batch = make_batch(train, np.array([second - 5, second]), plan)
    assert batch.begins.tolist() == [[0] * 5 + [5] * 7, [0] * 12]
    assert make_batch(train, np.array([second, 0]), plan).begins is None  # it would make no difference
    assert make_batch(train, np.array([second - 5]), replace(plan, eot=None)).begins is None


@pytest.mark.parametrize("steps", [range(0), range(1), range(5, 7), range(3, 40)])
def test_prefetched_batches_are_those_of_each_step_in_order(steps):
    assert list(prefetch(lambda step: step * step, steps)) == [step * step for step in steps]


def test_batches_are_made_in_another_thread_a_limited_number_of_steps_ahead():
    made = []
    third = threading.Event()

    def make(step):
        made.append((step, threading.current_thread()))
        if step == AHEAD:
            third.set()

    batches = prefetch(make, range(100))
    next(batches)
    assert third.wait(10)
    batches.close()  # as when a run is stopped: batches under way are finished, and nothing hangs
    assert [step for step, _ in made] == list(range(AHEAD + 1))
    assert threading.current_thread() not in {thread for _, thread in made}


def test_a_batch_that_fails_raises_at_its_step():
    def make(step):
        return 1 // (7 - step)

    batches = prefetch(make, range(100))
    assert [next(batches) for _ in range(7)] == [1 // (7 - step) for step in range(7)]
    with pytest.raises(ZeroDivisionError):
        next(batches)
