"""The GPT: token embedding, pre-norm blocks of causal self-attention and MLP, output layer.

Notable features:
1) two presets of the same model: GPT-2 (learned positions, LayerNorm, GELU) and its successors
   (rotary positions, RMSNorm, QK-norm, SwiGLU, no biases); `mlp: none` leaves attention alone
2) two forms of the same attention, and a test that they agree: the fused kernel, and one written out with a
   registered lower-triangular buffer, which is faster in bf16 on a CPU
3) an initialisation that makes every softmax diffuse at first: attention looks everywhere, and the first
   loss is about log V
4) the vocabulary is padded to a multiple of 64 rows; the padding takes no part in any probability

Shapes: B batch, T time, C channels (n_embd), H heads, D head size (C/H), V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import LanguageModel
from .config import ModelConfig
from .loss import linear_cross_entropy, token_nats

ROTARY_BASE = 10_000.0  # wavelengths from 2 pi to 2 pi times this (RoFormer, arXiv 2104.09864)
PADDING = 64  # matrix units are fastest at multiples of this size
TRIL_MOST = 1024  # positions; with more, the mask costs more memory than it saves time (docs/performance.md)


def make_norm(config: ModelConfig) -> nn.Module:
    """The configured norm, over the channels."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, eps=1e-6)
    return nn.LayerNorm(config.n_embd, bias=bool(config.bias))


class HeadNorm(nn.RMSNorm):
    """RMSNorm of queries or keys that keeps their dtype; under autocast the weight has another one."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate the channel pairs (i, i + D/2) of queries or keys x (B, H, T, D).

    `turn` (2, T, D/2) holds the cosine and sine of each position's angles.
    """
    cos, sin = turn.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class CausalSelfAttention(nn.Module):
    """Each position gathers values from itself and the positions before it, with H heads."""

    tril: Tensor
    """positions that each position may look at, (block_size, block_size) bool, lower-triangular"""

    def __init__(self, config: ModelConfig, block_size: int) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.query_key_value = nn.Linear(config.n_embd, 3 * config.n_embd, bias=bool(config.bias))
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=bool(config.bias))
        self.qk_norm = config.qk_norm
        if config.qk_norm:
            self.query_norm = HeadNorm(config.n_embd // config.n_head, eps=1e-6)
            self.key_norm = HeadNorm(config.n_embd // config.n_head, eps=1e-6)
        self.form = config.attention
        if self.form == "tril" or (self.form == "auto" and block_size <= TRIL_MOST):
            tril = torch.tril(torch.ones(block_size, block_size, dtype=torch.bool))
            self.register_buffer("tril", tril, persistent=False)
        else:
            self.form = "sdpa"

    def heads(self, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of every head, each (B, H, T, D), for x (B, T, C)."""
        B, T, C = x.shape
        heads = self.query_key_value(x).view(B, T, 3, self.n_head, C // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if self.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        return query, key, value

    def forward(
        self, x: Tensor, turn: Tensor | None, mask: Tensor | None = None, past: list[Tensor] | None = None
    ) -> Tensor:
        B, T, C = x.shape
        query, key, value = self.heads(x, turn)
        if past is not None:
            if past:
                key, value = (torch.cat(pair, dim=2) for pair in zip(past, (key, value), strict=True))
            past[:] = key, value
        S = key.shape[2]  # positions looked at: T, or those in the past and this one
        if self.form == "tril" or (self.form == "auto" and x.is_cpu and query.dtype == torch.bfloat16):
            # Scaled by 1/sqrt(head size), so that the softmax of a new model is diffuse
            query = query / math.sqrt(C // self.n_head)
            sees = self.tril[S - T : S, :S] if mask is None else mask
            hidden = torch.zeros(sees.shape, dtype=query.dtype, device=x.device)
            hidden.masked_fill_(~sees, float("-inf"))
            affinity = query @ key.transpose(-2, -1) + hidden  # (B, H, T, S)
            y = affinity.softmax(dim=-1) @ value  # (B, H, T, D)
        else:
            causal = mask is None and T == S
            y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        return self.projection(y.transpose(1, 2).reshape(B, T, C))


class MLP(nn.Module):
    """Two layers with a GELU between them, or SwiGLU (arXiv 2002.05202), where one half gates the other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gated = config.mlp == "swiglu"
        inner = config.n_inner
        self.up = nn.Linear(config.n_embd, 2 * inner if self.gated else inner, bias=bool(config.bias))
        self.down = nn.Linear(inner, config.n_embd, bias=bool(config.bias))

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.gated:
            gate, x = x.chunk(2, dim=-1)
            return self.down(F.silu(gate) * x)
        return self.down(F.gelu(x, approximate="tanh"))


class Block(nn.Module):
    """Communication (attention), then computation (MLP): each reads a norm of x and adds its result to x."""

    mlp: MLP | None
    """missing with `mlp: none`"""

    def __init__(self, config: ModelConfig, block_size: int) -> None:
        super().__init__()
        self.norm_attention = make_norm(config)
        self.attention = CausalSelfAttention(config, block_size)
        self.mlp = None
        if config.mlp != "none":
            self.norm_mlp = make_norm(config)
            self.mlp = MLP(config)

    def forward(
        self, x: Tensor, turn: Tensor | None, mask: Tensor | None = None, past: list[Tensor] | None = None
    ) -> Tensor:
        x = x + self.attention(self.norm_attention(x), turn, mask, past)
        return x if self.mlp is None else x + self.mlp(self.norm_mlp(x))


class GPT(LanguageModel):
    """A decoder-only transformer over a vocabulary of `vocab_size` tokens."""

    turn: Tensor
    """cosine and sine of every position's rotary angles, (2, block_size, D/2)"""
    output: nn.Linear | None
    """the output layer, unless it is tied to the token embedding"""

    def __init__(self, config: ModelConfig, vocab_size: int, block_size: int) -> None:
        config = config.resolved()
        super().__init__(config, vocab_size, block_size)
        C = config.n_embd
        self.token_embedding = nn.Embedding(vocab_size, C)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(block_size, C)
        else:
            half = C // config.n_head // 2
            speed = ROTARY_BASE ** (-torch.arange(half) / half)
            angle = torch.arange(block_size)[:, None] * speed  # (T, D/2)
            self.register_buffer("turn", torch.stack([angle.cos(), angle.sin()]), persistent=False)
        blocks = [Block(config, block_size) for _ in range(config.n_layer)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = make_norm(config)
        self.output = None if config.tied else nn.Linear(C, vocab_size, bias=False)
        self._initialise(blocks)
        # Last, so that the other weights do not depend on the padding
        for layer in [self.token_embedding] + ([self.output] if self.output else []):
            layer.weight = nn.Parameter(F.pad(layer.weight, (0, 0, 0, -vocab_size % PADDING)))

    def _initialise(self, blocks: list[Block]) -> None:
        # GPT-2's 0.02 at its width of 768; at any other width, sums over channels keep the same variance
        std = 0.02 * math.sqrt(768 / self.config.n_embd)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in blocks:
            # All residual branches add up: scaled so that their sum keeps its variance (GPT-2)
            ends = [block.attention.projection] + ([block.mlp.down] if block.mlp else [])
            for layer in ends:
                nn.init.normal_(layer.weight, std=std / math.sqrt(len(ends) * self.config.n_layer))

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
        past: list[list[Tensor]] | None = None,
    ) -> Tensor:
        """See `LanguageModel.forward`.

        `past` has one list per block, empty before the first call, which collects keys and values. Each
        further call takes a single position, the next one.
        """
        begin = past[0][0].shape[2] if past and past[0] else 0
        end = begin + idx.shape[1]
        x = self.token_embedding(idx)  # (B, T, C)
        turn = mask = None
        if begins is not None:
            places = torch.arange(end, device=idx.device)
            # A position sees itself and the positions before it in its own document: (B, 1, T, T)
            mask = ((places <= places[:, None]) & (places >= begins[..., None]))[:, None]
        if self.config.positions == "rotary":
            turn = self.turn[:, begin:end]  # only distances matter, so documents need not begin at 0
        elif begins is None:
            x = x + self.position_embedding.weight[begin:end]
        else:
            x = x + self.position_embedding(places - begins)
        for number, block in enumerate(self.blocks):
            x = block(x, turn, mask, past[number] if past else None)
        x = self.norm(x)
        weight = (self.output or self.token_embedding).weight
        if targets is None:
            return F.linear(x, weight)[..., : self.vocab_size]  # (B, T, V)
        if reduction == "none":
            return token_nats(
                lambda x: F.linear(x, weight)[:, : self.vocab_size], x, targets, self.vocab_size
            )
        return linear_cross_entropy(x, weight, targets, self.vocab_size)

    def flops_per_token(self) -> dict[str, float]:
        """Training FLOPs per token, by part: 2 per multiply-add; backward takes twice as many as forward.

        Counts the matmuls that causal attention needs: a query sees (T+1)/2 keys on average, half of what
        the PaLM formula (12 n_layer n_embd T, arXiv 2204.02311) counts. Padding is not counted.
        """
        C, T, n_layer = self.config.n_embd, self.block_size, self.config.n_layer
        mlp = (2 if self.config.mlp == "gelu" else 3) * C * self.config.n_inner
        return {
            "body": 6.0 * n_layer * (4 * C * C + mlp),
            "attention": 6.0 * n_layer * C * (T + 1),
            "output": 6.0 * C * self.vocab_size,
        }

    def params_embedding(self) -> int:
        """Parameters of the token embedding and output layer, without padding."""
        return (1 if self.config.tied else 2) * self.vocab_size * self.config.n_embd

    def params_body(self) -> int:
        """All other parameters."""
        named = self.named_parameters()
        return sum(p.numel() for name, p in named if name not in ("token_embedding.weight", "output.weight"))
