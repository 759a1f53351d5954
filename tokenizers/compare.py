"""Where two tokenizers cut text differently: `python -m tokenizers.compare A B --corpus out/x/corpus`.

Both encode the same documents. The shortest stretches of text that begin and end with a token of both are cut
in the same way, or not. Those that are not are counted, and shown with the pieces of both: first those that
cost B most tokens, then those that cost A most.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from . import Tokenizer
from .show import Parser, find_tokenizer, visible

SHOWN = 26  # characters of a stretch in the table
CHARS = 5_000_000

Pieces = tuple[bytes, ...]


@dataclass(frozen=True)
class Difference:
    """A stretch of text that two tokenizers cut differently."""

    count: int
    """how often it occurs"""
    pieces: tuple[Pieces, Pieces]
    """the tokens of either, as bytes"""

    @property
    def more(self) -> int:
        """The number of tokens that the second tokenizer needs beyond the first in all occurrences."""
        return self.count * (len(self.pieces[1]) - len(self.pieces[0]))


def differences(
    tokenizers: tuple[Tokenizer, Tokenizer], texts: Iterable[str]
) -> tuple[list[Difference], list[int]]:
    """The stretches that the tokenizers cut differently, and the number of tokens of either.

    Those that cost the second tokenizer most come first.

    Raises:
        ValueError: the tokens of one do not spell a text, because it loses text or its tokens have no bytes.
    """
    counts: Counter[tuple[Pieces, Pieces]] = Counter()
    tokens = [0, 0]
    for text in texts:
        cuts = [pieces_of(tokenizer, text) for tokenizer in tokenizers]
        for number in range(2):
            tokens[number] += len(cuts[number])
        counts.update(stretches(*cuts))
    found = [Difference(count, pieces) for pieces, count in counts.items()]
    return sorted(found, key=lambda difference: (-difference.more, difference.pieces)), tokens


def pieces_of(tokenizer: Tokenizer, text: str) -> list[bytes]:
    """The tokens of a text as bytes, which joined are those of the text.

    Raises:
        ValueError: they are not.
    """
    pieces = [tokenizer.table[i] for i in tokenizer.encode(text)]
    if pieces and tokenizer.prefix:
        pieces[0] = pieces[0].removeprefix(tokenizer.prefix)
    if not tokenizer.has_bytes or b"".join(pieces) != text.encode():
        raise ValueError(f"{tokenizer.spec} loses text, so its tokens cannot be compared with others'")
    return [piece for piece in pieces if piece]


def stretches(first: list[bytes], second: list[bytes]) -> Iterator[tuple[Pieces, Pieces]]:
    """The pieces of each stretch of one text that is cut differently."""
    ends = [np.cumsum([len(piece) for piece in pieces]) for pieces in (first, second)]
    common = np.intersect1d(ends[0], ends[1], assume_unique=True)
    places = [np.searchsorted(end, common) + 1 for end in ends]
    sizes = [np.diff(place, prepend=0) for place in places]
    for i in np.flatnonzero((sizes[0] > 1) | (sizes[1] > 1)):
        pieces = [
            tuple(cut[place[i] - size[i] : place[i]])
            for cut, place, size in zip((first, second), places, sizes, strict=True)
        ]
        yield pieces[0], pieces[1]


def read_texts(corpus: Path, split: str, chars: int) -> Iterator[str]:
    """The documents of a split, until they have `chars` characters.

    Raises:
        ValueError: the folder contains no such split.
    """
    files = sorted((corpus / split).glob("*.parquet"))
    if not files:
        raise ValueError(f"{corpus} contains no corpus with a split '{split}'")
    for file in files:
        for batch in pyarrow.parquet.ParquetFile(file).iter_batches(columns=["text"], batch_size=64):
            for text in batch.column("text").to_pylist():
                yield text
                chars -= len(text)
                if chars <= 0:
                    return


def in_lines(found: list[Difference], names: tuple[str, str], rows: int) -> list[str]:
    """A table of the costliest differences for either tokenizer, as lines."""
    lines = []
    for name, chosen in (
        (names[1], [each for each in found if each.more > 0][:rows]),
        (names[0], [each for each in reversed(found) if each.more < 0][:rows]),
    ):
        lines += [f"costs {name} most", f"{'tokens':>9} {'places':>9}  {names[0]:{SHOWN}}  {names[1]}"]
        for each in chosen:
            first, second = (shortened("│".join(map(visible, pieces))) for pieces in each.pieces)
            lines.append(f"{abs(each.more):>9,} {each.count:>9,}  {first:{SHOWN}}  {second}")
        lines.append("")
    return lines


def shortened(text: str) -> str:
    """The beginning of a long text, on one line."""
    text = text.replace("\n", "")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def main(arguments: list[str] | None = None) -> None:
    """Print what the command line asks for."""
    parser = Parser(
        prog="python -m tokenizers.compare", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    for name in ("A", "B"):
        parser.add_argument(name, help="a spec, file or folder, as for tokenizers.show")
    parser.add_argument(
        "--corpus", type=Path, required=True, help="folder of a corpus, such as out/shakespeare/corpus"
    )
    parser.add_argument("--split", default="val", choices=("train", "val", "test"), help="default: val")
    parser.add_argument(
        "--chars", type=int, default=CHARS, help=f"characters to compare (default: {CHARS:,})"
    )
    parser.add_argument("--rows", type=int, default=20, help="differences to show for each (default: 20)")
    options = parser.parse_args(arguments)
    try:
        both = find_tokenizer(options.A), find_tokenizer(options.B)
        found, tokens = differences(both, read_texts(options.corpus, options.split, options.chars))
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    names = both[0].spec, both[1].spec
    for name, count in zip(names, tokens, strict=True):
        print(f"{name}: {count:,} tokens")
    places = sum(each.count for each in found)
    print(f"{places:,} places are cut differently, in {len(found):,} ways\n")
    print("\n".join(in_lines(found, names, options.rows)).rstrip())


if __name__ == "__main__":
    main()
