"""The average of the past, in three ways: `python -m lecture.averaging`."""

import torch
from torch import Tensor

from common.cli import run_command

from .text import Walk

B, T, C = 4, 8, 2  # sequences, positions, channels


def with_loops(x: Tensor) -> Tensor:
    """Each position's mean of itself and the positions before it, one position at a time."""
    y = torch.zeros_like(x)
    for b in range(B):
        for t in range(T):
            y[b, t] = x[b, : t + 1].mean(dim=0)
    return y


def with_matmul(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same as one matrix multiplication, and its weights (T, T)."""
    weights = torch.tril(torch.ones(T, T))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights @ x, weights  # (T, T) @ (B, T, C) -> (B, T, C)


def with_softmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same, with the weights as the softmax of a masked matrix of affinities."""
    tril = torch.tril(torch.ones(T, T))
    affinity = torch.zeros(T, T)  # all positions are of equal interest
    affinity = affinity.masked_fill(tril == 0, float("-inf"))  # hide the future
    weights = affinity.softmax(dim=-1)
    return weights @ x, weights


def main(walk: Walk) -> None:
    """Print the weights and check that all three ways agree."""
    torch.manual_seed(1337)
    torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
    x = torch.randn(B, T, C)
    one, (two, weights), (three, _) = with_loops(x), with_matmul(x), with_softmax(x)
    print("weights: row t shows how much position t takes from each position")
    print(weights)
    print("\nfirst sequence, x and its average of the past:")
    print(torch.cat([x[0], one[0]], dim=1))
    print(f"\nloops = matrix multiplication: {torch.allclose(one, two, atol=1e-6)}")
    print(f"loops = softmax:               {torch.allclose(one, three, atol=1e-6)}")


if __name__ == "__main__":
    run_command(main, Walk, "Average the past with loops, a matrix multiplication, and a softmax.")
