"""Muon: momentum, made orthogonal before it is applied to a matrix."""

from collections import defaultdict
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import fast_dtype
from .ranks import Ranks

# Five steps of X <- aX + b(XX')X + c(XX')^2 X take all singular values near 1 (Jordan et al. 2024,
# https://kellerjordan.github.io/posts/muon).
COEFFICIENTS, STEPS = (3.4445, -4.7750, 2.0315), 5


class Kind(NamedTuple):
    """What matrices have in common that are updated together."""

    shape: torch.Size
    """rows and columns"""
    lr: float
    weight_decay: float
    momentum: float

    @property
    def tall(self) -> bool:
        """Whether they have more rows than columns."""
        return self.shape[0] > self.shape[1]


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`, but with equal shapes all at once.

    A small model has dozens of matrices, and torch's own takes them one by one (docs/performance.md). A
    parameter that is several matrices on top of each other, such as query, key and value in one, is in a
    group whose `parts` says how many; each is made orthogonal by itself. Of several ranks, whose gradients
    are equal, each makes its share of the matrices orthogonal and sends them to the others.

    The learning rate and the weight decay are those of AdamW: an update has the same root mean square
    (Liu et al. 2025, arXiv 2502.16982). Where `found_inf` is set, as for torch's fused optimizers, and not 0
    on the device, a step changes nothing.
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
        wide: dict[tuple[int, ...], list[Kind]] = defaultdict(list)  # tall ones are transposed
        for kind in found:
            wide[tuple(sorted(kind.shape))].append(kind)
        for kinds in wide.values():
            moved = [self._move_momenta(kind, found[kind]) for kind in kinds]
            updates = self._orthogonal(torch.cat(moved)).split([len(own) for own in moved])
            for kind, update in zip(kinds, updates, strict=True):
                self._apply(kind, [parameter for parameter, _, _ in found[kind]], update)

    def _move_momenta(self, kind: Kind, matrices: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """Move the momenta towards the gradients; returns Nesterov's, (N, shorter side, longer side)."""
        _, gradients, momenta = zip(*matrices, strict=True)
        if self.found_inf is not None:  # a momentum that meets itself remains as it is
            halted = self.found_inf != 0
            gradients = torch.where(halted, torch.stack(momenta), torch.stack(gradients)).unbind()
        torch._foreach_lerp_(momenta, gradients, 1 - kind.momentum)
        updates = torch._foreach_lerp(gradients, momenta, kind.momentum)
        return torch.stack([update.T for update in updates] if kind.tall else updates)

    def _apply(self, kind: Kind, parameters: list[Tensor], update: Tensor) -> None:
        """Apply updates (N, shorter side, longer side)."""
        update = update.mT if kind.tall else update
        keeps = 1 - kind.lr * kind.weight_decay
        decay: float | Tensor = keeps
        if self.found_inf is not None:
            halted = self.found_inf != 0
            update = update.masked_fill(halted, 0.0)
            decay = torch.full((), keeps, device=halted.device).masked_fill(halted, 1.0)
        if update.is_cuda:  # else foreach would take them one by one, as it does on a CPU
            update = update.to(parameters[0].dtype).contiguous()
        torch._foreach_mul_(parameters, decay)
        torch._foreach_add_(parameters, update.unbind(), alpha=-kind.lr * 0.2 * max(kind.shape) ** 0.5)

    def _by_kind(self) -> dict[Kind, list[tuple[Tensor, Tensor, Tensor]]]:
        """Every matrix with its gradient and its momentum."""
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
        """`orthogonal(x)`, to which every rank contributes its share."""
        if self.ranks is None or self.ranks.world_size == 1:
            return orthogonal(x)
        own = -(-len(x) // self.ranks.world_size)  # the last rank has fewer, or none
        filled = F.pad(x, (0, 0, 0, 0, 0, own * self.ranks.world_size - len(x)))
        return self.ranks.gather_rows(orthogonal(filled[own * self.ranks.rank :][:own]))[: len(x)]


def orthogonal(x: Tensor) -> Tensor:
    """Matrices x (N, rows, columns), rows <= columns, with singular values near 1, in `fast_dtype`."""
    a, b, c = COEFFICIENTS
    x = x.to(fast_dtype(x.device.type))
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
