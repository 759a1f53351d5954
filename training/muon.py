"""Muon: momentum, made orthogonal before it is applied to a matrix."""

from collections import defaultdict

import torch
from torch import Tensor

from .precision import fast_dtype

# Five steps of X <- aX + b(XX')X + c(XX')^2 X take all singular values near 1 (Jordan et al. 2024,
# https://kellerjordan.github.io/posts/muon).
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, but with equal shapes all at once.

    A small model has dozens of matrices, and torch's own takes them one by one (docs/performance.md). A
    parameter that is several matrices on top of each other, such as query, key and value in one, is in a
    group whose `parts` says how many; each is made orthogonal by itself.

    The learning rate and the weight decay are those of AdamW: an update has the same root mean square
    (Liu et al. 2025, arXiv 2502.16982).
    """

    def __init__(self, groups: list[dict], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "parts": 1})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # takes no closure
        """Apply the gradients."""
        by_shape: dict[tuple[int, int], list[tuple[Tensor, Tensor, dict]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum, rate = state["momentum"], group["momentum"]
                momentum.lerp_(parameter.grad, 1 - rate)
                update = parameter.grad.lerp(momentum, rate)  # Nesterov's
                parts = zip(parameter.chunk(group["parts"]), update.chunk(group["parts"]), strict=True)
                for matrix, part in parts:
                    # Wide ones lie down with the others: the smaller side is squared.
                    if matrix.shape[0] > matrix.shape[1]:
                        matrix, part = matrix.T, part.T
                    by_shape[matrix.shape].append((matrix, part, group))
        for (_, longer), matrices in by_shape.items():
            updates = orthogonal(torch.stack([part for _, part, _ in matrices]))
            for (matrix, _, group), update in zip(matrices, updates, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * longer**0.5)


def orthogonal(x: Tensor) -> Tensor:
    """Matrices x (N, rows, columns), rows <= columns, with singular values near 1, in `fast_dtype`."""
    a, b, c = COEFFICIENTS
    x = x.to(fast_dtype(x.device.type))
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
