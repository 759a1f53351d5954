"""Choose the micro-batch: as many sequences at a time as fit in memory."""

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from model import LanguageModel

from .precision import autocast
from .ranks import Ranks

SHARE = 0.5  # of the free memory; the rest is for gradients, the optimizer and temporary tensors


def fit_micro_batch(
    model: LanguageModel, rows: int, ranks: Ranks, precision: str, alone: bool = False
) -> int:
    """The number of sequences in a micro-batch: `rows` or an even part of them; the same on every rank.

    With `alone`, attention does not cross the beginning of a document.
    """
    fit = int(SHARE * free_memory(ranks.device) / bytes_per_sequence(model, ranks.device, precision, alone))
    parts = math.ceil(rows / max(1, min(fit, rows)))
    return math.ceil(rows / ranks.most(parts))


def bytes_per_sequence(model: LanguageModel, device: str, precision: str, alone: bool = False) -> int:
    """Bytes that each additional sequence of a batch keeps for the backward pass.

    This is the larger of two differences between batches of 1, 2 and 3 sequences. A single batch also keeps
    what does not depend on its size, such as the weights in bf16; and from some size on the loss is computed
    in chunks, which keep less.
    """
    one, two, three = (saved_bytes(model, count, device, precision, alone) for count in (1, 2, 3))
    return max(two - one, three - two)


def saved_bytes(
    model: LanguageModel, sequences: int, device: str, precision: str, alone: bool = False
) -> int:
    """Bytes that the forward pass of `sequences` sequences keeps for the backward pass."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    idx = torch.zeros(sequences, model.block_size, dtype=torch.int64, device=device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), autocast(device, precision):
        model(idx, idx, begins=idx if alone else None)
    return sum(kept.values())


def free_memory(device: str) -> float:
    """Bytes available to this process; processes on one CPU, and runs on one GPU, share its free memory."""
    if device != "cpu":
        return torch.cuda.mem_get_info(device)[0] / int(os.environ.get("RUNS_PER_GPU", 1))
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
        free = float(lines["MemAvailable"].split()[0]) * 1024
    else:
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    return free / int(os.environ.get("LOCAL_WORLD_SIZE", 1))
