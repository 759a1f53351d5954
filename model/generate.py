"""Sampling from a trained model: `python -m model.generate --help`.

As a command this is the one part of `model` that knows tokenizers: it speaks text.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from command_line import run_command

from . import load_model
from .gpt import GPT


@torch.no_grad()
def generate(
    model: nn.Module,
    idx: Tensor,
    tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    stop: int | None = None,
) -> Tensor:
    """`idx` (B, T) of T >= 1 token ids, followed by up to `tokens` sampled ones: (B, T + tokens) int64.

    Each is drawn with torch.multinomial from the softmax of the last step's logits divided by
    `temperature`, of which only the `top_k` largest count. Ends early once every row has drawn `stop`.

    A GPT keeps the keys and values of what it has read. Positions are counted from the beginning of its
    window: once that is full, its last half is read anew, so that a token sees at least half a block.
    """
    start, begin, past = idx.shape[1], 0, None
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
        drawn = torch.multinomial(logits.softmax(dim=-1), num_samples=1)  # (B, 1)
        idx = torch.cat([idx, drawn], dim=1)
        if stop is not None and (idx[:, start:] == stop).any(dim=1).all():
            break
    return idx


@dataclass(frozen=True)
class Arguments:
    """Generate text."""

    run: Path
    """folder of a run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    prompt: str = ""
    """text to go on from; a single character is enough (empty: the beginning of a document)"""
    tokens: int = 200
    """tokens to draw at most; the end of the document ends it earlier"""
    temperature: float = 0.8
    """below 1 the likely becomes more likely"""
    top_k: int | None = None
    """draw from so many likeliest tokens only (none: from all)"""
    seed: int = 0
    """decides the draws"""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}: it must be above 0")
        if self.tokens < 1 or (self.top_k is not None and self.top_k < 1):
            raise ValueError("tokens and top_k must be at least 1")


def main(arguments: Arguments) -> None:
    """Print the prompt and what the run's newest checkpoint makes of it."""
    from tokenizers import load_tokenizer  # here, so that the trainer never imports a tokenizer library

    checkpoints = sorted(arguments.run.glob("checkpoints/step-*/model.safetensors"))
    if not checkpoints:
        raise ValueError(f"{arguments.run} holds no checkpoint: train it with train_ddp.py")
    config = yaml.safe_load((arguments.run / "config.yaml").read_text())
    tokenizer = load_tokenizer(Path(config["data"]) / "tokenizer")
    state = json.loads(checkpoints[-1].with_name("state.json").read_text())
    if state["identity"]["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise ValueError(f"{config['data']}/tokenizer is not the one {arguments.run} was trained with")
    ids = tokenizer.encode(arguments.prompt).tolist() or [tokenizer.eot]
    torch.manual_seed(arguments.seed)
    drawn = generate(
        load_model(checkpoints[-1]),
        torch.tensor([ids]),
        arguments.tokens,
        arguments.temperature,
        arguments.top_k,
        stop=tokenizer.eot,
    )
    print(tokenizer.decode(drawn[0].tolist()))


if __name__ == "__main__":
    run_command(main, Arguments, "Generate text from a trained model.")
