"""Generate text from a trained model: `python -m eval.sample --help`.

A model of bytes, or with a byte fallback, may write invalid UTF-8; such bytes appear as `\\xE2`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from common.cli import run_command
from model.generate import generate
from tokenizers import Tokenizer, load_tokenizer
from tokenizers.visible import legible
from training.ranks import pick_device
from training.run import TrainedRun, open_run


@dataclass(frozen=True)
class Arguments:
    """Generate text."""

    run: Path
    """folder of a run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    prompt: str = ""
    """text to continue (default: the start of a document)"""
    tokens: int = 200
    """most tokens to generate; the text may end earlier"""
    temperature: float = 0.8
    """sampling temperature; values below 1 make likely tokens more likely"""
    top_k: int | None = None
    """sample from this many most likely tokens (default: all)"""
    seed: int = 0
    """random seed"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: cuda if there is a GPU, else cpu"""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}: it must be above 0")
        if self.tokens < 1 or (self.top_k is not None and self.top_k < 1):
            raise ValueError("tokens and top_k must be at least 1")


def tokenizer_of(run: TrainedRun) -> Tokenizer:
    """The tokenizer of a run.

    Raises:
        ValueError: the tokenizer beside its arrays is not the one it was trained with.
    """
    folder = run.config.data / "tokenizer"
    tokenizer = load_tokenizer(folder)
    if run.state["identity"]["tokenizer_fingerprint"] != tokenizer.fingerprint:
        raise ValueError(f"{folder} is not the tokenizer that {run.folder} was trained with")
    return tokenizer


def main(arguments: Arguments) -> None:
    """Print the prompt and its continuation by the run's newest checkpoint."""
    run, device = open_run(arguments.run), pick_device(arguments.device)
    tokenizer = tokenizer_of(run)
    ids = tokenizer.encode(arguments.prompt).tolist() or [tokenizer.eot]
    drawn = generate(
        run.load_model(device),
        torch.tensor([ids], device=device),
        arguments.tokens,
        arguments.temperature,
        arguments.top_k,
        stop=tokenizer.eot,
        generator=torch.Generator(device).manual_seed(arguments.seed),
    )
    print(legible(tokenizer.decode_bytes(drawn[0].tolist())))


if __name__ == "__main__":
    run_command(main, Arguments, "Generate text from a trained model.")
