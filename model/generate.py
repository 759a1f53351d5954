"""Sampling from a model, a token at a time."""

import torch
from torch import Tensor

from .base import LanguageModel
from .gpt import GPT


@torch.no_grad()
def generate(
    model: LanguageModel,
    idx: Tensor,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    stop: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`idx` (B, T) of T >= 1 token ids, followed by up to `tokens` sampled ones: (B, T + tokens) int64.

    Each is drawn with torch.multinomial from the softmax of the last step's logits divided by
    `temperature`, of which only the `top_k` largest count. Ends early once every row has drawn `stop`.
    `generator`, of the model's device, decides the draws (default: torch's own).

    A GPT keeps the keys and values of what it has read. Positions are counted from the beginning of its
    window: once that is full, its last half is read anew, so that a token sees at least half a block.
    """
    start, begin = idx.shape[1], 0
    past: list[list[Tensor]] | None = None
    for _ in range(tokens):
        if idx.shape[1] - begin > model.block_size:
            begin, past = idx.shape[1] - max(1, model.block_size // 2), None
        if not isinstance(model, GPT):
            logits = model(idx[:, begin:])
        elif past:
            logits = model(idx[:, -1:], past=past)
        else:
            past = [[] for _ in model.blocks]
            logits = model(idx[:, begin:], past=past)
        logits = logits[:, -1].float() / temperature  # (B, V)
        if top_k is not None:
            kth = logits.topk(min(top_k, logits.shape[-1])).values[:, [-1]]
            logits = logits.masked_fill(logits < kth, float("-inf"))
        drawn = torch.multinomial(logits.softmax(dim=-1), num_samples=1, generator=generator)  # (B, 1)
        idx = torch.cat([idx, drawn], dim=1)
        if stop is not None and (idx[:, start:] == stop).any(dim=1).all():
            break
    return idx
