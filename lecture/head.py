"""One head of self-attention: `python -m lecture.head`."""

import math

import torch
from torch import Tensor, nn

from common.cli import run_command
from model import ModelConfig
from model.gpt import CausalSelfAttention

from .text import Walk

B, T, C, HEAD_SIZE = 4, 8, 32, 16


def attention_weights(query: Tensor, key: Tensor) -> Tensor:
    """Attention weights (..., T, T) for queries and keys (..., T, head size)."""
    T, head_size = query.shape[-2:]
    affinity = query @ key.transpose(-2, -1) / math.sqrt(head_size)  # (..., T, T)
    tril = torch.tril(torch.ones(T, T))
    affinity = affinity.masked_fill(tril == 0, float("-inf"))
    return affinity.softmax(dim=-1)


class Head(nn.Module):
    """One head of self-attention: query (what a position looks for), key (what it offers) and value."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(C, HEAD_SIZE, bias=False)
        self.key = nn.Linear(C, HEAD_SIZE, bias=False)
        self.value = nn.Linear(C, HEAD_SIZE, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, T, head size) and the weights (B, T, T) for x (B, T, C)."""
        weights = attention_weights(self.query(x), self.key(x))
        return weights @ self.value(x), weights


def difference_from_gpt(x: Tensor) -> float:
    """Largest difference between two of these heads and the attention of model/gpt.py with equal weights."""
    heads = [Head(), Head()]
    config = ModelConfig(n_head=2, n_embd=C, bias=False, attention="tril").resolved()
    attention = CausalSelfAttention(config, T)
    with torch.no_grad():
        kinds = ("query", "key", "value")
        stacked = [getattr(head, kind).weight for kind in kinds for head in heads]
        attention.query_key_value.weight.copy_(torch.cat(stacked))
        attention.projection.weight.copy_(torch.eye(C))  # leaves the heads' outputs as they are
        ours = torch.cat([head(x)[0] for head in heads], dim=-1)  # heads side by side
        return (ours - attention(x, None)).abs().max().item()


def main(walk: Walk) -> None:
    """Print a head's weights, and compare it with the GPT's attention."""
    torch.manual_seed(1337)
    torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
    x = torch.randn(B, T, C)
    head = Head()
    y, weights = head(x)
    print(f"x {tuple(x.shape)} -> weights {tuple(weights.shape)}, output {tuple(y.shape)}")
    for b in (0, 1):
        print(f"\nweights of sequence {b}:\n{weights[b].detach()}")
    print(f"\ntwo heads side by side and model/gpt.py differ by at most {difference_from_gpt(x):.4f}")


if __name__ == "__main__":
    run_command(main, Walk, "Run one head of self-attention, and compare it with the GPT's.")
