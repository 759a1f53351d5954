"""The interface of every model, as training, scoring and generation use it."""

from dataclasses import dataclass

from torch import Tensor, nn

from .config import ModelConfig


@dataclass(frozen=True)
class Weights:
    """The weights of a model and its shape: all that its file holds."""

    config: ModelConfig
    vocab_size: int
    block_size: int
    tensors: dict[str, Tensor]
    """by name, as in `state_dict`"""


class LanguageModel(nn.Module):
    """A model of the next token, over `vocab_size` tokens, from contexts of up to `block_size` tokens."""

    def __init__(self, config: ModelConfig, vocab_size: int, block_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size, self.block_size = config, vocab_size, block_size

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        reduction: str = "mean",
        begins: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V) for token ids `idx` (B, T); with `targets` (B, T), the mean loss in nats.

        `reduction="none"` returns the loss of every target that is not -1, in order, 1-d float32.

        `begins` (B, T) int64 is needed if a row holds several documents: for each position, the position at
        which its document begins. A prediction then depends on its own document alone.
        """
        raise NotImplementedError

    def weights(self) -> Weights:
        """The weights, not copied: a later update changes them here, too."""
        return Weights(self.config, self.vocab_size, self.block_size, self.state_dict())

    def flops_per_token(self) -> dict[str, float]:
        """Training FLOPs per token, by part: 2 per multiply-add; backward takes twice as many as forward."""
        raise NotImplementedError

    def params_embedding(self) -> int:
        """Parameters that depend on the vocabulary."""
        raise NotImplementedError

    def params_body(self) -> int:
        """All other parameters."""
        raise NotImplementedError
