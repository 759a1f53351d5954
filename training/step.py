"""A training step: gradients are accumulated over micro-batches, clipped and applied.

The trainer and all benchmarks use this one function.
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
    """Training sequences; each tensor is (B, T) int64."""

    inputs: Tensor
    """token ids"""
    targets: Tensor
    """the next ids"""
    begins: Tensor | None = None
    """position at which the document of each position begins; None: documents are packed, or none begins
    within a sequence"""

    def to(self, device: str) -> "Batch":
        """Copy to a device asynchronously."""
        return self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Copy to pinned memory, from which a copy to a GPU is asynchronous."""
        return self._with_each(Tensor.pin_memory)

    def _with_each(self, do: Callable[[Tensor], Tensor]) -> "Batch":
        begins = None if self.begins is None else do(self.begins)
        return Batch(do(self.inputs), do(self.targets), begins)


@dataclass
class Learner:
    """A model with its optimizers and gradient scaler."""

    model: LanguageModel
    """the model whose parameters are updated"""
    forward: Callable[..., Tensor]
    """the same model as training calls it: compiled, or wrapped in DDP"""
    optimizers: list[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    precision: str
    grad_clip: float
    halted: Tensor
    """bool on the device: true after a non-finite step; no update is made until `resume`"""

    def optimizer_state(self) -> dict:
        """State of the optimizers and the scaler, for a checkpoint; the same on all ranks."""
        return {"optimizers": [o.state_dict() for o in self.optimizers], "scaler": self.scaler.state_dict()}

    def resume(self) -> None:
        """Allow updates again after a non-finite step."""
        self.halted.zero_()


@dataclass(frozen=True)
class StepResult:
    """Result of one step; the same on all ranks, except for `share`."""

    loss: float
    """mean loss of the global batch, in nats per token"""
    share: float
    """this rank's contribution to the loss; the contributions of all ranks sum to it"""
    norm: float
    """norm of all gradients, before clipping"""
    finite: bool
    """true if loss and gradients are finite, so that the update was made"""
    stop: bool
    """true if a rank was asked to stop"""
    save: bool
    """true if the main rank wants to save a checkpoint"""
    lr: float
    """learning rate of the update"""


class Step:
    """A step that has begun; a GPU may not have finished or even started it."""

    def __init__(self, values: Tensor, lr: float) -> None:
        # An asynchronous copy: the host continues
        self.values, self.lr = values.to("cpu", non_blocking=True), lr
        self.event = torch.cuda.Event() if values.is_cuda else None
        if self.event:
            self.event.record()

    def result(self) -> StepResult:
        """Wait until the device has done the step, and return its result."""
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
    """Create a learner; `forward` is the model itself by default."""
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
    """Begin a step on this rank's micro-batches of a global batch of `sequences` sequences.

    The host does not wait for a GPU, except with fp16. A non-finite loss or gradient halts the learner on the
    device: neither this step nor any later one makes an update until `learner.resume()`. So weights and
    optimizers are still those before the step when the host learns of it.

    `stop` asks all ranks to stop, and `save` asks for a checkpoint by the main rank.
    """
    share, norm = _accumulate(learner, ranks, batches, sequences)
    # One all-reduce per step also agrees on stopping, so that no rank stops while another continues
    asks = [torch.full((), float(ask), dtype=torch.float64, device=ranks.device) for ask in (stop, save)]
    values = torch.stack([share.double(), *asks])
    ranks.add_up(values)
    finite = values[0].isfinite()
    if learner.precision != "fp16":  # its scaler itself skips an update whose gradients overflow
        finite = finite & norm.isfinite()
    learner.halted |= ~finite
    _update(learner, lr)
    return Step(torch.cat([values, torch.stack([share, norm, finite]).double()]), lr)


def _accumulate(
    learner: Learner, ranks: Ranks, batches: Sequence[Batch], sequences: int
) -> tuple[Tensor, Tensor]:
    """Compute and clip the gradients; returns this rank's share of the loss (nats) and the gradient norm."""
    total = torch.zeros((), device=ranks.device)
    parallel = learner.forward if isinstance(learner.forward, DistributedDataParallel) else None
    for number, batch in enumerate(batches, start=1):
        inputs, targets, begins = batch.to(ranks.device)
        with parallel.no_sync() if parallel and number < len(batches) else nullcontext():
            with autocast(ranks.device, learner.precision):
                loss = learner.forward(inputs, targets, begins=begins)
            # A share of the global mean, also if ranks or micro-batches have unequal numbers of sequences
            share = loss * (len(inputs) / sequences)
            # DDP averages over the ranks, but the shares must be summed
            learner.scaler.scale(share * ranks.world_size).backward()
        total += share.detach()
    for optimizer in learner.optimizers:
        learner.scaler.unscale_(optimizer)
    return total, nn.utils.clip_grad_norm_(learner.model.parameters(), learner.grad_clip)


def _update(learner: Learner, lr: float) -> None:
    """Apply the gradients, unless the learner is halted, then clear them."""
    for optimizer in learner.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
    if learner.halted.is_cuda and not learner.scaler.is_enabled():
        halted = learner.halted.float()
        for optimizer in learner.optimizers:
            setattr(optimizer, "found_inf", halted)  # noqa: B010  # if 1, fused kernels change nothing
            optimizer.step()
    else:
        if not learner.halted:  # waits for a GPU, as the scaler's steps do anyway
            for optimizer in learner.optimizers:
                learner.scaler.step(optimizer)
        learner.scaler.update()
    for optimizer in learner.optimizers:
        optimizer.zero_grad(set_to_none=True)
