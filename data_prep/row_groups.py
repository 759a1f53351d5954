"""Encode and check row groups of a corpus in several processes, and write them shard by shard."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet

from tokenizers import Tokenizer
from tokenizers.arrow import lengths, offsets

from .arrays import DOCUMENT, MARK_CHARS, ArrayWriter, narrowest_dtype
from .processes import in_processes

PIECE = 1 << 18  # tokens whose characters are counted at a time


@dataclass(frozen=True)
class Shard:
    """A Parquet file of the corpus, which is encoded to one file each of tokens, documents and marks."""

    split: str
    number: int
    path: Path

    @property
    def name(self) -> str:
        """The prefix of the names of its files."""
        return f"{self.split}-{self.number:05}"


@dataclass(frozen=True)
class Task:
    """A row group to encode."""

    shard: Shard
    group: int


@dataclass(frozen=True)
class Group:
    """An encoded row group."""

    shard: Shard
    tokens: np.ndarray
    """1-d, of the arrays' dtype: document, eot, document, eot, ..."""
    documents: np.ndarray
    """1-d of `DOCUMENT`; `start` counts from the beginning of `tokens`"""
    marks: np.ndarray
    """1-d int64: index in `tokens` of the token that contains every 32nd character of the row group"""
    lossy: int
    """number of documents that do not round-trip"""


def encode_row_group(tokenizer: Tokenizer, dtype: np.dtype, allow_lossy: bool, task: Task) -> Group:
    """Encode the documents of one row group; each is decoded again and compared with its source.

    Raises:
        ValueError: a document does not round-trip and `allow_lossy` is not set; names the document.
    """
    file = _open(task.shard.path)
    column = file.read_row_group(task.group, columns=["text"], use_threads=False).column("text")
    texts = column.chunk(0) if column.num_chunks == 1 else pyarrow.concat_arrays(column.chunks)
    chars = lengths(texts)
    tokens, ends, kept = tokenizer.encode_documents(texts, chars)
    if not kept.all() and not allow_lossy:
        row = int(np.argmin(kept)) + sum(file.metadata.row_group(g).num_rows for g in range(task.group))
        raise ValueError(
            f"{tokenizer.spec} loses text: {task.shard.path} row {row} does not round-trip; "
            "leave the tokenizer out, or set allow_lossy to report it separately"
        )
    documents = np.empty(len(texts), dtype=DOCUMENT)
    documents["start"] = np.append(0, ends[:-1] + 1)
    documents["chars"] = chars
    documents["bytes"] = np.diff(offsets(texts))
    marks = mark_tokens(tokens, documents, tokenizer)
    return Group(task.shard, tokens.astype(dtype, copy=False), documents, marks, int((~kept).sum()))


def mark_tokens(tokens: np.ndarray, documents: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """The index of the token that contains each `MARK_CHARS`-th character of the documents: 1-d int64.

    A token contains the characters whose first byte it contains. If a tokenizer loses text, or adds a space
    before it, positions in a document's tokens are scaled to those in its source.
    """
    chars, starts = documents["chars"], documents["start"]
    sizes, last = token_chars(tokenizer), np.append(starts[1:], len(tokens)) - 1
    source = np.cumsum(chars)
    wanted = np.arange(0, source[-1], MARK_CHARS)
    marks, found = _tokens_of(wanted, last, tokens, sizes)
    if not np.array_equal(found, source):
        document = np.searchsorted(source, wanted, side="right")
        own = np.diff(found, prepend=0)[document]
        into = (wanted - source[document] + chars[document]) * own // np.maximum(chars[document], 1)
        marks, _ = _tokens_of(found[document] - own + into, last, tokens, sizes)
    return marks


def _tokens_of(
    wanted: np.ndarray, last: np.ndarray, tokens: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that contain the characters `wanted`, and the number of characters up to the tokens `last`.

    Both are 1-d int64 and sorted, as the arguments are; `sizes` are the characters of each id. Tokens are
    looked at piece by piece: counts of all tokens of a long document would take many times its size.
    """
    marks, found = np.full(len(wanted), len(tokens) - 1), np.empty(len(last), dtype=np.int64)
    before = 0
    for begin in range(0, len(tokens), PIECE):
        ends = before + np.cumsum(sizes[tokens[begin : begin + PIECE]])  # characters up to each token's end
        here = slice(*np.searchsorted(wanted, [before, ends[-1]]))
        marks[here] = begin + np.searchsorted(ends, wanted[here], side="right")
        here = slice(*np.searchsorted(last, [begin, begin + PIECE]))
        found[here] = ends[last[here] - begin]
        before = int(ends[-1])
    return marks, found


@lru_cache(maxsize=1)
def token_chars(tokenizer: Tokenizer) -> np.ndarray:
    """The number of characters whose first byte each id contains: (vocab_size) int64."""
    return np.array([sum(byte & 0xC0 != 0x80 for byte in token) for token in tokenizer.table])


@lru_cache(maxsize=1)
def _open(path: Path) -> pyarrow.parquet.ParquetFile:
    return pyarrow.parquet.ParquetFile(path)


def encode_all(
    tokenizer: Tokenizer, dtype: np.dtype, allow_lossy: bool, tasks: list[Task], processes: int
) -> Iterator[Group]:
    """Yield the encoded row groups in order; at most two per process are in memory.

    Raises:
        ValueError: as for `encode_row_group`.
    """
    _open.cache_clear()  # a file may have been replaced
    yield from in_processes(partial(encode_row_group, tokenizer, dtype, allow_lossy), tasks, processes)


def write_shard(
    shard: Shard, groups: Iterable[Group], folder: Path, dtype: np.dtype, eot: int
) -> dict[str, int]:
    """Write the three files of a shard as its row groups arrive, in order.

    Returns the counts `tokens` (without `eot`) and `lossy_documents`.
    """
    writer = ArrayWriter(folder / f"{shard.name}.tokens.npy", dtype)
    writer.write(np.array([eot]))
    tables, marks, tokens, lossy = [], [], 0, 0
    for group in groups:
        marks.append(group.marks + writer.length)
        group.documents["start"] += writer.length
        tables.append(group.documents)
        writer.write(group.tokens)
        tokens += len(group.tokens) - len(group.documents)
        lossy += group.lossy
    writer.close()
    np.save(folder / f"{shard.name}.documents.npy", np.concatenate(tables))
    dtype = np.promote_types(np.uint32, narrowest_dtype(writer.length))
    np.save(folder / f"{shard.name}.marks.npy", np.concatenate(marks).astype(dtype))
    return {"tokens": tokens, "lossy_documents": lossy}
