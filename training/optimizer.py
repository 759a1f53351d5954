"""The optimizers, and the learning rate at each step."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from model import LanguageModel

from .muon import Muon
from .ranks import Ranks


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer and its learning rate over time."""

    name: Literal["adamw", "muon"] = "adamw"
    """adamw; or muon for the hidden matrices of a gpt, with adamw for all other parameters"""
    lr: float = 1e-3
    """learning rate after the warm-up; the same size suits both, as Muon's updates are scaled to AdamW's"""
    beta1: float = 0.9
    """AdamW's decay rate of the mean gradient"""
    beta2: float = 0.99
    """AdamW's decay rate of the mean squared gradient"""
    weight_decay: float = 0.1
    """decoupled weight decay, applied to matrices but not to embeddings"""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """learning rate after the warm-up. cosine: falls along a cosine to the end; wsd: stays constant, then
    falls linearly"""
    warmup: float = 0.05
    """share of the training in which the learning rate rises linearly from 0"""
    decay: float = 0.4
    """share of the training in which the learning rate falls at the end (wsd only)"""
    final_lr: float = 0.1
    """learning rate at the end, as a share of lr"""
    grad_clip: float = 1.0
    """gradients are scaled down to this norm if theirs is larger"""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.grad_clip <= 0:
            raise ValueError(f"optimizer: lr {self.lr} and grad_clip {self.grad_clip} must be above 0")
        for name in ("beta1", "beta2", "warmup", "decay", "final_lr"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"optimizer.{name} {getattr(self, name)} is not between 0 and 1")


def make_optimizers(
    model: LanguageModel, config: OptimizerConfig, ranks: Ranks | None = None
) -> list[torch.optim.Optimizer]:
    """Fused AdamW; with `muon`, Muon for the hidden matrices and AdamW for the rest.

    Weight decay applies to matrices only, not to embeddings, norms and biases. The `ranks` share Muon's work.
    """
    # Parameters by the number of matrices stacked in them
    hidden: dict[int, list[nn.Parameter]] = {}
    others, free = [], []
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2 or "embedding" in name or "table" in name:
            free.append(parameter)
            continue
        if not name.startswith("blocks."):
            others.append(parameter)
            continue
        layer = name.split(".")[-2]
        if layer == "query_key_value":
            parts = 3
        elif layer == "up" and model.config.mlp == "swiglu":
            parts = 2
        else:
            parts = 1
        hidden.setdefault(parts, []).append(parameter)
    betas = (config.beta1, config.beta2)
    optimizers: list[torch.optim.Optimizer] = []
    if config.name == "muon" and hidden:
        groups = [{"params": matrices, "parts": parts} for parts, matrices in hidden.items()]
        optimizers.append(Muon(groups, config.lr, config.weight_decay, ranks=ranks))
    else:
        others = [p for matrices in hidden.values() for p in matrices] + others
    groups = [
        {"params": others, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return [*optimizers, torch.optim.AdamW(groups, config.lr, betas, fused=True)]


def learning_rate(progress: float, config: OptimizerConfig) -> float:
    """The learning rate at `progress`, the used share of the budget, 0 to 1.

    After a linear warm-up to lr it falls to lr * final_lr: with `cosine` from there on, with `wsd`
    (arXiv 2404.06395) linearly at the end, after a constant phase.
    """
    if progress < config.warmup:
        return config.lr * progress / config.warmup
    if config.schedule == "wsd":
        high = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    else:
        done = (progress - config.warmup) / (1 - config.warmup) if config.warmup < 1 else 1.0
        high = 0.5 * (1 + math.cos(math.pi * done))
    floor = config.lr * config.final_lr
    return floor + (config.lr - floor) * high
