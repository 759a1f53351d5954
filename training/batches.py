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
    """The token positions at which the crops of a step's global batch start: 1-d int64.

    The training tokens form a circle. A step reads the same places of the text with every tokenizer; a place
    is `plan.place_chars` characters long, about one context. Every n-th token of all places of the step
    selects a crop, and the crop starts where that token's place does. With a context in characters a place
    thus has about one crop. Where the text takes three times as many tokens, it has three consecutive crops.
    So all text is seen equally often, whatever its length in tokens.

    Philox is a counter-based generator (Salmon et al. 2011). Its key is (seed, step), and its raw output,
    unlike that of numpy's distributions, is the same in every version of numpy.
    """
    generator = np.random.Philox(key=np.array([seed, step], dtype=np.uint64))
    raw = generator.random_raw(plan.places + 1)
    marks = (raw[:-1] % np.uint64(split.places)).astype(np.int64)
    length = max(1, round(plan.place_chars / MARK_CHARS))
    begins, ends = split.token_before(np.concatenate([marks, (marks + length) % split.places])).reshape(2, -1)
    # At least 1: a place may lie within a single token
    tokens_to = np.cumsum(np.maximum(1, (ends - begins) % split.length))  # in the places up to and with each
    crops = plan.sequences_in(step)
    chosen = (np.arange(crops) + raw[-1] / 2**64) * tokens_to[-1] / crops
    place = np.searchsorted(tokens_to, chosen, side="right")
    following = np.arange(crops) - np.searchsorted(place, place)  # earlier crops of the same place
    return (begins[place] + following * plan.block_size) % split.length


def rank_slice(sequences: int, rank: int, world_size: int) -> slice:
    """The slice of the global batch for one rank; the slices of all ranks in order make up the batch."""
    return slice(sequences * rank // world_size, sequences * (rank + 1) // world_size)


def make_batch(split: Split, starts: np.ndarray, plan: Plan, compiled: bool = False) -> Batch:
    """The batch of crops that start at `starts`; the target of a position is the next token.

    `begins` is left out if no document begins within a crop. A `compiled` model always gets it, because it
    would be recompiled otherwise.
    """
    crops = torch.from_numpy(split.crops(starts, plan.block_size + 1))  # (B, T+1)
    # Contiguous, so that the copy to a GPU is asynchronous
    inputs, targets = crops[:, :-1].contiguous(), crops[:, 1:].contiguous()
    if plan.eot is None or not (compiled or (inputs[:, 1:] == plan.eot).any()):
        return Batch(inputs, targets)
    begins = torch.where(inputs == plan.eot, torch.arange(plan.block_size), 0).cummax(dim=1).values
    return Batch(inputs, targets, begins)


def prefetch(make: Callable[[int], Made], steps: Iterable[int]) -> Generator[Made]:
    """Yield `make(step)` for each step in order, computed in a thread `AHEAD` steps in advance."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Made]] = deque()
        for step in steps:
            waiting.append(thread.submit(make, step))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        for made in waiting:
            yield made.result()
