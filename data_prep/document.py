"""A document of a source."""

from dataclasses import dataclass

# Columns that a corpus keeps, so that results can be reported for each of their values
CATEGORY_COLUMNS = ("language", "domain")
SITE = "site:"  # prefix of the host in the group of a document that has a URL but no group


@dataclass(frozen=True)
class Document:
    """One document. `split` is train, val or test if the source determines it, else None.

    Documents of the same `group`, such as the scenes of a play, are not independent. A document with the
    group None is a group of its own.
    """

    id: str
    text: str
    split: str | None = None
    language: str | None = None
    domain: str | None = None
    group: str | None = None
