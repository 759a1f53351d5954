"""Labels of tokenizers: their names in a comparison and of their folders."""

import re
from collections.abc import Sequence

from tokenizers import LONGEST_LABEL, check_spec, folder_name

NAME = re.compile(r"\w[\w.-]*")  # a folder name that every file system allows
Entry = str | dict[str, str]


def specs_by_label(entries: Sequence[Entry]) -> dict[str, str]:
    """The spec of each tokenizer by its label, in the order of the file.

    An entry is a spec or `{label: spec}`. The default label is `folder_name(spec)`.

    Raises:
        ValueError: an unknown spec, a label that cannot name a folder, or two tokenizers with the same label.
    """
    found: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, str):
            spec, label = entry, folder_name(entry)
        else:
            if len(entry) != 1:
                raise ValueError(f"tokenizers: {entry} is neither a spec nor one label with its spec")
            ((label, spec),) = entry.items()
            _check_label(label)
        check_spec(spec)
        if label in found:
            raise ValueError(
                f"tokenizers: '{found[label]}' and '{spec}' have the same label '{label}': "
                f"give one another label, {{LABEL: {spec}}}"
            )
        found[label] = spec
    return found


def _check_label(label: object) -> None:
    """Check a label given in a file."""
    if not isinstance(label, str):
        raise ValueError(
            f"tokenizers: the label {label} is of type {type(label).__name__}, not text: put it in quotes"
        )
    if not NAME.fullmatch(label):
        raise ValueError(
            f"tokenizers: the label '{label}' names a folder: letters, digits, '.', '-' and '_' only, "
            "and neither '.' nor '-' first"
        )
    if len(label) > LONGEST_LABEL:
        raise ValueError(
            f"tokenizers: the label '{label}' has {len(label)} characters: use at most {LONGEST_LABEL}"
        )


def shortest_entries(specs: dict[str, str]) -> list[Entry]:
    """Entries of a file for these specs by label; labels are given only if they are not the default."""
    return [spec if label == folder_name(spec) else {label: spec} for label, spec in specs.items()]


def family(spec: str) -> str:
    """The family of specs that differ only in vocabulary size: `bpe`, or `bpe:gpt2` with a pattern."""
    sized = re.fullmatch(r"(\w+)-\d+(:.*)?", spec) or re.fullmatch(r"(python:.*:\w+)-\d+()", spec)
    return sized[1] + (sized[2] or "") if sized else spec
