"""The optimizers, and the learning rate at each step."""

import math

import torch
from torch import nn

from .config import OptimizerConfig
from .muon import Muon

# Linear layers that are several matrices on top of each other: query, key and value; SwiGLU's two.
PARTS = {"query_key_value": 3, "up": 2}


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """AdamW in one fused kernel; with `muon`, Muon for the hidden matrices and AdamW for the rest.

    Weight decay is on matrices only: not on embeddings, norms and biases.
    """
    hidden = {}  # matrices by how many there are in a parameter
    others, free = [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or "embedding" in name or "table" in name:
            free.append(parameter)
            continue
        if not name.startswith("blocks."):
            others.append(parameter)
            continue
        layer = name.split(".")[-2]
        gated = layer == "up" and model.config.mlp != "swiglu"
        parts = 1 if gated else PARTS.get(layer, 1)
        hidden.setdefault(parts, []).append(parameter)
    betas = (config.beta1, config.beta2)
    optimizers: list[torch.optim.Optimizer] = []
    if config.name == "muon" and hidden:
        groups = [{"params": matrices, "parts": parts} for parts, matrices in hidden.items()]
        optimizers.append(Muon(groups, config.lr, config.weight_decay))
    else:
        others = [p for matrices in hidden.values() for p in matrices] + others
    groups = [
        {"params": others, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return [*optimizers, torch.optim.AdamW(groups, config.lr, betas, fused=True)]


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """The rate of step 0 <= step < steps: linear warm-up to lr, then down to lr * final_lr.

    `cosine` falls from there on; `wsd` (arXiv 2404.06395) stays, and falls in a line at the end.
    """
    warmup = math.ceil(config.warmup * steps)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    if config.schedule == "wsd":
        decay = math.ceil(config.decay * steps)
        high = min(1.0, (steps - step) / (decay + 1))
    else:
        done = (step - warmup) / max(1, steps - warmup - 1)
        high = 0.5 * (1 + math.cos(math.pi * done))
    floor = config.lr * config.final_lr
    return floor + (config.lr - floor) * high
