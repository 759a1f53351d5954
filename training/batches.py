"""Batches as a pure function of (seed, step): nothing to save, nothing to lose."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch

from data_prep.arrays import Split

AHEAD = 2  # steps
Made = TypeVar("Made")


def crop_starts(seed: int, step: int, sequences: int, positions: int) -> np.ndarray:
    """Where the crops of the whole global batch of a step begin: 1-d int64 below `positions`.

    Philox is a counter-based generator (Salmon et al. 2011): its key is (seed, step), and its raw
    output, unlike numpy's distributions, is the same in every version.
    """
    raw = np.random.Philox(key=np.array([seed, step], dtype=np.uint64)).random_raw(sequences)
    return (raw % np.uint64(positions)).astype(np.int64)


def rank_slice(sequences: int, rank: int, world_size: int) -> slice:
    """The part of the global batch that a rank takes; all parts together are the batch, in order."""
    return slice(sequences * rank // world_size, sequences * (rank + 1) // world_size)


def make_batch(split: Split, starts: np.ndarray, block_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets, each (B, T) int64: the target at a position is the token that follows it."""
    rows = np.stack([split.crop(start, block_size + 1) for start in starts.tolist()])  # (B, T+1)
    crops = torch.from_numpy(rows.astype(np.int64))
    return crops[:, :-1], crops[:, 1:]


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
