"""What training, scoring and generation ask of every model."""

from dataclasses import dataclass

from torch import Tensor, nn

from .config import ModelConfig


@dataclass(frozen=True)
class Weights:
    """The weights of a model and its shape: all that a file needs to hold of it."""

    config: ModelConfig
    vocab_size: int
    block_size: int
    tensors: dict[str, Tensor]
    """by name, as in `state_dict`"""


class LanguageModel(nn.Module):
    """A model of the next token over `vocab_size` tokens, in contexts of at most `block_size`."""

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
        """Logits (B, T, V) for token ids `idx` (B, T); with `targets` (B, T) the mean loss in nats.

        With `reduction="none"` the loss of each target that is not -1, in order, in float32.

        `begins` (B, T) int64 is the position in which the document of each position begins, if not all are
        of one document: a prediction then depends on its own document alone.
        """
        raise NotImplementedError

    def weights(self) -> Weights:
        """The weights as they are: what an update changes, it changes there too."""
        return Weights(self.config, self.vocab_size, self.block_size, self.state_dict())

    def flops_per_token(self) -> dict[str, float]:
        """Training FLOPs per token by part: 2 a multiply-add, backward twice forward."""
        raise NotImplementedError

    def params_embedding(self) -> int:
        """Parameters that depend on the vocabulary."""
        raise NotImplementedError

    def params_body(self) -> int:
        """All other parameters."""
        raise NotImplementedError
