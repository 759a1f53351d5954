"""The loss of the next token, in nats, from logits or from the input of the output layer."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 512  # at least, per chunk: every chunk adds to the gradient of the weight, which takes time


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p(target) for logits (B, T, V), always computed in float32."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def token_nats(output: Callable[[Tensor], Tensor], x: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """-log p of every target that is not -1, in order: 1-d float32.

    `output` turns N positions of x (B, T, ...) into logits (N, V). It is called with one chunk at a time, and
    only for positions that have a target.
    """
    x, targets = x[targets >= 0], targets[targets >= 0]
    rows = max(1, chunk_logits(x.device) // vocab_size)
    parts = zip(x.split(rows), targets.split(rows), strict=True)
    return torch.cat([F.cross_entropy(output(part).float(), to, reduction="none") for part, to in parts])


def chunk_logits(device: torch.device) -> int:
    """Number of logits per chunk: on a CPU, about what its cache holds.

    On a GPU, a sixteenth of its memory, at up to 16 bytes per logit: smaller chunks would read and write the
    gradient of the weight more often.
    """
    if device.type == "cpu":
        return 1 << 22
    return torch.cuda.get_device_properties(device).total_memory // 256


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """`cross_entropy` of the first `vocab_size` logits of a linear layer: x (B, T, C), weight (rows, C).

    Many logits are computed in chunks, forward and backward together, so that they are never all in memory.
    `F.linear_cross_entropy` does the same, but sums a bf16 loss in bf16, with an error of some per cent.
    """
    device = x.device.type
    if targets.numel() * vocab_size <= chunk_logits(x.device) or not torch.is_grad_enabled():
        return cross_entropy(F.linear(x, weight)[..., :vocab_size], targets)
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return _Chunked.apply(x.flatten(0, 1), weight, targets.flatten(), vocab_size, dtype)


class _Chunked(torch.autograd.Function):
    """Loss and gradients in one pass; backward only multiplies them by the gradient of the loss."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        targets: Tensor,
        vocab_size: int,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = max(ROWS, chunk_logits(x.device) // vocab_size)
        x_matmul, weight_matmul = x.to(dtype), weight.to(dtype)
        loss = torch.zeros((), device=x.device)
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        for at in range(0, len(x), rows):
            part, target = x_matmul[at : at + rows], targets[at : at + rows]
            nats, grad_logits = loss_of_chunk(F.linear(part, weight_matmul), target, vocab_size)
            loss += nats
            grad_x[at : at + rows] = grad_logits @ weight_matmul
            grad_weight += grad_logits.mT @ part
        ctx.save_for_backward(grad_x, grad_weight)
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight = ctx.saved_tensors
        grad = grad / len(grad_x)
        return grad_x * grad, grad_weight * grad, None, None, None


def loss_in_place(logits: Tensor, targets: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """Sum of -log p(target) of a chunk, in float32, and the gradient of its logits (N, rows), in their dtype.

    Rows of the weight beyond `vocab_size` take no part in any probability.
    """
    wide = logits.float()
    wide[:, vocab_size:] = float("-inf")
    log_p = wide.log_softmax(dim=1)
    nats = -log_p.gather(1, targets[:, None]).sum()
    p = log_p.exp_()
    p[torch.arange(len(targets), device=p.device), targets] -= 1
    return nats, p.to(logits.dtype)


def loss_to_fuse(logits: Tensor, targets: Tensor, vocab_size: int) -> tuple[Tensor, Tensor]:
    """The same as `loss_in_place`, written so that a compiler can fuse it.

    The kernel reads the logits twice, writes the gradient, and nothing else of that size.
    """
    columns = torch.arange(logits.shape[1], device=logits.device)
    log_p = logits.float().masked_fill(columns >= vocab_size, float("-inf")).log_softmax(dim=1)
    nats = -log_p.gather(1, targets[:, None]).sum()
    return nats, (log_p.exp() - (columns == targets[:, None]).float()).to(logits.dtype)


loss_of_chunk = loss_in_place


def compile_chunks() -> None:
    """Compile the computation between the matmuls of a chunk, and keep torch.compile out of the loop over
    chunks, which it would unroll.

    A decorator would import the compiler in every process, which takes longer than torch itself.
    """
    global loss_of_chunk
    if loss_of_chunk is loss_in_place:
        loss_of_chunk = torch.compile(loss_to_fuse, dynamic=False)
        setattr(_Chunked, "forward", staticmethod(torch.compiler.disable(_Chunked.forward)))  # noqa: B010
