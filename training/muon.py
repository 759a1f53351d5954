"""Muon: momentum that is orthogonalised before it is applied to a matrix."""

from collections import defaultdict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import fast_dtype
from .ranks import Ranks

# Five steps of X <- aX + b(XX')X + c(XX')^2 X bring all singular values close to 1 (Jordan et al. 2024,
# https://kellerjordan.github.io/posts/muon).
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5


class Kind(NamedTuple):
    """The shape and options shared by matrices that are updated together."""

    shape: torch.Size
    """rows and columns"""
    lr: float
    weight_decay: float
    momentum: float

    @property
    def tall(self) -> bool:
        """True if there are more rows than columns."""
        return self.shape[0] > self.shape[1]


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, batched over matrices of equal shape.

    A small model has dozens of matrices, which torch's own Muon updates one by one (docs/performance.md). A
    parameter may consist of several stacked matrices, such as query, key and value: the `parts` of its group
    is their number, and each is orthogonalised separately. With several ranks, whose gradients are equal,
    each rank orthogonalises its share of the matrices and sends the result to the others.

    Learning rate and weight decay are on AdamW's scale: updates have the same root mean square
    (Liu et al. 2025, arXiv 2502.16982). As with torch's fused optimizers, a step changes nothing if
    `found_inf` is set and not 0 on the device.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        groups: list[dict],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "parts": 1})
        self.ranks = ranks

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # takes no closure
        """Apply the gradients."""
        found = self._by_kind()
        wide: dict[tuple[int, ...], list[Kind]] = defaultdict(list)  # tall matrices are transposed
        for kind in found:
            wide[tuple(sorted(kind.shape))].append(kind)
        for kinds in wide.values():
            moved = [self._move_momenta(kind, found[kind]) for kind in kinds]
            updates = self._orthogonal(torch.cat(moved)).split([len(own) for own in moved])
            for kind, update in zip(kinds, updates, strict=True):
                self._apply(kind, [parameter for parameter, _, _ in found[kind]], update)

    def _move_momenta(self, kind: Kind, matrices: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Update the momenta; returns the Nesterov updates (N, shorter side, longer side)."""
        _, gradients, momenta = zip(*matrices, strict=True)
        if self.found_inf is not None:  # a momentum moved towards itself does not change
            halted = self.found_inf != 0
            gradients = torch.where(halted, torch.stack(momenta), torch.stack(gradients)).unbind()
        torch._foreach_lerp_(momenta, gradients, 1 - kind.momentum)
        updates = torch._foreach_lerp(gradients, momenta, kind.momentum)
        return torch.stack([update.T for update in updates] if kind.tall else updates)

    def _apply(self, kind: Kind, parameters: list[Tensor], update: Tensor) -> None:
        """Apply weight decay and the updates (N, shorter side, longer side)."""
        update = update.mT if kind.tall else update
        keeps = 1 - kind.lr * kind.weight_decay
        decay: float | Tensor = keeps
        if self.found_inf is not None:
            halted = self.found_inf != 0
            update = update.masked_fill(halted, 0.0)
            decay = torch.full((), keeps, device=halted.device).masked_fill(halted, 1.0)
        if update.is_cuda:  # otherwise foreach would process them one by one, as it does on a CPU
            update = update.to(parameters[0].dtype).contiguous()
        torch._foreach_mul_(parameters, decay)
        torch._foreach_add_(parameters, update.unbind(), alpha=-kind.lr * 0.2 * max(kind.shape) ** 0.5)

    def _by_kind(self) -> dict[Kind, list[tuple[Tensor, Tensor, Tensor]]]:
        """All matrices, each with its gradient and its momentum, grouped by kind."""
        found: dict[Kind, list[tuple[Tensor, Tensor, Tensor]]] = defaultdict(list)
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                of_parameter = (parameter, parameter.grad, state["momentum"])
                for parts in zip(*(tensor.chunk(group["parts"]) for tensor in of_parameter), strict=True):
                    kind = Kind(parts[0].shape, group["lr"], group["weight_decay"], group["momentum"])
                    found[kind].append(parts)
        return found

    def _orthogonal(self, x: Tensor) -> Tensor:
        """`orthogonal(x)`, with the work shared by all ranks."""
        if self.ranks is None or self.ranks.world_size == 1:
            return orthogonal(x)
        own = -(-len(x) // self.ranks.world_size)  # the last ranks may have fewer, or none
        filled = F.pad(x, (0, 0, 0, 0, 0, own * self.ranks.world_size - len(x)))
        return self.ranks.gather_rows(orthogonal(filled[own * self.ranks.rank :][:own]))[: len(x)]


def orthogonal(x: Tensor) -> Tensor:
    """Orthogonalise x (N, rows, columns), rows <= columns: singular values close to 1, in `fast_dtype`."""
    a, b, c = COEFFICIENTS
    x = x.to(fast_dtype(x.device.type))
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
