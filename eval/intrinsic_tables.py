"""The intrinsic metrics of tokenizers as tables: for a terminal, and for the report."""

from collections.abc import Callable

from .tables import code

Intrinsic = dict[str, dict[str, dict]]  # spec to split to metrics


def _number(form: str) -> Callable[[float | None], str]:
    return lambda value: "–" if value is None else format(value, form)


def terminal_table(intrinsic: Intrinsic, split: str) -> str:
    """A tokenizer a row, in at most 80 columns."""
    columns = {  # two lines of heading, width, and format
        "chars_per_token": (" chars/", "token", 8, ".3f"),
        "vocab_used": ("types", "used", 7, ".1%"),
        "fallback_share": ("part", "chars", 7, ".1%"),
        "unigram_entropy_bits_per_char": ("bits/", "char", 7, ".3f"),
        "renyi_efficiency": ("Rényi", "eff.", 7, ".3f"),
        "rank_95": ("types", "for 95%", 9, ",d"),
        "words_one_token": ("1-token", "words", 8, ".1%"),
    }
    lines = [
        " " * 27 + "".join(f"{top:>{width}}" for top, _, width, _ in columns.values()),
        f"{'tokenizer':19}{'vocab':>8}"
        + "".join(f"{bottom:>{width}}" for _, bottom, width, _ in columns.values()),
    ]
    for spec, splits in intrinsic.items():
        found = splits[split]
        cells = [f"{_number(form)(found[key]):>{width}}" for key, (_, _, width, form) in columns.items()]
        name = spec if len(spec) < 19 else "…" + spec[-17:]  # the end of a path tells more
        lines.append(f"{name:19}{found['vocab_size']:>8}" + "".join(cells))
    return "\n".join([*lines, *_left_out(intrinsic, split)])


LENGTH = {
    "vocabulary": ("vocab_size", ",d"),
    "characters per token": ("chars_per_token", ".3f"),
    "bytes per token": ("bytes_per_token", ".3f"),
    "tokens per document, median": ("tokens_per_document_median", ",.0f"),
    "95 % of documents below": ("tokens_per_document_p95", ",.0f"),
}
USE = {
    "types used": ("vocab_used", ".1%"),
    "seen 100 times": ("types_seen_100", ".1%"),
    "types for 95 % of tokens": ("rank_95", ",d"),
    "parts of characters": ("fallback_share", ".2%"),
    "unigram bits per character": ("unigram_entropy_bits_per_char", ".3f"),
    "Rényi efficiency": ("renyi_efficiency", ".3f"),
    "words of one token": ("words_one_token", ".1%"),
}


def report_section(intrinsic: Intrinsic) -> str:
    """The section of the report, in Markdown: the test split, whole and by language and domain."""
    test = {spec: splits["test"] for spec, splits in intrinsic.items()}
    parts = ["## Tokenizers", "On the test split, without any model."]
    for columns in (LENGTH, USE):
        rows = [
            [code(spec), *(_number(form)(found[key]) for key, form in columns.values())]
            for spec, found in test.items()
        ]
        parts.append(_table(["tokenizer", *columns], rows))
    for column in next(iter(test.values())).get("groups", {}):
        parts += _group_tables(test, column)
    return "\n\n".join([*parts, *_left_out(intrinsic, "test")])


def _group_tables(test: dict[str, dict], column: str) -> list[str]:
    """Characters per token and words of one token: a row for each value of the column, longest text first."""
    by_spec = {spec: found["groups"][column] for spec, found in test.items()}
    groups = sorted((first := next(iter(by_spec.values()))), key=lambda value: -first[value]["chars"])
    if not groups:
        return []
    heading = [column, "characters", *map(code, test)]

    def rows(key: str, form: str) -> list[list[str]]:
        return [
            [code(value), f"{first[value]['chars']:,}"]
            + [_number(form)(found[value][key]) for found in by_spec.values()]
            for value in groups
        ]

    parity = ["lowest / highest", "", *(_number(".3f")(found["parity"][column]) for found in test.values())]
    return [
        f"### By {column}",
        "Characters per token. The groups are not translations of each other: part of what sets them apart "
        "is what they are about.",
        _table(heading, [*rows("chars_per_token", ".3f"), parity]),
        "Words of one token.",
        _table(heading, rows("words_one_token", ".1%")),
    ]


def _left_out(intrinsic: Intrinsic, split: str) -> list[str]:
    found = next(iter(intrinsic.values()))[split].get("groups_left_out", {})
    return [
        f"The corpus has {number:,} different values of {column}, too many for groups."
        for column, number in found.items()
    ]


def _table(heading: list[str], rows: list[list[str]]) -> str:
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
