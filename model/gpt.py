"""The GPT: token and position embeddings, pre-norm blocks of causal self-attention and MLP.

Notable features:
1) the classical architecture (GPT-2): learned positions, LayerNorm, GELU, output layer tied to the
   token embedding
2) two forms of the same attention: the fused kernel, and a reference written out with a registered
   lower-triangular buffer, which a test holds equal to it
3) an initialisation under which the first softmax is diffuse (a first loss of about log V)

Shapes: B batch, T time, C channels (n_embd), H heads, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig


class CausalSelfAttention(nn.Module):
    """Every position looks, with H heads, at itself and at what came before it."""

    def __init__(self, config: ModelConfig, block_size: int) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.query_key_value = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.projection = nn.Linear(config.n_embd, config.n_embd)
        self.reference = config.attention == "reference"
        if self.reference:
            tril = torch.tril(torch.ones(block_size, block_size, dtype=torch.bool))
            self.register_buffer("tril", tril, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.shape
        heads = self.query_key_value(x).view(B, T, 3, self.n_head, C // self.n_head)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, H, T, C/H)
        if self.reference:
            # Scaled by 1/sqrt(head size), so that the softmax of a fresh model is diffuse.
            affinity = query @ key.transpose(-2, -1) / math.sqrt(C // self.n_head)  # (B, H, T, T)
            affinity = affinity.masked_fill(~self.tril[:T, :T], float("-inf"))
            y = affinity.softmax(dim=-1) @ value  # (B, H, T, C/H)
        else:
            y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.projection(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    """Communication (attention), then computation (MLP), each behind a norm and a residual."""

    def __init__(self, config: ModelConfig, block_size: int) -> None:
        super().__init__()
        C = config.n_embd
        self.norm_attention = nn.LayerNorm(C)
        self.attention = CausalSelfAttention(config, block_size)
        self.norm_mlp = nn.LayerNorm(C)
        self.mlp = nn.Sequential(nn.Linear(C, 4 * C), nn.GELU(approximate="tanh"), nn.Linear(4 * C, C))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))


class GPT(nn.Module):
    """A decoder-only transformer over a vocabulary of `vocab_size` tokens."""

    def __init__(self, config: ModelConfig, vocab_size: int, block_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size, self.block_size = config, vocab_size, block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(block_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config, block_size) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd)
        self._initialise()

    def _initialise(self) -> None:
        # GPT-2's 0.02 at its width of 768; at another width sums over channels keep that variance.
        std = 0.02 * math.sqrt(768 / self.config.n_embd)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            # 2 n_layer residual branches add up: scaled so that their sum keeps its variance (GPT-2).
            for layer in (block.attention.projection, block.mlp[-1]):
                nn.init.normal_(layer.weight, std=std / math.sqrt(2 * self.config.n_layer))

    def forward(self, idx: Tensor, targets: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) for token ids `idx` (B, T); with `targets` (B, T) the mean loss in nats."""
        T = idx.shape[1]
        position = torch.arange(T, device=idx.device)
        x = self.token_embedding(idx) + self.position_embedding(position)  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.token_embedding.weight)  # (B, T, V)
        return logits if targets is None else cross_entropy(logits, targets)

    def flops_per_token(self) -> dict[str, float]:
        """Training FLOPs per token by part: 2 a multiply-add, backward twice forward.

        Counts the matmuls that causal attention needs: a query sees (T+1)/2 keys on average, half of
        what the PaLM formula (12 n_layer n_embd T, arXiv 2204.02311) counts.
        """
        C, T = self.config.n_embd, self.block_size
        return {
            "body": 6.0 * self.config.n_layer * 12 * C * C,
            "attention": 6.0 * self.config.n_layer * C * (T + 1),
            "output": 6.0 * C * self.vocab_size,
        }

    def params_embedding(self) -> int:
        """Parameters that depend on the vocabulary: the token embedding, which is the output layer."""
        return self.token_embedding.weight.numel()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log p(target) in nats, computed in float32 whatever the logits' precision."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
