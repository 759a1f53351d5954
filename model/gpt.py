"""The GPT: token embedding, pre-norm blocks of causal self-attention and MLP, output layer.

Notable features:
1) two presets of the same model: GPT-2 (learned positions, LayerNorm, GELU) and what came after it
   (rotary positions, RMSNorm, QK-norm, SwiGLU, no biases)
2) two forms of the same attention, which a test holds equal: the fused kernel, and one written out with a
   registered lower-triangular buffer, which in bf16 on a CPU is the faster one
3) an initialisation under which the first softmax is diffuse (a first loss of about log V)
4) rows of the vocabulary that only fill up to a multiple of 64 have no part in any probability

Shapes: B batch, T time, C channels (n_embd), H heads, D head size (C/H), V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import LanguageModel
from .config import ModelConfig
from .loss import linear_cross_entropy, token_nats

ROTARY_BASE = 10_000.0  # wavelengths of 2 pi to 2 pi times that (RoFormer, arXiv 2104.09864)
PADDING = 64  # matrix units want sizes in such multiples
TRIL_MOST = 1024  # positions; beyond them it takes more memory than it saves time (docs/performance.md)


def make_norm(config: ModelConfig) -> nn.Module:
    """A norm over the channels, of the configured kind."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, eps=1e-6)
    return nn.LayerNorm(config.n_embd, bias=bool(config.bias))


class HeadNorm(nn.RMSNorm):
    """RMSNorm of queries or keys, in their precision: under autocast its weight is in another."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Queries or keys x (B, H, T, D) with channel pairs (i, i + D/2) turned by (cos, sin): (2, T, D/2)."""
    cos, sin = turn.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class CausalSelfAttention(nn.Module):
    """Every position looks, with H heads, at itself and at what came before it."""

    tril: Tensor
    """which positions each may look at, (block_size, block_size) bool"""

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

    def forward(
        self, x: Tensor, turn: Tensor | None, mask: Tensor | None = None, past: list[Tensor] | None = None
    ) -> Tensor:
        B, T, C = x.shape
        heads = self.query_key_value(x).view(B, T, 3, self.n_head, C // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        if self.qk_norm:
            query, key = self.query_norm(query), self.key_norm(key)
        if turn is not None:
            query, key = rotate(query, turn), rotate(key, turn)
        if past is not None:
            if past:
                key, value = (torch.cat(pair, dim=2) for pair in zip(past, (key, value), strict=True))
            past[:] = key, value
        S = key.shape[2]  # T, or 1 more than are in the past
        if self.form == "tril" or (self.form == "auto" and x.is_cpu and query.dtype == torch.bfloat16):
            # Scaled by 1/sqrt(head size), so that the softmax of a fresh model is diffuse.
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
    """Two layers with a GELU between them, or SwiGLU (arXiv 2002.05202): one half gates the other."""

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
    """Communication (attention), then computation (MLP), each behind a norm and a residual."""

    def __init__(self, config: ModelConfig, block_size: int) -> None:
        super().__init__()
        self.norm_attention = make_norm(config)
        self.attention = CausalSelfAttention(config, block_size)
        self.norm_mlp = make_norm(config)
        self.mlp = MLP(config)

    def forward(
        self, x: Tensor, turn: Tensor | None, mask: Tensor | None = None, past: list[Tensor] | None = None
    ) -> Tensor:
        x = x + self.attention(self.norm_attention(x), turn, mask, past)
        return x + self.mlp(self.norm_mlp(x))


class GPT(LanguageModel):
    """A decoder-only transformer over a vocabulary of `vocab_size` tokens."""

    turn: Tensor
    """cosines and sines of the rotary positions, (2, block_size, D/2)"""
    output: nn.Linear | None
    """the output layer, where it is not the token embedding"""

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
        # Last: no other weight depends on it
        for layer in [self.token_embedding] + ([self.output] if self.output else []):
            layer.weight = nn.Parameter(F.pad(layer.weight, (0, 0, 0, -vocab_size % PADDING)))

    def _initialise(self, blocks: list[Block]) -> None:
        # GPT-2's 0.02 at its width of 768; at another width sums over channels keep that variance.
        std = 0.02 * math.sqrt(768 / self.config.n_embd)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in blocks:
            # 2 n_layer residual branches add up: scaled so that their sum keeps its variance (GPT-2).
            for layer in (block.attention.projection, block.mlp.down):
                nn.init.normal_(layer.weight, std=std / math.sqrt(2 * self.config.n_layer))

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
        past: list[list[Tensor]] | None = None,
    ) -> Tensor:
        """As `LanguageModel.forward`.

        `past` holds a list for each block, empty before the first call, in which keys and values are kept;
        a further call is given one position, the next.
        """
        begin = past[0][0].shape[2] if past and past[0] else 0
        end = begin + idx.shape[1]
        x = self.token_embedding(idx)  # (B, T, C)
        turn = mask = None
        if begins is not None:
            places = torch.arange(end, device=idx.device)
            # A position sees what is not behind it, and of its own document: (B, 1, T, T)
            mask = ((places <= places[:, None]) & (places >= begins[..., None]))[:, None]
        if self.config.positions == "rotary":
            turn = self.turn[:, begin:end]  # only distances matter, so no document need begin at 0
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
        """Training FLOPs per token by part: 2 a multiply-add, backward twice forward.

        Counts the matmuls that causal attention needs: a query sees (T+1)/2 keys on average, half of
        what the PaLM formula (12 n_layer n_embd T, arXiv 2204.02311) counts. Padding is not counted.
        """
        C, T, n_layer = self.config.n_embd, self.block_size, self.config.n_layer
        mlp = (2 if self.config.mlp == "gelu" else 3) * C * self.config.n_inner
        return {
            "body": 6.0 * n_layer * (4 * C * C + mlp),
            "attention": 6.0 * n_layer * C * (T + 1),
            "output": 6.0 * C * self.vocab_size,
        }

    def params_embedding(self) -> int:
        """Parameters that depend on the vocabulary: token embedding and output layer, without padding."""
        return (1 if self.config.tied else 2) * self.vocab_size * self.config.n_embd

    def params_body(self) -> int:
        """All other parameters."""
        named = self.named_parameters()
        return sum(p.numel() for name, p in named if name not in ("token_embedding.weight", "output.weight"))
