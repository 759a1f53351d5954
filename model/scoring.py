"""How many bits a model needs for a document: every token scored once, documents alone.

The one implementation of the metric (docs/metric.md), for validation while training and for the test.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LOGITS = 1 << 22  # at most so many logits at a time: more falls out of a CPU's cache


def windows(length: int, block_size: int, stride: int) -> list[tuple[int, int, int]]:
    """Windows over `length` inputs as (start, end, first): feed start..end-1, score first..end-1.

    The first window scores everything in it, each further one at most its last `stride` positions, so
    that those see at least `block_size - stride` tokens before them. Every position is scored once.
    """
    first, end = 0, min(block_size, length)
    found = [(0, end, 0)]
    while end < length:
        first, end = end, min(end + stride, length)
        found.append((end - block_size, end, first))
    return found


@torch.no_grad()
def score(
    model: nn.Module, sequences: Sequence[np.ndarray], stride: int, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """Bits for each document's text, and for the `eot` behind it; both float64, one per document.

    `sequences` are token ids, 1-d, each from the `eot` before the document to the `eot` behind it. The
    first is context only. `model` maps ids (B, T) to logits (B, T, V) and has a `block_size`.

    Raises:
        ValueError: a stride that is not between 1 and the block size.
    """
    if not 1 <= stride <= model.block_size:
        raise ValueError(f"stride {stride} is not between 1 and the block size {model.block_size}")
    was_training = model.training
    model.eval()
    plan = [
        (document, *window)
        for document, sequence in enumerate(sequences)
        for window in windows(len(sequence) - 1, model.block_size, stride)
    ]
    plan.sort(key=lambda window: window[1] - window[2])  # equal lengths together: little padding
    bits, eot_bits = np.zeros(len(sequences)), np.zeros(len(sequences))
    rows = max(1, LOGITS // (model.vocab_size * model.block_size))
    for at in range(0, len(plan), rows):
        batch = plan[at : at + rows]
        width = max(end - start for _, start, end, _ in batch)
        inputs = np.zeros((len(batch), width), dtype=np.int64)
        targets = np.full((len(batch), width), -1, dtype=np.int64)  # -1: not scored
        for row, (document, start, end, first) in enumerate(batch):
            sequence = sequences[document]
            inputs[row, : end - start] = sequence[start:end]
            targets[row, first - start : end - start] = sequence[first + 1 : end + 1]
        logits = model(torch.from_numpy(inputs).to(device))  # (B, T, V)
        nats = F.cross_entropy(
            logits.float().flatten(0, 1),
            torch.from_numpy(targets).to(device).flatten(),
            ignore_index=-1,
            reduction="none",
        )
        window_bits = nats.double().view(len(batch), width).cpu().numpy() / math.log(2)
        for row, (document, start, end, _) in enumerate(batch):
            last = end - start
            if end == len(sequences[document]) - 1:  # the last target is the eot
                last -= 1
                eot_bits[document] += window_bits[row, last]
            bits[document] += window_bits[row, :last].sum()
    model.train(was_training)
    return bits, eot_bits
