"""The shape of a model: all of its options that do not follow from the data."""

from dataclasses import dataclass, replace
from typing import Any, Literal

# Two published architectures, exactly: GPT-2 (Radford et al. 2019), and Qwen3's dense models
# (arXiv 2505.09388) with as many keys as queries
PRESETS: dict[str, dict[str, Any]] = {
    "gpt2": {"positions": "learned", "norm": "layernorm", "qk_norm": False, "mlp": "gelu", "bias": True},
    "modern": {"positions": "rotary", "norm": "rmsnorm", "qk_norm": True, "mlp": "swiglu", "bias": False},
}


@dataclass(frozen=True)
class ModelConfig:
    """The model; its vocabulary and block size come from the data."""

    kind: Literal["gpt", "bigram", "bag-of-words"] = "gpt"
    """gpt, or one of the two baselines that it should beat: bigram, bag-of-words"""
    n_layer: int = 4
    """number of transformer blocks (gpt)"""
    n_head: int = 4
    """attention heads per block (gpt)"""
    n_embd: int = 128
    """width of the embedding, in channels (gpt, bag-of-words)"""
    preset: Literal["gpt2", "modern"] = "gpt2"
    """architecture, which sets the next five options unless they are given; gpt2: learned positions,
    LayerNorm, GELU, biases; modern: rotary positions, RMSNorm, QK-norm, SwiGLU, no biases (gpt)"""
    positions: Literal["learned", "rotary"] | None = None
    """learned: a position embedding; rotary: queries and keys rotated by their position (gpt)"""
    norm: Literal["layernorm", "rmsnorm"] | None = None
    """norm before attention, MLP and output layer (gpt)"""
    qk_norm: bool | None = None
    """RMSNorm of every query and key (gpt)"""
    mlp: Literal["gelu", "swiglu", "none"] | None = None
    """gelu: two layers with 4 n_embd channels between them; swiglu: three layers, about as many parameters;
    none: blocks of attention alone (gpt)"""
    bias: bool | None = None
    """use biases in linear layers and LayerNorm (gpt)"""
    tied: bool = True
    """share the weights of the output layer with the token embedding (gpt)"""
    attention: Literal["auto", "sdpa", "tril"] = "auto"
    """implementation; sdpa: PyTorch's fused kernel; tril: the same, written out with a triangular mask; auto:
    the faster one, which is tril in bf16 on a CPU and sdpa otherwise (gpt)"""

    def resolved(self) -> "ModelConfig":
        """The same configuration, with the preset's options filled in."""
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
                f"rotary positions need an even head size, and model.n_embd {self.n_embd} / "
                f"model.n_head {self.n_head} is odd"
            )

    @property
    def n_inner(self) -> int:
        """Channels inside the MLP: 4 n_embd; with SwiGLU 8/3 n_embd, rounded up to a multiple of 32."""
        mlp = self.resolved().mlp
        if mlp == "swiglu":
            return -(-8 * self.n_embd // (3 * 32)) * 32
        return 4 * self.n_embd if mlp == "gelu" else 0
