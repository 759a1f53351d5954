"""table.tex: the report's table in LaTeX, with the packages booktabs and, if it is long, longtable."""

import re
import unicodedata

from ..results import grouped
from .tables import BOLD, Row, main_columns

LINES = 40  # of a table that fits on a page; longer tables are split over pages
LABEL = 13  # characters of a label that fit its column; longer labels are split over lines
SPECIAL = {character: "\\" + character for character in "%_&#${}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
}
HEADS = {"chars/token": r"\shortstack[r]{chars/\\token}"}


def escape(text: str) -> str:
    """Escape text for LaTeX.

    pdfLaTeX supports few characters beyond ASCII; for others it prints the code point.
    """
    return "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    accented = ord(character) < 0x100 and len(unicodedata.normalize("NFD", character)) == 2
    if (character.isascii() and character.isprintable()) or accented:
        return character
    return rf"{{\ifdefined\Umathchar {character}\else U+{ord(character):04X}\fi}}"


def _label(text: str) -> str:
    """A label with possible line breaks after punctuation and within long words."""
    return r"\allowbreak{}".join(escape(part) for part in re.findall(r"[A-Za-z0-9]{1,10}[ -~]?|.", text))


def _cell(text: str) -> str:
    bold = text.startswith(BOLD)
    plain = re.sub(r"(?<!\w)-(?=\d)", "$-$", escape(text.strip(BOLD)))
    return rf"\textbf{{{plain}}}" if bold else plain


def as_latex(rows: list[Row], title: str, about: str) -> str:
    """The rows by model: a table with a caption, or a longtable if it does not fit on a page.

    `title` is the name of the comparison; `about` describes the protocol.
    """
    columns = main_columns(rows)
    heads = " & ".join(["tokenizer", *(HEADS.get(name, escape(name)) for name in columns)]) + r" \\"
    body: list[str] = []
    models = grouped(rows, lambda row: row["model"])
    for model, members in models.items():
        if len(models) > 1:
            body += [r"\addlinespace"] if body else []
            body.append(rf"\multicolumn{{{len(columns) + 1}}}{{@{{}}l}}{{\emph{{{escape(model)}}}}} \\*")
        for row in members:
            cells = [_label(row["tokenizer"]), *(_cell(show(row)) for show in columns.values())]
            body.append(" & ".join(cells) + r" \\")
    align = r"@{}>{\raggedright\arraybackslash}p{7.5em}" + "r" * len(columns) + "@{}"
    caption = rf"\caption{{{_caption(rows, title, about)}}}\label{{tab:{_key(title)}}}"
    lines = sum(1 + len(row["tokenizer"]) // LABEL for row in rows) + 2 * len(models)
    if lines > LINES:
        packages, table = "array,booktabs,longtable", _long(align, caption, heads, body)
    else:
        packages, table = "array,booktabs", _float(align, caption, heads, body)
    return "\n".join([rf"% \usepackage{{{packages}}} in the preamble, then \input{{table.tex}}.", *table, ""])


def _float(align: str, caption: str, heads: str, body: list[str]) -> list[str]:
    return [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        caption,
        rf"\begin{{tabular}}{{{align}}}",
        *(r"\toprule", heads, r"\midrule", *body, r"\bottomrule"),
        r"\end{tabular}",
        r"\end{table}",
    ]


def _long(align: str, caption: str, heads: str, body: list[str]) -> list[str]:
    return [
        r"{\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\begin{{longtable}}{{{align}}}",
        caption + r" \\",
        *(r"\toprule", heads, r"\midrule", r"\endfirsthead"),
        *(r"\toprule", heads, r"\midrule", r"\endhead"),
        *(r"\bottomrule", r"\endfoot"),
        *body,
        r"\end{longtable}}",
    ]


def _caption(rows: list[Row], title: str, about: str) -> str:
    said = [
        f"{title}: bits per character (bpc) of {rows[0]['test_chars']:,} characters of test text.",
        about,
        "Intervals are 95 %.",
    ]
    if any(row["behind_best_low"] is not None for row in rows):
        said.append("Intervals of distances to the lowest hold for all tokenizers of a model at once.")
    if any(row["may_be_best"] for row in rows):
        said.append("Bold: may be the best of its model.")
    return escape(" ".join(said))


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
