"""The section of the report about tokenizers without models: intrinsic metrics as tables."""

from ..intrinsic import Intrinsic, groups_left_out, shown
from .markdown import code, table

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
    """The section in Markdown: the whole test split, and by language and domain."""
    test = {label: splits["test"] for label, splits in intrinsic.items()}
    parts = ["## Tokenizers", "Measured on the test split, without a model."]
    for columns in (LENGTH, USE):
        rows = [
            [code(label), *(shown(found[key], form) for key, form in columns.values())]
            for label, found in test.items()
        ]
        parts.append(table(["tokenizer", *columns], rows))
    for column in next(iter(test.values())).get("groups", {}):
        parts += _group_tables(test, column)
    return "\n\n".join([*parts, *groups_left_out(intrinsic, "test")])


def _group_tables(test: dict[str, dict], column: str) -> list[str]:
    """Characters per token and words of one token, a row for each value of the column, most text first."""
    by_label = {label: found["groups"][column] for label, found in test.items()}
    groups = sorted((first := next(iter(by_label.values()))), key=lambda value: -first[value]["chars"])
    if not groups:
        return []
    heading = [column, "characters", *map(code, test)]

    def rows(key: str, form: str) -> list[list[str]]:
        return [
            [code(value), f"{first[value]['chars']:,}"]
            + [shown(found[value][key], form) for found in by_label.values()]
            for value in groups
        ]

    parity = ["lowest / highest", "", *(shown(found["parity"][column], ".3f") for found in test.values())]
    return [
        f"### By {column}",
        "Characters per token. The groups are not translations of each other, so part of their difference "
        "is due to their subjects.",
        table(heading, [*rows("chars_per_token", ".3f"), parity]),
        "Words of one token.",
        table(heading, rows("words_one_token", ".1%")),
    ]
