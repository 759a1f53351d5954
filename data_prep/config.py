"""What a corpus is made of."""

import difflib
from dataclasses import dataclass, field
from typing import Literal

KINDS = ("shakespeare", "files", "text", "jsonl", "parquet", "hub", "mixture")


@dataclass(frozen=True)
class Source:
    """A source of text and how it is read."""

    source: str = "shakespeare"
    """shakespeare; files:PATH, a file, a folder or a glob of text, JSON, CSV, Parquet or Arrow files,
    compressed or not; text:PATH, jsonl:PATH or parquet:PATH, such files of one format; or
    hub:NAME[:CONFIG], a data set of the Hugging Face Hub"""
    text_column: str = "text"
    """column that holds the text of a row; message.content is the field content of the column message"""
    language_column: str = "language"
    """column that names the language of a document, if there is one"""
    domain_column: str = "domain"
    """column that names the kind of a document, if there is one"""
    group_column: str = "group"
    """column with the group of a document, such as a book or site, if there is one (default: group; without
    it, the host of the column url). Documents of a group are all in one split"""
    id_column: str | None = None
    """column that names a document (default: its file and row)"""
    on_bad_rows: Literal["stop", "skip"] = "stop"
    """rows that are damaged or whose text is not text: stop with an error, or skip and count them. Rows
    without text are always dropped and counted"""
    document: Literal["auto", "file", "line", "paragraph", "passage"] = "auto"
    """what a document of text files is. auto: a passage of about 8,192 characters if there are fewer than 20
    files, else a whole file"""
    min_length: int = 1
    """shorter documents are left out, in characters"""
    max_length: int | None = None
    """longer documents are left out, in characters (default: none)"""
    max_chars: int | None = None
    """read documents until they hold this many characters in all; each split, if the source has its own. The
    rest is not read, or downloaded (default: read everything)"""
    revision: str | None = None
    """revision of a hub data set: a commit, tag or branch (default: the newest; the corpus records which)"""

    def __post_init__(self) -> None:
        check_source(self.source)
        for name in ("min_length", "max_length", "max_chars"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"corpus.{name} {value} must be at least 1")


@dataclass(frozen=True)
class Part(Source):
    """A source of a mixture."""

    weight: float = 1.0
    """its share of the characters, relative to the weights of the other sources"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.weight > 0:
            raise ValueError(f"weight {self.weight} must be above 0")
        if self.source == "mixture":
            raise ValueError("a source of a mixture cannot be a mixture: list its sources instead")


@dataclass(frozen=True)
class CorpusConfig(Source):
    """A source of text and how it is split."""

    mixture: dict[str, Part] = field(default_factory=dict)
    """with source: mixture, the sources to mix, each under the name of its domain. Documents are drawn at
    random so that each source has its share of the characters, and as many as there are for these shares"""
    deduplicate: bool = False
    """remove training documents that also occur in the test or validation text, exactly or nearly (default:
    only count them)"""
    val_fraction: float = 0.05
    """share of the documents for validation, unless the source has a validation split"""
    test_fraction: float = 0.05
    """share of the documents for the test, unless the source has a test split"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.source == "mixture") != bool(self.mixture):
            raise ValueError(
                "corpus.mixture lists the sources of corpus.source: mixture; give both or neither"
            )
        if not (self.val_fraction > 0 < self.test_fraction and self.val_fraction + self.test_fraction < 1):
            raise ValueError(
                f"corpus.val_fraction {self.val_fraction} and corpus.test_fraction {self.test_fraction} "
                "must be above 0 and together below 1"
            )


def check_source(source: str) -> tuple[str, str]:
    """Check a source spec and return its kind and argument.

    Raises:
        ValueError: the kind is unknown, or its argument is missing.
    """
    kind, _, argument = source.partition(":")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        known = "known: shakespeare, files:, text:, jsonl:, parquet:, hub:, mixture"
        hint = f"did you mean '{near[0]}'?" if near else known
        raise ValueError(f"unknown corpus source '{source}' ({hint})")
    if kind not in ("shakespeare", "mixture") and not argument:
        raise ValueError(f"corpus source '{source}' needs a path or name, as in '{kind}:NAME'")
    return kind, argument
