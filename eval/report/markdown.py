"""Markdown tables and escaping."""

import html
import re
from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table with the first `words` columns aligned left and the others right."""
    lines = ["| " + " | ".join(line) + " |" for line in (heading, *rows)]
    lines.insert(1, "|" + "---|" * words + "---:|" * (len(heading) - words))
    return "\n".join(lines)


def code(value: str) -> str:
    """Any text as code in a table cell."""
    plain = " ".join(value.split()).replace("`", "'").replace("|", "¦")
    return f"`{plain}`" if plain else '""'


def escape(text: str) -> str:
    """Escape Markdown in a text, such as the path of a tokenizer in a sentence."""
    return re.sub(r"([\\`*_])", r"\\\1", text)


def plain(text: str) -> str:
    """Escape Markdown and HTML in a paragraph."""
    return html.escape(escape(text), quote=False)
