"""How tokenizers cut a text: `python -m tokenizers.show --spec A --spec B "text"`.

On a terminal the pieces are coloured in turn (NO_COLOR is respected), elsewhere `│` stands between them. A
line end is shown as ⏎ and a tab as →; what is only a part of a character, or a control character, as its
bytes, such as ⟨E2 80⟩.
"""

import argparse
import itertools
import os
import sys
from pathlib import Path
from typing import NoReturn

from . import Tokenizer, check_spec, is_saved, load_tokenizer, train_tokenizer, trained_size
from .visible import visible_parts

# Black on light colours, of the 256 that every terminal has: readable whatever the terminal's own are.
COLOURS = [f"\033[38;5;16;48;5;{number}m" for number in (153, 222, 151, 218, 189)]
RESET = "\033[0m"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        self.exit(2, f"codebook: {message}\n")


def find_tokenizer(spec: str) -> Tokenizer:
    """The tokenizer of a spec that needs no training, or in a file or folder.

    Raises:
        ValueError: no such tokenizer, or one that is trained on a corpus.
    """
    for folder in (Path(spec), Path(spec) / "tokenizer"):
        if is_saved(folder):
            return load_tokenizer(folder)
    if Path(spec).exists():
        return train_tokenizer(f"file:{spec}", ())
    family = check_spec(spec)
    if family == "char" or trained_size(spec):
        raise ValueError(
            f"'{spec}' is trained on a corpus: give its folder, such as out/shakespeare/data/bpe-2048"
        )
    return train_tokenizer(spec, ())


def visible(token: bytes) -> str:
    """A token as text of which every character can be seen, but for spaces; a line end ends the line, too."""
    parts = visible_parts(token)
    return "".join(part.replace("⏎", "⏎\n") if kind == "sign" else part for part, kind in parts)


def pieces(tokenizer: Tokenizer, ids: list[int], colour: bool) -> str:
    """The tokens of a text, one behind the other."""
    shown = [visible(tokenizer.table[i]) for i in ids]
    if not colour:
        return "│".join(shown)
    # Colours end with the line: a terminal would fill the rest of it.
    return "".join(
        paint + piece.replace("\n", f"{RESET}\n{paint}") + RESET
        for paint, piece in zip(itertools.cycle(COLOURS), shown, strict=False)
    )


def read_stdin() -> str:
    """Standard input as it is.

    Raises:
        ValueError: it is not UTF-8; says where.
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"standard input is not UTF-8: byte 0x{byte:02x} at {error.start}") from None


def main(arguments: list[str]) -> None:
    """Print what the command line asks for."""
    parser = Parser(prog="python -m tokenizers.show", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument(
        "--spec",
        action="append",
        required=True,
        help="byte, file:PATH, hub:NAME, tiktoken:NAME, python:PATH.py:NAME, or the folder of a trained "
        "tokenizer, such as out/shakespeare/data/bpe-2048; once for each",
    )
    parser.add_argument("text", nargs="?", default="-", help="the text (none, or -: standard input)")
    if not arguments:
        parser.error('no tokenizer; for example: python -m tokenizers.show --spec byte "a text" (see --help)')
    options = parser.parse_args(arguments)
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    try:
        tokenizers = [find_tokenizer(spec) for spec in options.spec]
        text = read_stdin() if options.text == "-" else options.text
        out = []
        for spec, tokenizer in zip(options.spec, tokenizers, strict=True):
            ids = tokenizer.encode(text).tolist()
            rate = f"{len(text) / len(ids):.2f}" if ids else "-"
            counts = f"vocabulary {tokenizer.vocab_size:>7,}  {len(ids):>7,} tokens  {rate:>5} chars a token"
            name = spec if len(spec) <= 24 else "…" + spec[-23:]
            out += [f"{name:24} {counts}", pieces(tokenizer, ids, colour), ""]
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    sys.stdout.buffer.write("\n".join(out).encode())
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
