"""A training step: gradients accumulated over micro-batches, clipped, and applied.

The trainer and every benchmark make their steps here.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model import LanguageModel

from . import stop
from .optimizer import OptimizerConfig, make_optimizers
from .precision import autocast, grad_scaler
from .ranks import Ranks


class Batch(NamedTuple):
    """Sequences to learn from, each tensor (B, T) int64."""

    inputs: Tensor
    """token ids"""
    targets: Tensor
    """the ids that follow them"""
    begins: Tensor | None = None
    """the position in which the document of each position begins; none: documents are packed, or none begins
    within a sequence"""

    def to(self, device: str) -> "Batch":
        """The same on a device; the copy may still be under way."""
        return self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """The same in memory from which a copy to a GPU needs no waiting."""
        return self._with_each(Tensor.pin_memory)

    def _with_each(self, do: Callable[[Tensor], Tensor]) -> "Batch":
        begins = None if self.begins is None else do(self.begins)
        return Batch(do(self.inputs), do(self.targets), begins)


@dataclass
class Learner:
    """A model and what updates it."""

    model: LanguageModel
    """whose parameters are updated"""
    forward: Callable[..., Tensor]
    """the same model as it is called: compiled, or under DDP"""
    optimizers: list[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    precision: str
    grad_clip: float
    update_seconds: float = 0.0
    """time that the last update took"""

    def optimizer_state(self) -> dict:
        """What a checkpoint holds besides the weights; the same on all ranks."""
        return {"optimizers": [o.state_dict() for o in self.optimizers], "scaler": self.scaler.state_dict()}


@dataclass(frozen=True)
class StepResult:
    """One step, as all ranks have agreed on it."""

    loss: float
    """mean of the global batch, in nats per token"""
    share: float
    """this rank's part of that sum"""
    norm: float
    """of all gradients, before they were clipped"""
    finite: bool
    """whether the update was made: it is not where loss or gradients are not finite"""
    seconds: float
    """from `begun` until the ranks have agreed, and the update before"""
    stop: str
    """why the run is asked to stop; empty where it is not"""


def make_learner(
    model: LanguageModel,
    config: OptimizerConfig,
    device: str,
    precision: str,
    forward: Callable[..., Tensor] | None = None,
) -> Learner:
    """A learner whose `forward` is the model itself, unless another is given."""
    optimizers, scaler = make_optimizers(model, config), grad_scaler(device, precision)
    call = model if forward is None else forward  # a compiled model has no truth value
    return Learner(model, call, optimizers, scaler, precision, config.grad_clip)


def training_step(
    learner: Learner,
    ranks: Ranks,
    batches: Sequence[Batch],
    sequences: int,
    lr: float,
    begun: float | None = None,
    max_seconds: float | None = None,
) -> StepResult:
    """Make one step on this rank's micro-batches of a global batch of so many `sequences`.

    `begun` is the value of `time.perf_counter` at which the step began (default: now).
    """
    begun = time.perf_counter() if begun is None else begun
    share, norm = _accumulate(learner, ranks, batches, sequences)

    # One agreement a step, on one clock, so that no rank stops while another continues
    asked = stop.asked(max_seconds, look=True) if ranks.main else stop.asked()
    seconds = time.perf_counter() - begun + learner.update_seconds if ranks.main else 0.0
    loss, stops, seconds = ranks.sum(share, bool(asked), seconds)

    # Gradients that are too large for fp16 are the scaler's business: it leaves the update out
    finite = math.isfinite(loss) and (learner.precision == "fp16" or math.isfinite(norm))
    begin = time.perf_counter()
    _update(learner, lr if finite else None)
    learner.update_seconds = time.perf_counter() - begin
    why = (asked or "a signal to another rank") if stops else ""
    return StepResult(loss, share, norm, finite, seconds, why)


def _accumulate(
    learner: Learner, ranks: Ranks, batches: Sequence[Batch], sequences: int
) -> tuple[float, float]:
    """Compute and clip the gradients: this rank's share of the loss, in nats, and the norm of them all."""
    total = torch.zeros((), device=ranks.device)
    parallel = learner.forward if isinstance(learner.forward, DistributedDataParallel) else None
    for number, batch in enumerate(batches, start=1):
        inputs, targets, begins = batch.to(ranks.device)
        with parallel.no_sync() if parallel and number < len(batches) else nullcontext():
            with autocast(ranks.device, learner.precision):
                loss = learner.forward(inputs, targets, begins=begins)
            # A share of the global mean, however unevenly the sequences fall on ranks and micro-batches
            share = loss * (len(inputs) / sequences)
            # DDP averages over the ranks; the shares are meant to be summed
            learner.scaler.scale(share * ranks.world_size).backward()
        total += share.detach()
    for optimizer in learner.optimizers:
        learner.scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(learner.model.parameters(), learner.grad_clip)
    share_of_loss, norm_of_all = torch.stack([total, norm]).tolist()  # waits for the device
    return share_of_loss, norm_of_all


def _update(learner: Learner, lr: float | None) -> None:
    """Apply the gradients, unless there is no `lr`, and clear them."""
    for optimizer in learner.optimizers:
        if lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = lr
            learner.scaler.step(optimizer)
    learner.scaler.update()
    for optimizer in learner.optimizers:
        optimizer.zero_grad(set_to_none=True)
