"""Documents of text files: whole files, lines, paragraphs or passages."""

import re
from collections.abc import Iterator
from itertools import chain, pairwise

from .document import Document
from .inputs import InputFile, opened
from .rows import as_text, read_lines

FEW_FILES = 20  # fewer text files are split into passages; of this many or more, each file is a document
PASSAGE_CHARS = 8192  # a passage ends at the first paragraph end past this length, or line end past twice it
# A file with a line longer than both, in characters and as a share of it, is also cut at white space: it may
# have no line ends at all
LONGEST_LINE, LONGEST_SHARE = 1000, 0.2
READ = 1 << 16  # bytes that are read of a long line at a time
WHITE_SPACE = re.compile(r"[ \t\r\n\v\f]+")


def read_text_file(
    path: InputFile, document: str, group: str, fractions: tuple[float, float], limit: int | None = None
) -> Iterator[Document]:
    """The documents of a text file, in order; parts of it are in the same `group`.

    A `document` is a file, line, paragraph or passage. Only passages have a split: with the `fractions` of
    the validation and test split, first come those for training, then the others. With a `limit` a file is
    divided into passages as if it ended at this many characters.

    Raises:
        ValueError: the file is not UTF-8, or its compressed content is damaged; names the place.
    """
    if document == "file":
        with opened(path) as file:
            yield Document(str(path), as_text(file.read(), path))
    elif document == "line":
        for number, line in enumerate(read_lines(path), start=1):
            yield Document(f"{path}:{number}", line.rstrip("\r\n"), group=group)
    elif document == "paragraph":
        yield from _paragraphs(path, group)
    else:
        yield from _passages(path, group, fractions, limit)


def _paragraphs(path: InputFile, group: str) -> Iterator[Document]:
    """The parts of a file between blank lines."""
    paragraph: list[str] = []
    start = 1
    for number, line in enumerate(chain(read_lines(path), [""]), start=1):
        if line.strip():
            paragraph.append(line)
            continue
        if paragraph:
            yield Document(f"{path}:{start}", "".join(paragraph).rstrip("\r\n"), group=group)
        paragraph, start = [], number + 1


def _passages(
    path: InputFile, group: str, fractions: tuple[float, float], limit: int | None
) -> Iterator[Document]:
    """Split a file at paragraph ends, or at line ends in a long paragraph: first train, then val, then test.

    Reads the file twice, the first time for its length, and keeps one passage in memory.
    """
    total, longest = _measure(path)
    total = total if limit is None else min(total, limit)
    val_fraction, test_fraction = fractions
    size = min(PASSAGE_CHARS, total // 60)  # a small file has as many passages, for all three splits
    if longest <= max(LONGEST_LINE, LONGEST_SHARE * total):
        lines, least = read_lines(path), 2 * size
    else:
        lines, least = _cut_lines(path, size), size
    start = length = 0
    passage: list[str] = []
    for line, following in pairwise(chain(lines, [""])):
        paragraph_ends = line.isspace() and start + length > 0
        passage.append(line)
        length += len(line)
        if following.isspace() and following.endswith("\n"):
            continue  # blank lines belong to the passage before them
        if not following or length >= (size if paragraph_ends else least):
            done = start / total
            split = (
                "train"
                if done < 1 - val_fraction - test_fraction
                else "val"
                if done < 1 - test_fraction
                else "test"
            )
            yield Document(f"{path}:{start}", "".join(passage), split, group=group)
            start, length, passage = start + length, 0, []
            if start >= total:
                return


def _measure(path: InputFile) -> tuple[int, int]:
    """The number of characters of a file, and of its longest line."""
    total = longest = line = 0
    for part in _parts(path, READ):
        total += len(part)
        line += len(part)
        longest = max(longest, line)
        if part.endswith("\n"):
            line = 0
    return total, longest


def _parts(path: InputFile, size: int) -> Iterator[str]:
    """The lines of a file, long ones in parts of about `size` bytes."""
    offset, rest = 0, b""
    with opened(path) as file:
        while content := file.readline(size):
            content, rest = rest + content, b""
            try:
                part = content.decode()
            except UnicodeDecodeError as error:
                if error.end < len(content):
                    as_text(content, path, offset)  # names the place
                content, rest = content[: error.start], content[error.start :]  # the part of a character
                part = content.decode()
            offset += len(content)
            if part:
                yield part
    as_text(rest, path, offset)


def _cut_lines(path: InputFile, chars: int) -> Iterator[str]:
    """The lines of a file, long ones in parts that end with the first white space past `chars` characters."""
    rest = ""
    for part in chain(_parts(path, READ), [""]):
        rest += part
        while len(rest) > chars:
            space = WHITE_SPACE.search(rest, chars - 1)
            if not space and part and len(rest) < READ:
                break  # more of the line may follow
            end = space.end() if space else chars  # there may be none at all
            yield rest[:end]
            rest = rest[end:]
        if rest and (not part or rest.endswith("\n")):
            yield rest
            rest = ""
