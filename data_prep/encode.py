"""Encode the documents of a corpus as token arrays: `python -m data_prep.encode --help`.

Each shard is first staged in `parts/<shard>/`, which appears once it is complete: three files, and a
`shard.json` that names their inputs. So an interrupted encoding resumes with the missing shards, and several
nodes can each encode a part. The process that finds all shards staged publishes the arrays.
"""

import fcntl
import itertools
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
from .processes import parse_part, usable_cores
from .row_groups import Shard, Task, encode_all, write_shard

MANIFEST = "manifest.json"


def make_arrays(
    corpus: Corpus,
    tokenizer: Tokenizer,
    folder: Path,
    processes: int | None = None,
    allow_lossy: bool = False,
) -> TokenArrays:
    """Encode every split to `folder`, unless it already contains these arrays.

    Every document is decoded again and compared with its source. The work is done by `processes` processes,
    by default one per core.

    Raises:
        ValueError: a document does not round-trip and `allow_lossy` is not set; `folder` is left unchanged.
    """
    encoding = Encoding(corpus, tokenizer, folder, allow_lossy)
    encoding.make(encoding.shards, processes)
    return TokenArrays(folder)


class Encoding:
    """The encoding of a corpus with a tokenizer in a folder: its staged shards and its published arrays."""

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
        """Encode the `shards` that are not yet staged, and publish the arrays if all shards are staged.

        Does nothing if the arrays are already published. Returns True if they are published in the end.

        Raises:
            ValueError: a document does not round-trip and `allow_lossy` is not set. All of `shards` are then
                unstaged, and the arrays in the folder are left unchanged.
        """
        if processes is not None and processes < 1:
            raise ValueError(f"processes {processes} must be at least 1")
        # In this order: staged shards are removed only after the arrays are published, so a shard that is
        # missing here was never staged, or is published.
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
        """True if the folder contains these arrays, and quick checks find no damage."""
        manifest = read_json(self.folder / MANIFEST)
        if not manifest or not self.made_from.items() <= manifest.items():
            return False
        try:
            lossy_documents = TokenArrays(self.folder).lossy_documents
        except ValueError:
            return False
        return self.allow_lossy or not lossy_documents

    def _staged(self, shard: Shard) -> dict | None:
        """The shard.json of a shard that is staged from the same inputs; None if it is not."""
        found = read_json(self.parts / shard.name / "shard.json")
        if not found or not self._shard_made_from(shard).items() <= found.items():
            return None
        return found if self.allow_lossy or not found["lossy_documents"] else None

    def _shard_made_from(self, shard: Shard) -> dict:
        # Including the Parquet file: the same corpus may have been divided into other files.
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
        with suppress(OSError):  # other processes have staged shards, or are about to
            self.parts.rmdir()

    def _publish(self) -> bool:
        """Publish the arrays if every shard is staged; True if they are published, by any process."""
        try:
            lock = open(self.parts / ".lock", "a")
        except FileNotFoundError:  # nothing is staged yet, or any longer
            return self.published()
        with lock:
            # So that a single process does it. If the file system has no locks, or shows a node the changes
            # of another one late, several do the same at a time, which is harmless.
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
        """Move the new arrays in. The manifest makes them valid: it is removed first and written last."""
        files = {name: known for made in staged.values() for name, known in made["files"].items()}
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for split in SPLITS:
            for old in self.folder.glob(f"{split}-[0-9]*.npy"):
                if old.name not in files:
                    old.unlink(missing_ok=True)
        for shard, made in staged.items():
            for name in made["files"]:
                with suppress(
                    FileNotFoundError
                ):  # already moved, by another process or before an interruption
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
    replace: bool = False
    """replace other token arrays in that folder"""


def main(arguments: Arguments) -> None:
    """Encode the corpus, or a part of it, and print the resulting counts."""
    part, out = arguments.part, arguments.out
    first, step = parse_part(part or "1/1")
    corpus, tokenizer = Corpus(arguments.corpus), load_tokenizer(arguments.tokenizer)
    encoding = Encoding(corpus, tokenizer, out, arguments.allow_lossy)
    shards = encoding.shards[first - 1 :: step]
    were_there = encoding.published()
    there = read_json(out / MANIFEST)
    if there and not arguments.replace and not encoding.made_from.items() <= there.items():
        raise ValueError(f"{out} holds other token arrays: give another folder, or --replace")
    are_there = encoding.make(shards, arguments.processes)
    if part and were_there:
        print(f"part {part}: nothing to do, {out} already contains these arrays")
    elif part and not are_there:
        done = "encoded; the other parts are not finished" if shards else "nothing to do"
        print(f"part {part}, {len(shards)} of {len(encoding.shards)} shards: {done}")
        return
    arrays = TokenArrays(out)
    for name in SPLITS:
        if (split := arrays.split(name)).documents:
            print(f"{name:5}  {split.tokens:>13,} tokens  {split.chars_per_token:.3f} characters per token")


if __name__ == "__main__":
    run_command(main, Arguments, "Encode the documents of a corpus with a tokenizer.")
