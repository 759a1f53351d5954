"""Specs: the strings that name tokenizers."""

import difflib
import re
from pathlib import Path

from .patterns import DEFAULT, PATTERNS

LONGEST_LABEL = 64  # characters
# Names of files and folders that say nothing about the tokenizer in them
NOT_TELLING = (
    "tokenizer",
    "tekken",
    "vocab",
    "merges",
    "spiece",
    "sentencepiece.bpe",
    "/",
    "..",
    "models",
    "snapshots",
    "package",
)
PLUGIN = re.compile(r"(.+):([A-Za-z_]\w*)(?:-([1-9][0-9]{0,8}))?")
REVISION = re.compile("[0-9a-f]{40}")
SIZED = ("unigram", "spbpe", "bpe", "parity", "superbpe", "wordpiece")
PUBLISHED = {  # each family with an example of a name or file
    "file": "my/tokenizer.json",
    "hub": "HuggingFaceTB/SmolLM2-135M",
    "tiktoken": "gpt2",
    "sentencepiece": "x.model",  # an older form of file:
}
FAMILIES = ("byte", "char", *SIZED, *PUBLISHED, "python")
KNOWN = (
    "byte, char, unigram-N, spbpe-N, bpe-N, parity-N, superbpe-N, wordpiece-N, file:PATH, hub:NAME, "
    "tiktoken:NAME, python:PATH.py:NAME"
)


def check_spec(spec: str) -> str:
    """Check a spec and return its family.

    Raises:
        ValueError: there is no such tokenizer; names the nearest one.
    """
    family = re.split("[-:]", spec, maxsplit=1)[0]
    sign, rest = spec[len(family) :][:1], spec[len(family) + 1 :]
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, n=1, cutoff=0.5)
        near = [near[0] + (sign + rest if near[0] in (*SIZED, *PUBLISHED) else "")] if near else []
        hint = f"did you mean '{near[0]}'?" if near else f"known: {KNOWN}"
        raise ValueError(f"unknown tokenizer '{spec}' ({hint})")
    if family in PUBLISHED:
        if sign != ":" or not rest:
            raise ValueError(f"tokenizer '{spec}' needs a name or file, as in '{family}:{PUBLISHED[family]}'")
        return family
    if family == "python":
        if sign != ":" or not PLUGIN.fullmatch(rest):
            raise ValueError(
                f"tokenizer '{spec}' needs a file and a name in it, as in 'python:my/tokenizer.py:Mine'"
            )
        return family
    size, colon, pattern = rest.partition(":")
    if family not in SIZED:
        if sign:
            raise ValueError(f"tokenizer '{spec}' takes no size (did you mean '{family}'?)")
        return family
    # At most 9 digits: the libraries use 32-bit integers
    if sign != "-" or not re.fullmatch(r"[1-9][0-9]{0,8}", size):
        raise ValueError(f"tokenizer '{spec}' needs a vocabulary size, as in '{family}-4096'")
    if colon and family == "superbpe":
        if not re.fullmatch(r"[1-9][0-9]{0,8}", pattern) or not 257 <= int(pattern) < int(size):
            raise ValueError(
                f"tokenizer '{spec}': '{pattern}' is not the size of its first stage, at least 257 and less "
                f"than {size}, as in 'superbpe-{size}:{_transition(int(size))}'"
            )
        return family
    if colon and family not in ("bpe", "parity"):
        raise ValueError(f"tokenizer '{spec}' takes no pattern (did you mean '{family}-{size}'?)")
    if colon and pattern not in PATTERNS:
        near = difflib.get_close_matches(pattern, PATTERNS, n=1)
        hint = f"did you mean '{family}-{size}:{near[0]}'?" if near else f"known: {', '.join(PATTERNS)}"
        raise ValueError(f"tokenizer '{spec}': unknown pattern '{pattern}' ({hint})")
    return family


def trained_size(spec: str) -> int | None:
    """The size of the vocabulary in the spec of a tokenizer that is trained to a size; None for others."""
    family = spec.partition(":")[0]
    if family == "python":
        return plugin_parts(spec)[2]
    name, _, size = family.partition("-")
    return int(size) if name in SIZED else None


def superbpe_sizes(spec: str) -> tuple[int, int]:
    """The size of the vocabulary in a spec `superbpe-N` or `superbpe-N:T`, and that of its first stage."""
    sizes = [int(size) for size in spec.partition("-")[2].split(":")]
    return sizes[0], sizes[1] if len(sizes) > 1 else _transition(sizes[0])


def is_beginning(spec: str, other: str) -> bool:
    """True if the tokenizer `spec` has the first ids of a larger one that is trained on the same texts."""
    (family, size, rest), (other_family, other_size, other_rest) = _parts(spec), _parts(other)
    if family != other_family or family not in ("bpe", "superbpe") or size >= other_size:
        return False
    if family == "superbpe":
        return superbpe_sizes(spec)[1] == superbpe_sizes(other)[1]
    return (rest or DEFAULT) == (other_rest or DEFAULT)


def _parts(spec: str) -> tuple[str, int, str]:
    """The family, the size (0 if it has none) and the rest of a spec."""
    family, _, rest = spec.partition("-")
    size, _, rest = rest.partition(":")
    return family, int(size) if size.isdigit() else 0, rest


def _transition(size: int) -> int:
    return max(257, size * 4 // 5)


def plugin_parts(spec: str) -> tuple[Path, str, int | None]:
    """The file, the name in it and the size in the spec of a user's tokenizer."""
    parts = PLUGIN.fullmatch(spec.partition(":")[2])
    assert parts, f"{spec} is checked by check_spec"
    return Path(parts[1]), parts[2], int(parts[3]) if parts[3] else None


def folder_name(spec: str) -> str:
    """The default label of a tokenizer, which is also the name of its folder.

    It is the spec with '-' in place of `/`, `:` and other special characters. For a file it is the name of
    the file, or of its model's folder where all models' files have that name.
    """
    family, _, rest = spec.partition(":")
    if family == "hub":
        name = rest.partition("@")[0].rpartition("/")[2]
    elif family == "python" and PLUGIN.fullmatch(rest):
        name = rest.rpartition(":")[2]
    elif family in PUBLISHED and ("/" in rest or "." in rest):
        name = _file_name(path_and_pattern(spec)[0])
    else:
        name = spec
    return re.sub(r"[^\w.-]+", "-", name)[-LONGEST_LABEL:].strip("-.")


def _file_name(path: Path) -> str:
    without = re.sub(r"\.(json|model|tiktoken|txt)$", "", str(path))
    parts = [re.sub(r"^models--(.*--)?", "", part) for part in Path(without).parts]  # in the hub's cache
    telling = [name for name in parts if name.lower() not in NOT_TELLING and not REVISION.fullmatch(name)]
    return (telling or parts or ["file"])[-1]


def path_and_pattern(spec: str) -> tuple[Path, str | None]:
    """The path in the spec of a file, and the name of the pattern that may follow it."""
    name = spec.partition(":")[2]
    before, colon, last = name.rpartition(":")
    if colon and last in PATTERNS and not Path(name).exists():
        return Path(before), last
    return Path(name), None
