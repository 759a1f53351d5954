"""The two baselines that a GPT should beat: one sees a single token, the other a context without order."""

import torch
from torch import Tensor, nn

from .base import LanguageModel
from .config import ModelConfig
from .loss import cross_entropy, token_nats


class Bigram(LanguageModel):
    """The logits of the next token are a row of a table: the row of the current token."""

    def __init__(self, config: ModelConfig, vocab_size: int, block_size: int) -> None:
        super().__init__(config, vocab_size, block_size)
        self.table = nn.Embedding(vocab_size, vocab_size)
        nn.init.zeros_(self.table.weight)  # uniform, also in rows that are never trained

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
    ) -> Tensor:
        """See `LanguageModel.forward`."""
        if targets is not None and reduction == "none":
            return token_nats(self.table, idx, targets, self.vocab_size)
        logits = self.table(idx)  # (B, T, V)
        return logits if targets is None else cross_entropy(logits, targets)

    def flops_per_token(self) -> dict[str, float]:
        """None: a look-up multiplies nothing."""
        return {"body": 0.0, "attention": 0.0, "output": 0.0}

    def params_embedding(self) -> int:
        """The whole table."""
        return self.table.weight.numel()

    def params_body(self) -> int:
        """None."""
        return 0


class BagOfWords(LanguageModel):
    """Logits from the mean embedding of the current token and all tokens before it."""

    def __init__(self, config: ModelConfig, vocab_size: int, block_size: int) -> None:
        super().__init__(config, vocab_size, block_size)
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.output = nn.Linear(config.n_embd, vocab_size)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
    ) -> Tensor:
        """See `LanguageModel.forward`."""
        x = self.token_embedding(idx).float()  # (B, T, C); a running sum needs float32
        sums, count = x.cumsum(dim=1), torch.arange(1, idx.shape[1] + 1, device=idx.device)
        if begins is not None:
            before = (sums - x).gather(1, begins[..., None].expand_as(x))  # of earlier documents
            sums, count = sums - before, count - begins
        x = sums / count[..., None]
        if targets is not None and reduction == "none":
            return token_nats(self.output, x, targets, self.vocab_size)
        logits = self.output(x)  # (B, T, V)
        return logits if targets is None else cross_entropy(logits, targets)

    def flops_per_token(self) -> dict[str, float]:
        """Only the output layer multiplies matrices."""
        return {"body": 0.0, "attention": 0.0, "output": 6.0 * self.config.n_embd * self.vocab_size}

    def params_embedding(self) -> int:
        """All: the token embedding and the output layer."""
        return sum(p.numel() for p in self.parameters())

    def params_body(self) -> int:
        """None."""
        return 0
