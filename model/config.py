"""The shape of a model: everything about it that does not follow from the data."""

from dataclasses import dataclass, replace
from typing import Any, Literal

# Two public architectures, one to one: GPT-2 (Radford et al. 2019), and Qwen3's dense models
# (arXiv 2505.09388) with as many keys as queries.
PRESETS: dict[str, dict[str, Any]] = {
    "gpt2": {"positions": "learned", "norm": "layernorm", "qk_norm": False, "mlp": "gelu", "bias": True},
    "modern": {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True, "mlp": "swiglu", "bias": False},
}


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
    preset: Literal["gpt2", "modern"] = "gpt2"
    """what the fields below are where they are none; gpt2: learned positions, LayerNorm, GELU, biases;
    modern: rotary positions, RMSNorm, QK-norm, SwiGLU, no biases (gpt)"""
    positions: Literal["learned", "rotary"] | None = None
    """learned: a position embedding; rotary: queries and keys turned by their position (gpt)"""
    norm: Literal["layernorm", "rmsnorm"] | None = None
    """before attention, MLP and output layer (gpt)"""
    qk_norm: bool | None = None
    """an RMSNorm of every query and key (gpt)"""
    mlp: Literal["gelu", "swiglu"] | None = None
    """gelu: two layers, 4 n_embd inside; swiglu: three, with as many parameters in all (gpt)"""
    bias: bool | None = None
    """biases in linear layers and LayerNorm (gpt)"""
    tied: bool = True
    """the output layer is the token embedding (gpt)"""
    attention: Literal["auto", "sdpa", "tril"] = "auto"
    """sdpa: the fused kernel; tril: the same thing written out; auto: tril for bf16 on a CPU (gpt)"""

    def resolved(self) -> "ModelConfig":
        """The same with nothing left to the preset."""
        preset = PRESETS[self.preset]
        return replace(self, **{name: preset[name] for name in preset if getattr(self, name) is None})

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd"):
            if getattr(self, name) < 1:
                raise ValueError(f"model.{name} is {getattr(self, name)}: it must be at least 1")
        if self.kind == "gpt" and self.n_embd % self.n_head:
            raise ValueError(f"model.n_embd {self.n_embd} is not a multiple of model.n_head {self.n_head}")
        rotary = (self.positions or PRESETS[self.preset]["positions"]) == "rotary"
        if self.kind == "gpt" and rotary and self.n_embd // self.n_head % 2:
            raise ValueError(
                f"rotary positions want an even head size: model.n_embd {self.n_embd} / "
                f"model.n_head {self.n_head} is odd"
            )

    @property
    def n_inner(self) -> int:
        """Channels inside the MLP: those of SwiGLU in multiples of 32, for the hardware."""
        if self.resolved().mlp == "gelu":
            return 4 * self.n_embd
        return -(-8 * self.n_embd // (3 * 32)) * 32
