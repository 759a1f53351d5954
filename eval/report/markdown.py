"""Markdown: tables, and text in which nothing is markup."""

import html
import re
from collections.abc import Iterable, Sequence


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> str:
    """A table, whose first `words` columns are aligned to the left and all others to the right."""
    lines = ["| " + " | ".join(line) + " |" for line in (heading, *rows)]
    lines.insert(1, "|" + "---|" * words + "---:|" * (len(heading) - words))
    return "\n".join(lines)


def code(value: str) -> str:
    """Any text as code in a cell of a table: nothing in it is markup."""
    plain = " ".join(value.split()).replace("`", "'").replace("|", "¦")
    return f"`{plain}`" if plain else '""'


def escape(text: str) -> str:
    """Text in which nothing is markup, such as the path of a tokenizer in a sentence."""
    return re.sub(r"([\\`*_])", r"\\\1", text)


def plain(text: str) -> str:
    """A paragraph in which nothing is markup, neither Markdown nor HTML."""
    return html.escape(escape(text), quote=False)
