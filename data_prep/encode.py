"""Documents and a tokenizer to token arrays: `python -m data_prep.encode --help`."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from tqdm import tqdm

from command_line import run_command
from publish import new_folder, read_json, write_json
from tokenizers import Tokenizer, load_tokenizer

from .arrays import FORMAT, ArrayWriter, TokenArrays, describe_file, narrowest_dtype
from .corpus import SPLITS, Corpus
from .row_groups import Group, Task, encode_all

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
    if processes is not None and processes < 1:
        raise ValueError(f"processes {processes} must be at least 1")
    made_from = {
        "corpus_fingerprint": corpus.fingerprint,
        "tokenizer": tokenizer.spec,
        "tokenizer_fingerprint": tokenizer.fingerprint,
    }
    manifest = read_json(folder / MANIFEST)
    if manifest and made_from.items() <= manifest.items() and manifest["format"] == FORMAT:
        try:
            arrays = TokenArrays(folder)
            if allow_lossy or not arrays.lossy_documents:
                return arrays
        except ValueError:
            pass  # damaged: made again

    dtype = narrowest_dtype(tokenizer.vocab_size)
    folder.mkdir(parents=True, exist_ok=True)
    with new_folder(folder / "arrays") as temporary:
        tasks = [
            Task(split, shard, path, group)
            for split in SPLITS
            for shard, path in enumerate(corpus.files(split))
            for group in range(pyarrow.parquet.ParquetFile(path).num_row_groups)
        ]
        writers = {split: _SplitArrays(corpus, split, temporary, dtype, tokenizer.eot) for split in SPLITS}
        total = sum(counts["chars"] for counts in corpus.manifest["splits"].values())
        progress = tqdm(
            total=total, desc=tokenizer.spec, unit="char", unit_scale=True, leave=False, disable=None
        )
        for group in encode_all(tokenizer, dtype, allow_lossy, tasks, processes or os.cpu_count() or 1):
            writers[group.split].add(group)
            progress.update(int(group.documents["chars"].sum()))
        progress.close()
        for writer in writers.values():
            writer.end_shard()
        manifest = {
            "format": FORMAT,
            **made_from,
            "vocab_size": tokenizer.vocab_size,
            "eot": tokenizer.eot,
            "dtype": str(dtype),
            "splits": {split: writer.manifest() for split, writer in writers.items()},
            "files": {path.name: describe_file(path) for path in sorted(temporary.iterdir())},
        }
        write_json(temporary / MANIFEST, manifest)
    _replace_arrays(folder, folder / "arrays")
    return TokenArrays(folder)


def _replace_arrays(folder: Path, new: Path) -> None:
    """Move new arrays in; the manifest goes first and comes last: arrays without one are no arrays."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for split in SPLITS:
        for old in folder.glob(f"{split}-[0-9]*.npy"):
            old.unlink()
    for path in new.glob("*.npy"):
        path.rename(folder / path.name)
    (new / MANIFEST).rename(folder / MANIFEST)
    new.rmdir()


class _SplitArrays:
    """Writes the arrays of one split, a shard for each Parquet file, as its row groups arrive."""

    def __init__(self, corpus: Corpus, split: str, folder: Path, dtype: np.dtype, eot: int) -> None:
        self.counts = corpus.manifest["splits"][split]
        self.files = corpus.files(split)
        self.name, self.folder, self.dtype, self.eot = split, folder, dtype, eot
        self.shard = -1
        self.tokens = self.lossy = 0

    def add(self, group: Group) -> None:
        """Append a row group; they come in order."""
        if group.shard != self.shard:
            self.end_shard()
            self.shard = group.shard
            self.writer = ArrayWriter(self.folder / f"{self.name}-{self.shard:05}.tokens.npy", self.dtype)
            self.writer.write(np.array([self.eot]))
            self.documents: list[np.ndarray] = []
        group.documents["start"] += self.writer.length
        self.documents.append(group.documents)
        self.writer.write(group.tokens)
        self.tokens += len(group.tokens) - len(group.documents)
        self.lossy += group.lossy

    def end_shard(self) -> None:
        """Close the files of the shard that was written last."""
        if self.shard >= 0:
            self.writer.close()
            path = self.folder / f"{self.name}-{self.shard:05}.documents.npy"
            np.save(path, np.concatenate(self.documents))

    def manifest(self) -> dict:
        """What the manifest keeps of the split."""
        return {
            "documents": self.counts["documents"],
            "chars": self.counts["chars"],
            "bytes": self.counts["bytes"],
            "tokens": self.tokens,
            "lossy_documents": self.lossy,
            "text_sha256": self.counts["sha256"],
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
    """processes that encode at a time (none: one per CPU core)"""
    allow_lossy: bool = False
    """encode also with a tokenizer that loses text, and count the documents in which it does"""


def main(arguments: Arguments) -> None:
    """Encode the corpus and print what came out."""
    arrays = make_arrays(
        Corpus(arguments.corpus),
        load_tokenizer(arguments.tokenizer),
        arguments.out,
        arguments.processes,
        arguments.allow_lossy,
    )
    for name in SPLITS:
        split = arrays.split(name)
        print(f"{name:5}  {split.tokens:>13,} tokens  {split.chars_per_token:.3f} characters a token")


if __name__ == "__main__":
    run_command(main, Arguments, "Encode the documents of a corpus with a tokenizer.")
