"""A training step: gradients accumulated over micro-batches, clipped, and applied.

The trainer and every benchmark make their steps here.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model import LanguageModel

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
    halted: Tensor
    """whether a step was not finite, on the device: no update is made until `resume`"""

    def optimizer_state(self) -> dict:
        """What a checkpoint holds besides the weights; the same on all ranks."""
        return {"optimizers": [o.state_dict() for o in self.optimizers], "scaler": self.scaler.state_dict()}

    def resume(self) -> None:
        """Make updates again."""
        self.halted.zero_()


@dataclass(frozen=True)
class StepResult:
    """One step; the same on all ranks, but for `share`."""

    loss: float
    """mean of the global batch, in nats per token"""
    share: float
    """this rank's part of that sum"""
    norm: float
    """of all gradients, before they were clipped"""
    finite: bool
    """whether the update was made: it is not where loss or gradients are not finite"""
    stop: bool
    """whether a rank was asked to stop"""
    save: bool
    """whether the main rank wants a checkpoint"""
    lr: float
    """learning rate of its update"""


class Step:
    """A step that has begun; a GPU may still be at it, or not have got to it yet."""

    def __init__(self, values: Tensor, lr: float) -> None:
        # Into memory that the device can write to while the host goes on
        self.values, self.lr = values.to("cpu", non_blocking=True), lr
        self.event = torch.cuda.Event() if values.is_cuda else None
        if self.event:
            self.event.record()

    def result(self) -> StepResult:
        """What came of it, once the device has done it."""
        if self.event:
            self.event.synchronize()
        loss, stops, saves, share, norm, finite = self.values.tolist()
        return StepResult(loss, share, norm, finite > 0, stops > 0, saves > 0, self.lr)


def make_learner(
    model: LanguageModel,
    config: OptimizerConfig,
    ranks: Ranks,
    precision: str,
    forward: Callable[..., Tensor] | None = None,
) -> Learner:
    """A learner whose `forward` is the model itself, unless another is given."""
    return Learner(
        model,
        model if forward is None else forward,  # a compiled model has no truth value
        make_optimizers(model, config, ranks),
        grad_scaler(ranks.device, precision),
        precision,
        config.grad_clip,
        torch.zeros((), dtype=torch.bool, device=ranks.device),
    )


def training_step(
    learner: Learner,
    ranks: Ranks,
    batches: Sequence[Batch],
    sequences: int,
    lr: float,
    stop: bool = False,
    save: bool = False,
) -> Step:
    """Begin a step on this rank's micro-batches of a global batch of so many `sequences`.

    The host does not wait for a GPU, except with fp16. A loss or gradient that is not finite halts the
    learner on the device: neither this update is made nor that of any further step, until `learner.resume()`.
    So all is as it was before the step when the host learns of it.

    `stop` and `save` ask all ranks to stop, or to let the main one write a checkpoint.
    """
    share, norm = _accumulate(learner, ranks, batches, sequences)
    # One agreement a step, so that no rank stops while another continues
    asks = [torch.full((), float(ask), dtype=torch.float64, device=ranks.device) for ask in (stop, save)]
    values = torch.stack([share.double(), *asks])
    ranks.add_up(values)
    finite = values[0].isfinite()
    if learner.precision != "fp16":  # whose scaler leaves out the update where gradients are too large for it
        finite = finite & norm.isfinite()
    learner.halted |= ~finite
    _update(learner, lr)
    return Step(torch.cat([values, torch.stack([share, norm, finite]).double()]), lr)


def _accumulate(
    learner: Learner, ranks: Ranks, batches: Sequence[Batch], sequences: int
) -> tuple[Tensor, Tensor]:
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
    return total, nn.utils.clip_grad_norm_(learner.model.parameters(), learner.grad_clip)


def _update(learner: Learner, lr: float) -> None:
    """Apply the gradients, unless the learner is halted, and clear them."""
    for optimizer in learner.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
    if learner.halted.is_cuda and not learner.scaler.is_enabled():
        halted = learner.halted.float()
        for optimizer in learner.optimizers:
            setattr(optimizer, "found_inf", halted)  # noqa: B010  # fused kernels change nothing then
            optimizer.step()
    else:
        if not learner.halted:  # on a GPU waits for it, as the scaler's own steps do
            for optimizer in learner.optimizers:
                learner.scaler.step(optimizer)
        learner.scaler.update()
    for optimizer in learner.optimizers:
        optimizer.zero_grad(set_to_none=True)
