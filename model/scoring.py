"""The bits a model needs for each document: every token is scored once, every document alone.

The only implementation of the metric (docs/metric.md), for validation during training and for the test.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

from .base import LanguageModel

TOKENS = 1 << 12  # per batch, context included
Scoring = Literal["fp32", "tf32", "bf16"]


def windows(length: int, block_size: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows over `length` inputs as (start, end, first): feed start..end-1, score first..end-1.

    The first window scores all its positions, every later one at most its last `stride` positions, which
    therefore see at least `block_size - stride` tokens before them. Every position is scored once.
    """
    first, end = 0, min(block_size, length)
    found = [(0, end, 0)]
    while end < length:
        first, end = end, min(end + stride, length)
        found.append((end - block_size, end, first))
    return found


def score(
    model: LanguageModel,
    sequences: Sequence[np.ndarray],
    stride: int,
    device: str = "cpu",
    block_size: int = 0,
    part: tuple[int, int] = (0, 1),
    scoring: Scoring = "fp32",
) -> np.ndarray:
    """Bits of every target of every sequence, in order: 1-d float64.

    `sequences` are token ids, 1-d, each from the `eot` before a document to the `eot` after it: the first
    token is context only, all others are targets. `block_size` is the model's (default) or smaller.
    `scoring` is the precision: tf32 rounds the factors of a matmul on a GPU, bf16 uses autocast.

    `part` = (i, n) computes only every n-th batch, starting with the i-th; all other bits are 0. The batches
    do not depend on n or on the number of threads, so the sum of all parts is the same to the last bit.

    Raises:
        ValueError: the stride is not between 1 and the block size.
    """
    block_size = block_size or model.block_size
    if not 1 <= stride <= block_size:
        raise ValueError(f"stride {stride} is not between 1 and the block size {block_size}")
    was_training = model.training
    model.eval()
    ends = np.cumsum([len(sequence) - 1 for sequence in sequences])
    bits = np.zeros(ends[-1] if len(ends) else 0)
    to_score = [
        (number, *window)
        for number, sequence in enumerate(sequences)
        for window in windows(len(sequence) - 1, block_size, stride)
    ]
    to_score.sort(key=lambda window: window[1] - window[2])  # similar lengths together need little padding
    rows = max(1, TOKENS // block_size)
    begins = range(part[0] * rows, len(to_score), part[1] * rows)
    batches = [to_score[begin : begin + rows] for begin in begins]

    @torch.no_grad()  # which holds for one thread only
    def nats(batch: list[tuple[int, int, int, int]]) -> np.ndarray:
        width = max(end - start for _, start, end, _ in batch)
        inputs = np.zeros((len(batch), width), dtype=np.int64)
        targets = np.full((len(batch), width), -1, dtype=np.int64)
        for row, (number, start, end, first) in enumerate(batch):
            sequence = sequences[number]
            inputs[row, : end - start] = sequence[start:end]
            targets[row, first - start : end - start] = sequence[first + 1 : end + 1]
        ids, wanted = (torch.from_numpy(array).to(device) for array in (inputs, targets))
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=scoring == "bf16"):
            return model(ids, wanted, reduction="none").double().cpu().numpy()

    with _tf32(scored_in(scoring, device) == "tf32"), _threads(device) as each:
        for batch, found in zip(batches, each(nats, batches), strict=True):
            done = 0
            for number, _, end, first in batch:
                begin = ends[number] - len(sequences[number]) + 1  # of this sequence's targets
                bits[begin + first : begin + end] = found[done : done + end - first] / math.log(2)
                done += end - first
    model.train(was_training)
    return bits


def scored_in(scoring: Scoring, device: str) -> Scoring:
    """The precision that a device really uses: a CPU has no tf32 and uses fp32."""
    return "fp32" if scoring == "tf32" and device == "cpu" else scoring


@contextmanager
def _tf32(enabled: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    if enabled:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _threads(device: str) -> Iterator[Callable[[Callable, list], Iterable]]:
    """A `map` that works on as many batches at a time as the CPU has threads, one thread per batch.

    This is as fast as all threads on one batch. It also keeps results equal: the last bits of a matmul
    depend on its number of threads.
    """
    threads = torch.get_num_threads() if device == "cpu" else 1
    if threads == 1:
        yield map
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def document_bits(bits: np.ndarray, sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """From the `bits` of `score`: each document's sum over its text, and its last `eot`; both 1-d float64."""
    ends = np.cumsum([len(sequence) - 1 for sequence in sequences]) - 1
    parts = np.split(bits, ends + 1)[:-1]
    return np.array([part[:-1].sum() for part in parts]), bits[ends]
