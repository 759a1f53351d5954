"""Batches as a pure function of (seed, step): nothing to save, nothing to lose."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from data_prep.arrays import MARK_CHARS, Split

from .budget import Plan
from .step import Batch

AHEAD = 2  # steps
Made = TypeVar("Made")


def crop_starts(split: Split, plan: Plan, seed: int, step: int) -> np.ndarray:
    """Where on the circle of tokens the crops of the whole global batch of a step begin: 1-d int64.

    A step reads the same places of the text with every tokenizer. A place is as long as `plan.place_chars`,
    about a context. Of the tokens in all places of a step together every n-th begins a crop, and that crop
    begins where the place of this token does. So a place has about one crop, where the context is in
    characters; a text that takes three times as many tokens has three, which follow each other: whatever
    their length in tokens, all texts are seen equally often.

    Philox is a counter-based generator (Salmon et al. 2011): its key is (seed, step), and its raw output,
    unlike numpy's distributions, is the same in every version.
    """
    generator = np.random.Philox(key=np.array([seed, step], dtype=np.uint64))
    raw = generator.random_raw(plan.places + 1)
    marks = (raw[:-1] % np.uint64(split.places)).astype(np.int64)
    length = max(1, round(plan.place_chars / MARK_CHARS))
    begins, ends = split.token_before(np.concatenate([marks, (marks + length) % split.places])).reshape(2, -1)
    # At least 1: a place may be all within one token
    tokens_to = np.cumsum(np.maximum(1, (ends - begins) % split.length))  # in the places up to each
    crops = plan.sequences_in(step)
    chosen = (np.arange(crops) + raw[-1] / 2**64) * tokens_to[-1] / crops
    place = np.searchsorted(tokens_to, chosen, side="right")
    following = np.arange(crops) - np.searchsorted(place, place)  # crops of the same place before it
    return (begins[place] + following * plan.block_size) % split.length


def rank_slice(sequences: int, rank: int, world_size: int) -> slice:
    """The part of the global batch that a rank takes; all parts together are the batch, in order."""
    return slice(sequences * rank // world_size, sequences * (rank + 1) // world_size)


def make_batch(split: Split, starts: np.ndarray, plan: Plan, compiled: bool = False) -> Batch:
    """The crops that begin at `starts`; the target of a position is the token that follows it.

    Where no document begins within a crop there are no `begins`, except for a `compiled` model, which would
    be compiled anew for them.
    """
    rows = np.stack([split.crop(start, plan.block_size + 1) for start in starts.tolist()])  # (B, T+1)
    crops = torch.from_numpy(rows.astype(np.int64))
    # Contiguous: a copy to a GPU would wait for it otherwise
    inputs, targets = crops[:, :-1].contiguous(), crops[:, 1:].contiguous()
    if plan.eot is None or not (compiled or (inputs[:, 1:] == plan.eot).any()):
        return Batch(inputs, targets)
    begins = torch.where(inputs == plan.eot, torch.arange(plan.block_size), 0).cummax(dim=1).values
    return Batch(inputs, targets, begins)


def prefetch(make: Callable[[int], Made], steps: Iterable[int]) -> Generator[Made]:
    """`make(step)` of each step in turn, made by a thread `AHEAD` steps before it is asked for."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Made]] = deque()
        for step in steps:
            waiting.append(thread.submit(make, step))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        for made in waiting:
            yield made.result()
