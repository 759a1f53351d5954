"""Read and split a source of text: `python -m data_prep.corpus --help`.

The units of the source are first read to `parts/` (parts.py), so an interrupted corpus is resumed, and
several nodes can each read some of the units. The process that finds all of them read selects the documents
to keep (selection.py) and publishes the corpus.
"""

import fcntl
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet

from common.cli import run_command
from common.files import check_replaceable, fingerprint, read_json, read_manifest, write_json

from .config import CorpusConfig, Source
from .document import CATEGORY_COLUMNS, SITE
from .hub import HubFile
from .inputs import LeftOut, state_of
from .parts import FORMAT, SPLITS, read_texts, stage_all, staged
from .processes import parse_part, usable_cores
from .selection import Parts, files_of, select
from .sources import Unit, find_units, input_files

MANIFEST, PARTS, LOCK = "manifest.json", "parts", ".lock"
# A site is large, and not treated as one group, if it exceeds both this number and this share of documents
LARGE_SITE_PAGES, LARGE_SITE = 20, 0.05
REFUSAL = "give another folder or name, or --replace to discard it and everything made from it"


class Corpus:
    """A corpus on disk: `manifest.json` and, per split, Parquet files of `id`, `text` and `LABEL_COLUMNS`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder, FORMAT, "corpus", "data_prep.corpus")
        self.fingerprint: str = self.manifest["fingerprint"]

    @property
    def left_out(self) -> LeftOut:
        """What of the source is not in the corpus."""
        return LeftOut({reason: tuple(found) for reason, found in self.manifest["left_out"].items()})

    def files(self, split: str) -> list[Path]:
        """The Parquet files of a split, in order."""
        return [self.folder / name for name in self.manifest["files"] if name.startswith(f"{split}/")]

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split, in order, with one row group in memory at a time."""
        for path in self.files(split):
            yield from read_texts(path)

    def ids(self, split: str) -> list[str]:
        """The ids of a split's documents, in order."""
        return self._column(split, "id")

    def categories(self, split: str) -> dict[str, list[str | None]]:
        """The values of `language` and `domain` in a split, in order; only columns that any document has."""
        return {name: self._column(split, name) for name in self.manifest["categories"]}

    def clusters(self, split: str) -> np.ndarray | None:
        """The index of each document's group, 1-d int64; None if every document is its own group.

        Groups are numbered from 0 as they first appear in the split. A document without a group is its own
        group; so is each document of a large site, which is not a sample of sites.
        """
        groups, numbers = self._column(split, "group"), dict[str | int, int]()
        large = {
            group
            for group, count in Counter(groups).items()
            if (group or "").startswith(SITE) and count > max(LARGE_SITE_PAGES, LARGE_SITE * len(groups))
        }
        found = [
            numbers.setdefault(i if group is None or group in large else group, len(numbers))
            for i, group in enumerate(groups)
        ]
        return np.array(found, dtype=np.int64) if len(numbers) < len(found) else None

    def _column(self, split: str, name: str) -> list:
        tables = (pyarrow.parquet.read_table(path, columns=[name]) for path in self.files(split))
        return [value for table in tables for value in table.column(name).to_pylist()]


def find_corpus(config: Source, folder: Path) -> Corpus | None:
    """The corpus in `folder` if it is what `make_corpus` would make, else None.

    Raises:
        OSError: the source does not exist.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest and manifest["made_from"] == _made_from(config):
        corpus = Corpus(folder)
        if all((folder / name).exists() for name in manifest["files"]):
            return corpus
    return None


def corpus_changes(config: Source, folder: Path) -> list[str]:
    """The options in which the corpus in `folder` differs from `config`, such as corpus.source."""
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return []
    if manifest.get("format") != FORMAT:
        return ["the format of another version"]
    return [f"corpus.{key}" for key, value in asdict(config).items() if manifest["config"].get(key) != value]


def _made_from(config: Source) -> str:
    sources = config.mixture.values() if isinstance(config, CorpusConfig) and config.mixture else [config]
    inputs = [state_of(path) for source in sources for path in input_files(source.source).files]
    return fingerprint([FORMAT, asdict(config), inputs])


def make_corpus(
    config: Source,
    folder: Path,
    replace: bool = False,
    processes: int | None = None,
) -> Corpus:
    """Read a source, split it and write the corpus, unless `folder` already holds it.

    The work is done by `processes` processes, by default one per core. If it is interrupted, the same call
    resumes. A corpus of other text is replaced only if `replace` is set. A source that is not a
    `CorpusConfig` may have test text alone.

    Raises:
        ValueError: the source has no text, a split is empty, `folder` holds another corpus, or as
            `read_unit`. The corpus in `folder` is unchanged.
    """
    corpus = make_part(config, folder, (1, 1), replace, processes)
    assert corpus is not None
    return corpus


def make_part(
    config: Source,
    folder: Path,
    part: tuple[int, int],
    replace: bool = False,
    processes: int | None = None,
) -> Corpus | None:
    """Do the K-th of N parts of the work of `make_corpus`: every N-th unit of the source from the K-th.

    Returns the corpus if it is complete, put together by the process that finds all units read; else None.
    """
    if corpus := find_corpus(config, folder):
        return corpus
    if not (folder / PARTS / LOCK).exists():
        check_replaceable(folder, MANIFEST)
    if not replace and (differs := corpus_changes(config, folder)):
        raise ValueError(f"{folder} holds another corpus ({', '.join(differs)}): {REFUSAL}")
    inputs, (units, left_out) = _made_from(config), find_units(config)
    making = _Making(config, folder, inputs, units, left_out, replace, processes or usable_cores())
    making.read(*part)
    return making.finish()


@dataclass(frozen=True)
class _Making:
    """A corpus that is being made."""

    config: Source
    folder: Path
    inputs: str
    """fingerprint of the options and input files"""
    units: list[Unit]
    left_out: LeftOut
    """files that are left out"""
    replace: bool
    processes: int

    @property
    def parts(self) -> list[Path]:
        """The folder of the part of each unit."""
        return [self.folder / PARTS / f"{number:05}" for number in range(len(self.units))]

    def read(self, first: int, step: int) -> None:
        """Make the part of every `step`-th unit from the `first`-th."""
        # Units of a source with max_chars are read in order, so by one process
        own = [
            (first == 1 if unit.config.max_chars else number % step == first - 1)
            for number, unit in enumerate(self.units)
        ]
        (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has just published the corpus
            (self.folder / PARTS / LOCK).touch()
        try:
            stage_all(list(compress(self.units, own)), list(compress(self.parts, own)), self.processes)
            if _made_from(self.config) != self.inputs:
                raise ValueError(
                    f"{self.config.source} has changed while it was read: run the same command again"
                )
        except BaseException:  # also Ctrl-C
            self._remove_empty_folders()
            raise

    def finish(self) -> Corpus | None:
        """Publish the corpus if all units are read; None if they are not."""
        try:
            lock = open(self.folder / PARTS / LOCK, "a")
        except FileNotFoundError:  # another process has published the corpus
            return find_corpus(self.config, self.folder)
        with lock:
            # So that a single process does it. If the file system has no locks, or shows a node the changes
            # of another one late, several do the same at a time, which is harmless.
            with suppress(OSError):
                fcntl.lockf(lock, fcntl.LOCK_EX)
            if not find_corpus(self.config, self.folder):
                found = [staged(part, unit) for part, unit in zip(self.parts, self.units, strict=True)]
                made = [part for part in found if part]
                if len(made) < len(found):
                    return None
                try:
                    parts = self._select(dict(zip(self.parts, made, strict=True)))
                    manifest = self._manifest(parts)
                except ValueError:
                    shutil.rmtree(self.folder / PARTS)
                    self._remove_empty_folders()
                    raise
                self._publish(parts, manifest)
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        return Corpus(self.folder)

    def _select(self, parts: Parts) -> Parts:
        config = self.config
        if isinstance(config, CorpusConfig) and (config.mixture or config.deduplicate):
            return select(config, parts, [unit.domain for unit in self.units], self.processes)
        return parts

    def _manifest(self, parts: Parts) -> dict:
        """The content of the manifest.

        Raises:
            ValueError: there is no text, a split is empty, or the folder holds a corpus of other text.
        """
        made, source = list(parts.values()), self.config.source
        splits = {split: _total([part["splits"][split] for part in made]) for split in SPLITS}
        if not any(counts["documents"] for counts in splits.values()):
            raise ValueError(f"{source} holds no text")
        for split in SPLITS if isinstance(self.config, CorpusConfig) else ("test",):
            if not splits[split]["documents"]:
                remedy = "give more documents or larger fractions"
                if any(part["split_by_group"] for part in made):
                    remedy = (
                        "there are few groups, and documents of a group stay together: give larger "
                        "fractions, or remove the column 'group'"
                    )
                raise ValueError(f"{source}: no document falls into the {split} split: {remedy}")
        labels = set().union(*(part["labels"] for part in made))
        categories = [name for name in CATEGORY_COLUMNS if name in labels]
        content = {split: counts["sha256"] for split, counts in splits.items()}
        for name, counted in (("categories", bool(categories)), ("groups", "group" in labels)):
            digests = [counts.pop(name) for counts in splits.values()]
            if counted:
                content[name] = digests
        old = read_json(self.folder / MANIFEST)
        if old and not self.replace and old["fingerprint"] != fingerprint(content):
            raise ValueError(
                f"{self.folder} holds a corpus of other text, because {source} has changed: {REFUSAL}"
            )
        left_out = LeftOut()
        for counted_in in (self.left_out, *(LeftOut(part["left_out"]) for part in made)):
            left_out.merge(counted_in)
        return {
            "format": FORMAT,
            "config": asdict(self.config),
            "made_from": self.inputs,
            "fingerprint": fingerprint(content),
            "splits": splits,
            "categories": categories,
            "revisions": {
                file.data_set: file.revision
                for unit in self.units
                for file in unit.files
                if isinstance(file, HubFile)
            },
            "left_out": left_out,
            "files": {
                name: parts[path.parent]["files"][path.name] for name, path in _published(parts).items()
            },
        }

    def _publish(self, parts: Parts, manifest: dict) -> None:
        """Move the files in. The manifest makes them valid: it is removed first and written last."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        for split in SPLITS:
            (self.folder / split).mkdir(exist_ok=True)
            for old in (self.folder / split).glob("*.parquet"):
                if f"{split}/{old.name}" not in manifest["files"]:
                    old.unlink(missing_ok=True)
        for name, path in _published(parts).items():
            with suppress(FileNotFoundError):  # already moved, before an interruption or by another process
                path.rename(self.folder / name)
        write_json(self.folder / MANIFEST, manifest)

    def _remove_empty_folders(self) -> None:
        parts = self.folder / PARTS
        if parts.exists() and os.listdir(parts) == [LOCK]:
            (parts / LOCK).unlink()
        for folder in (parts, self.folder):
            with suppress(OSError):  # it holds something, or does not exist
                folder.rmdir()


def _published(parts: Parts) -> dict[str, Path]:
    """The name that each file of the parts has in the corpus, such as train/00000.parquet."""
    return {
        f"{split}/{number:05}.parquet": path
        for split in SPLITS
        for number, path in enumerate(
            path for folder, part in parts.items() for path in files_of(folder, part, split)
        )
    }


def _total(parts: list[dict]) -> dict:
    """The counts of a split from those of its parts. Each hash is that of the hashes of the parts."""
    held = [part for part in parts if part["documents"]] or parts[:1]
    total: dict = {key: sum(part[key] for part in held) for key in ("documents", "chars", "bytes")}
    for key in ("sha256", "categories", "groups"):
        digests = [part[key] for part in held]
        total[key] = digests[0] if len(digests) == 1 else fingerprint(digests)
    return total


@dataclass(frozen=True)
class Arguments:
    """Make a corpus."""

    out: Path
    """folder to write, such as out/shakespeare/corpus"""
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """the text and how it is split"""
    processes: int | None = None
    """processes that read at a time (default: one per CPU core)"""
    part: str | None = None
    """K/N, such as 3/8: only every N-th unit of the source from the K-th; a unit is a large file or several
    small ones. The process that ends last puts the corpus together (default: all units)"""
    replace: bool = False
    """replace a corpus of other text in that folder"""


def main(arguments: Arguments) -> None:
    """Make the corpus, or a part of it, and print the size of each split."""
    part = parse_part(arguments.part or "1/1")
    corpus = make_part(arguments.corpus, arguments.out, part, arguments.replace, arguments.processes)
    if corpus is None:
        print(f"part {arguments.part}: read; the other parts are not finished")
        return
    for split, counts in corpus.manifest["splits"].items():
        print(f"{split:5}  {counts['documents']:>9,} documents  {counts['chars']:>13,} characters")
    for line in corpus.left_out.lines():
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Read a source of text into train, val and test documents.")
