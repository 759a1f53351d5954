"""The loss of the next token, in nats, from logits or from what the output layer sees."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Logits at a time: on a CPU about what its cache holds, on a GPU enough to keep it busy.
CHUNK = {"cpu": 1 << 22, "cuda": 1 << 26}
ROWS = 512  # at least: adding up the gradients of the weight takes its time for each chunk


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p(target) for logits (B, T, V), computed in float32 whatever their precision."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def token_nats(output: Callable[[Tensor], Tensor], x: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """-log p of every target that is not -1, in order: 1-d float32.

    `output` makes logits (N, V) of N rows of x (B, T, ...): a chunk at a time, and none where no target is.
    """
    x, targets = x[targets >= 0], targets[targets >= 0]
    rows = max(1, CHUNK[x.device.type] // vocab_size)
    parts = zip(x.split(rows), targets.split(rows), strict=True)
    return torch.cat([F.cross_entropy(output(part).float(), to, reduction="none") for part, to in parts])


def linear_cross_entropy(x: Tensor, weight: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """`cross_entropy` of the first `vocab_size` logits of a linear layer: x (B, T, C), weight (rows, C).

    Where there are many logits, a chunk of them at a time, forward and backward at once, so that never all
    are in memory. `F.linear_cross_entropy` does that too, but sums a bf16 loss in bf16, wrong by per cents.
    """
    device = x.device.type
    if targets.numel() * vocab_size <= CHUNK[device] or not torch.is_grad_enabled():
        return cross_entropy(F.linear(x, weight)[..., :vocab_size], targets)
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    return _Chunked.apply(x.flatten(0, 1), weight, targets.flatten(), vocab_size, dtype)


class _Chunked(torch.autograd.Function):
    """The gradients are worked out with the loss, and wait for what they are to be multiplied by."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        targets: Tensor,
        vocab_size: int,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = max(ROWS, CHUNK[x.device.type] // vocab_size)
        x_matmul, weight_matmul = x.to(dtype), weight.to(dtype)
        loss = torch.zeros((), device=x.device)
        grad_x, grad_weight = torch.empty_like(x), torch.zeros_like(weight)
        for at in range(0, len(x), rows):
            part, target = x_matmul[at : at + rows], targets[at : at + rows]
            logits = F.linear(part, weight_matmul).float()  # (rows, V)
            logits[:, vocab_size:] = float("-inf")
            log_p = logits.log_softmax(dim=1)
            loss -= log_p.gather(1, target[:, None]).sum()
            p = log_p.exp_()
            p[torch.arange(len(target), device=x.device), target] -= 1  # d loss / d logits
            p = p.to(dtype)
            grad_x[at : at + rows] = p @ weight_matmul
            grad_weight += p.mT @ part
        ctx.save_for_backward(grad_x, grad_weight)
        return loss / len(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x, grad_weight = ctx.saved_tensors
        grad = grad / len(grad_x)
        return grad_x * grad, grad_weight * grad, None, None, None


def stay_eager() -> None:
    """Make torch.compile pass over the chunks, which it would unroll.

    A decorator would do the same, but import the compiler everywhere, which takes longer than torch itself.
    """
    setattr(_Chunked, "forward", staticmethod(torch.compiler.disable(_Chunked.forward)))  # noqa: B010
