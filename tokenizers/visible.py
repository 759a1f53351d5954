"""Bytes as something to read: a token may be part of a character, and a model may write what is no UTF-8."""

import itertools
import unicodedata
from collections.abc import Iterator
from typing import Literal

SIGNS = {"\n": "⏎", "\t": "→"}

Kind = Literal["text", "sign", "bytes"]


def visible_parts(content: bytes) -> Iterator[tuple[str, Kind]]:
    """The content in parts of which everything but a space can be seen, and of which kind each is.

    text: as it is, but that a combining character at the very beginning stands on a dotted circle. sign: ⏎
    for a line end, → for a tab. bytes: control characters, and what is no whole character, as ⟨E2 80⟩.
    """
    text = content.decode(errors="surrogateescape")  # a lone surrogate for each byte that is no UTF-8
    if text and unicodedata.category(text[0])[0] == "M":
        text = "◌" + text
    for kind, group in itertools.groupby(text, _kind):
        part = "".join(group)
        if kind == "sign":
            part = "".join(SIGNS[character] for character in part)
        elif kind == "bytes":
            part = f"⟨{part.encode(errors='surrogateescape').hex(' ').upper()}⟩"
        yield part, kind


def _kind(character: str) -> Kind:
    if character in SIGNS:
        return "sign"
    return "text" if character.isprintable() else "bytes"


def legible(content: bytes) -> str:
    r"""The text of some bytes, with `\xE2` for a byte that is no UTF-8; for control characters, too.

    Line ends and tabs are left as they are.
    """
    text = content.decode(errors="surrogateescape")
    return "".join(character if _is_text(character) else _escape(character) for character in text)


def _is_text(character: str) -> bool:
    return character in SIGNS or unicodedata.category(character) not in ("Cc", "Cs")


def _escape(character: str) -> str:
    return "".join(f"\\x{byte:02X}" for byte in character.encode(errors="surrogateescape"))
