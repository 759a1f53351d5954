"""The text of the walk, its characters as numbers, and batches of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import altair as alt
import torch
from torch import Tensor

from data_prep.corpus import Corpus


@dataclass(frozen=True)
class Walk:
    """Where the walk reads and writes."""

    corpus: Path = Path("out/lecture/corpus")
    """folder of a corpus made by data_prep.corpus"""
    out: Path = Path("out/lecture")
    """folder for figures"""

    def read(self, split: str = "train") -> str:
        """All documents of a split, one after the other."""
        return "".join(Corpus(self.corpus).texts(split))

    def save(self, chart: alt.TopLevelMixin, name: str) -> None:
        """Save a chart as a PNG file in `out` and print its path."""
        self.out.mkdir(parents=True, exist_ok=True)
        chart.save(self.out / f"{name}.png", scale_factor=2)
        print(f"\nfigure: {self.out / name}.png")


class Characters:
    """A vocabulary of characters; a character's number is its position in the sorted list."""

    def __init__(self, text: str) -> None:
        self.characters = sorted(set(text))
        self.number = {character: i for i, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's characters."""
        return [self.number[character] for character in text]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these numbers."""
        return "".join(self.characters[i] for i in ids)


def draw_batch(data: Tensor, sequences: int, block_size: int) -> tuple[Tensor, Tensor]:
    """Random chunks x of `data` and the chunks y one position later; both (sequences, block_size)."""
    starts = torch.randint(len(data) - block_size, (sequences,)).tolist()
    x = torch.stack([data[i : i + block_size] for i in starts])
    y = torch.stack([data[i + 1 : i + block_size + 1] for i in starts])
    return x, y
