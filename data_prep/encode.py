"""Documents and a tokenizer to token arrays: `python -m data_prep.encode --help`.

Every shard is first staged: `parts/<shard>/` appears when it is complete, with its three files and a
`shard.json`, which says what they were made from. So an interrupted encoding goes on where it was, and
processes on several nodes can each do a part. Who finds every shard staged puts the arrays in place.
"""

import fcntl
import itertools
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet
from tqdm import tqdm

from common.cli import run_command
from common.files import new_folder, read_json, write_json
from tokenizers import Tokenizer, load_tokenizer

from .arrays import FORMAT, TokenArrays, describe_file, narrowest_dtype
from .corpus import SPLITS, Corpus
from .row_groups import Shard, Task, encode_all, usable_cores, write_shard

MANIFEST = "manifest.json"


def make_arrays(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    processes: int | None = None,
    allow_lossy: bool = False,
) -> TokenArrays:
    """Encode every split into `folder`, unless it holds just that already.

    Every document is decoded again and compared with its source. `processes` work at a time, by default one
    for each core.

    Raises:
        ValueError: a document does not round-trip and `allow_lossy` is not set. `folder` is then as it was.
    """
    encoding = Encoding(corpus, tokenizer, folder, allow_lossy)
    encoding.make(encoding.shards, processes)
    return TokenArrays(folder)


class Encoding:
    """A corpus under a tokenizer in a folder: which shards are staged, and whether the arrays are there."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, folder: Path, allow_lossy: bool = False) -> None:
        self.corpus, self.tokenizer, self.folder, self.allow_lossy = corpus, tokenizer, folder, allow_lossy
        self.parts = folder / "parts"
        self.dtype = narrowest_dtype(tokenizer.vocab_size)
        self.made_from = {
            "format": FORMAT,
            "corpus_fingerprint": corpus.fingerprint,
            "tokenizer": tokenizer.spec,
            "tokenizer_fingerprint": tokenizer.fingerprint,
        }
        self.shards = [
            Shard(split, number, path) for split in SPLITS for number, path in enumerate(corpus.files(split))
        ]

    def make(self, shards: list[Shard], processes: int | None = None) -> bool:
        """Encode those of `shards` that are not staged yet, and publish the arrays if these were the last.

        Does nothing if the arrays are there. Returns whether they are now.

        Raises:
            ValueError: a document does not round-trip and `allow_lossy` is not set. None of `shards` is then
                staged any more, and the arrays in the folder are as they were.
        """
        if processes is not None and processes < 1:
            raise ValueError(f"processes {processes} must be at least 1")
        # In this order: staged shards go only once the arrays are there, so that what is missing here was
        # never staged, or is published.
        missing = [shard for shard in shards if self._staged(shard) is None]
        if not self.published():
            try:
                self._stage(missing, processes or usable_cores())
            except ValueError:
                self._discard(shards)
                raise
            if not self._publish():
                return False
        shutil.rmtree(self.parts, ignore_errors=True)
        return True

    def published(self) -> bool:
        """Whether the folder holds these arrays, undamaged as far as is cheap to check."""
        manifest = read_json(self.folder / MANIFEST)
        if not manifest or not self.made_from.items() <= manifest.items():
            return False
        try:
            lossy_documents = TokenArrays(self.folder).lossy_documents
        except ValueError:
            return False
        return self.allow_lossy or not lossy_documents

    def _staged(self, shard: Shard) -> dict | None:
        """What was written of a shard when it was staged, if it was and from the same."""
        found = read_json(self.parts / shard.name / "shard.json")
        if not found or not self._shard_made_from(shard).items() <= found.items():
            return None
        return found if self.allow_lossy or not found["lossy_documents"] else None

    def _shard_made_from(self, shard: Shard) -> dict:
        # The Parquet file too: the same corpus may have been cut into other files.
        name = str(shard.path.relative_to(self.corpus.folder))
        return {**self.made_from, "parquet_sha256": self.corpus.manifest["files"][name]}

    def _stage(self, shards: list[Shard], processes: int) -> None:
        tasks = [
            Task(shard, group)
            for shard in shards
            for group in range(pyarrow.parquet.ParquetFile(shard.path).num_row_groups)
        ]
        encoded = encode_all(self.tokenizer, self.dtype, self.allow_lossy, tasks, processes)
        bar = tqdm(encoded, self.tokenizer.spec, len(tasks), unit=" row groups", leave=False, disable=None)
        for shard, groups in itertools.groupby(bar, key=lambda group: group.shard):
            with new_folder(self.parts / shard.name) as folder:
                counts = write_shard(shard, groups, folder, self.dtype, self.tokenizer.eot)
                files = {path.name: describe_file(path) for path in folder.iterdir()}
                write_json(folder / "shard.json", {**self._shard_made_from(shard), **counts, "files": files})

    def _discard(self, shards: list[Shard]) -> None:
        for shard in shards:
            shutil.rmtree(self.parts / shard.name, ignore_errors=True)
        (self.parts / ".lock").unlink(missing_ok=True)
        with suppress(OSError):  # others have staged theirs, or are about to
            self.parts.rmdir()

    def _publish(self) -> bool:
        """Put the arrays in place if every shard is staged; whether they are, by this process or another."""
        try:
            lock = open(self.parts / ".lock", "a")
        except FileNotFoundError:  # nothing is staged: not yet, or no longer
            return self.published()
        with lock:
            # So that one does it. Where a file system has no locks, or a node sees late what another has
            # done, several do the same at a time, and that is right too.
            with suppress(OSError):
                fcntl.lockf(lock, fcntl.LOCK_EX)
            if self.published():
                return True
            staged = {shard: made for shard in self.shards if (made := self._staged(shard))}
            if len(staged) < len(self.shards):
                return False
            self._replace_arrays(staged)
            return True

    def _replace_arrays(self, staged: dict[Shard, dict]) -> None:
        """Move new arrays in; the manifest goes first and comes last: arrays without one are no arrays."""
        files = {name: known for made in staged.values() for name, known in made["files"].items()}
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for split in SPLITS:
            for old in self.folder.glob(f"{split}-[0-9]*.npy"):
                if old.name not in files:
                    old.unlink(missing_ok=True)
        for shard, made in staged.items():
            for name in made["files"]:
                with suppress(FileNotFoundError):  # moved by another process, or before an interruption
                    (self.parts / shard.name / name).rename(self.folder / name)
        manifest = {
            **self.made_from,
            "vocab_size": self.tokenizer.vocab_size,
            "eot": self.tokenizer.eot,
            "dtype": str(self.dtype),
            "splits": {split: self._split_manifest(split, staged) for split in SPLITS},
            "files": dict(sorted(files.items())),
        }
        write_json(self.folder / MANIFEST, manifest)

    def _split_manifest(self, split: str, staged: dict[Shard, dict]) -> dict:
        counts = self.corpus.manifest["splits"][split]
        made = [made for shard, made in staged.items() if shard.split == split]
        return {
            "documents": counts["documents"],
            "chars": counts["chars"],
            "bytes": counts["bytes"],
            "tokens": sum(shard["tokens"] for shard in made),
            "lossy_documents": sum(shard["lossy_documents"] for shard in made),
            "text_sha256": counts["sha256"],
        }


@dataclass(frozen=True)
class Arguments:
    """Encode a corpus."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""
    tokenizer: Path
    """folder of the tokenizer, such as out/shakespeare/data/bpe-2048/tokenizer"""
    out: Path
    """folder to write, such as out/shakespeare/data/bpe-2048"""
    processes: int | None = None
    """processes that encode at a time (default: one per CPU core)"""
    allow_lossy: bool = False
    """accept a tokenizer that loses text, and count the documents in which it does"""
    part: str | None = None
    """K/N, such as 3/8: only every N-th shard from the K-th; the process that ends last assembles the
    arrays (default: all shards)"""


def parse_part(text: str) -> tuple[int, int]:
    """K and N of a part "K/N".

    Raises:
        ValueError: it is not of that form, or not 1 <= K <= N.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"part {text} must be K/N with 1 <= K <= N, such as 3/8")
    return int(match[1]), int(match[2])


def main(arguments: Arguments) -> None:
    """Encode the corpus, or a part of it, and print what came out."""
    part, out = arguments.part, arguments.out
    first, step = parse_part(part or "1/1")
    corpus, tokenizer = Corpus(arguments.corpus), load_tokenizer(arguments.tokenizer)
    encoding = Encoding(corpus, tokenizer, out, arguments.allow_lossy)
    shards = encoding.shards[first - 1 :: step]
    were_there = encoding.published()
    are_there = encoding.make(shards, arguments.processes)
    if part and were_there:
        print(f"part {part}: nothing to do, {out} holds these arrays")
    elif part and not are_there:
        done = "encoded; others are still to come" if shards else "nothing to do"
        print(f"part {part}, {len(shards)} of {len(encoding.shards)} shards: {done}")
        return
    arrays = TokenArrays(out)
    for name in SPLITS:
        split = arrays.split(name)
        print(f"{name:5}  {split.tokens:>13,} tokens  {split.chars_per_token:.3f} characters a token")


if __name__ == "__main__":
    run_command(main, Arguments, "Encode the documents of a corpus with a tokenizer.")
