"""The GPT, its two baselines, and saving a whole model in one file."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from . import loss
from .base import LanguageModel, Weights
from .baselines import BagOfWords, Bigram
from .config import ModelConfig
from .gpt import GPT

__all__ = [
    "GPT",
    "BagOfWords",
    "Bigram",
    "LanguageModel",
    "ModelConfig",
    "Weights",
    "build_model",
    "compile_model",
    "load_model",
    "save_model",
]

KINDS: dict[str, type[LanguageModel]] = {"gpt": GPT, "bigram": Bigram, "bag-of-words": BagOfWords}


def build_model(config: ModelConfig, vocab_size: int, block_size: int) -> LanguageModel:
    """A new model; its weights depend only on torch's random state."""
    return KINDS[config.kind](config, vocab_size, block_size)


def compile_model(model: LanguageModel, graphs: bool = False) -> Callable[..., Tensor]:
    """The model compiled by torch.compile: at its first call, and again for every new input shape.

    `graphs` launches all kernels together, as CUDA graphs; on a CPU it has no effect.
    """
    loss.compile_chunks()
    if not graphs:
        return torch.compile(model, dynamic=False)
    compiled = torch.compile(model, dynamic=False, mode="reduce-overhead")

    def step(*arguments: Any, **options: Any) -> Tensor:
        # Without this, the chunks of the loss, also compiled, would end the step before its backward pass
        torch.compiler.cudagraph_mark_step_begin()
        return compiled(*arguments, **options)

    return step


def save_model(weights: Weights, path: Path) -> None:
    """Write weights and shape into one safetensors file, all that `load_model` needs."""
    shape = {
        "config": asdict(weights.config),
        "vocab_size": weights.vocab_size,
        "block_size": weights.block_size,
    }
    safetensors.torch.save_file(weights.tensors, path, metadata={"model": json.dumps(shape)})


def load_model(path: Path, device: str = "cpu") -> LanguageModel:
    """The model that `save_model` wrote, in evaluation mode."""
    with safetensors.safe_open(path, framework="pt") as file:
        shape = json.loads(file.metadata()["model"])
    model = build_model(ModelConfig(**shape["config"]), shape["vocab_size"], shape["block_size"])
    model.load_state_dict(safetensors.torch.load_file(path))
    return model.to(device).eval()
