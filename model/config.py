"""The shape of a model: everything about it that does not follow from the data."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ModelConfig:
    """A model of one of three kinds; `vocab_size` and `block_size` come from the data."""

    kind: Literal["gpt", "bigram", "bag-of-words"] = "gpt"
    """gpt, or one of the two baselines it has to beat: bigram, bag-of-words"""
    n_layer: int = 4
    """transformer blocks (gpt)"""
    n_head: int = 4
    """attention heads (gpt)"""
    n_embd: int = 128
    """width of the embedding in channels (gpt, bag-of-words)"""
    attention: Literal["sdpa", "reference"] = "sdpa"
    """sdpa: the fused kernel; reference: the same thing written out with a tril mask (gpt)"""

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1")
        if self.kind == "gpt" and self.n_embd % self.n_head:
            raise ValueError(f"model.n_embd {self.n_embd} is not a multiple of model.n_head {self.n_head}")
