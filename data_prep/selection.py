"""The documents of a corpus that are kept: without those held out, and mixed as the mixture asks."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from common.files import fingerprint, read_json

from .config import CorpusConfig
from .document import Document
from .held_out import HeldOut, find_in_file
from .inputs import LeftOut
from .parts import HELD_OUT, SPLITS, read_documents, read_texts, write_part
from .processes import in_processes

HELD_OUT_TOO = "training documents that also occur in the held-out text"
BEYOND_SHARE = "documents beyond their share of the mixture"
BUCKETS = 1 << 16  # into which the draws of documents are divided
CLOSE = 0.01  # largest relative error of a source's share of the training text

Parts = dict[Path, dict]  # the folders of parts, in order, and the content of each part.json


def select(config: CorpusConfig, parts: Parts, domains: list[str | None], processes: int) -> Parts:
    """New parts with the documents that are kept; `domains` has the mixture's source of each part.

    Raises:
        ValueError: the documents of a mixture are too few or too long for the asked shares.
    """
    held_out = {path: rows for path, rows in _held_out(parts, processes)} if config.deduplicate else {}
    ends = _mix(config, parts, domains, held_out, processes) if config.mixture else {}
    inputs = [asdict(config), [part["made_from"] for part in parts.values()]]
    record = {"made_from": fingerprint(inputs), "limit": None}
    tasks = list(zip(parts, domains, strict=True))
    made = in_processes(partial(_write_selected, parts, held_out, ends, record), tasks, processes, len(tasks))
    return dict(made)


def files_of(folder: Path, part: dict, split: str) -> list[Path]:
    """The Parquet files of a split of a part, in order."""
    return [folder / name for name in part["files"] if name.startswith(f"{split}-")]


def _held_out(parts: Parts, processes: int) -> Iterator[tuple[Path, np.ndarray]]:
    """For each file of training documents, which of them also occur in the held-out text: 1-d bool."""
    known = HeldOut(
        text
        for split in HELD_OUT
        for folder, part in parts.items()
        for path in files_of(folder, part, split)
        for text in read_texts(path)
    )
    train = [path for folder, part in parts.items() for path in files_of(folder, part, "train")]
    found = in_processes(partial(find_in_file, known), train, processes)
    for path, (rows, _, _) in zip(train, found, strict=True):
        yield path, rows


def bucket(text: str) -> int:
    """The bucket of a document, drawn by bytes of its SHA-256 that no other draw uses."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[16:18], "little")


def _measure(held_out: dict[Path, np.ndarray], path: Path) -> np.ndarray:
    """The characters of a file's documents in each bucket, 1-d int64, without those held out."""
    chars = np.zeros(BUCKETS, dtype=np.int64)
    rows = held_out.get(path)
    for number, text in enumerate(read_texts(path)):
        if rows is None or not rows[number]:
            chars[bucket(text)] += len(text)
    return chars


Ends = dict[tuple[str | None, str], int]  # by source and split: only documents of lower buckets are kept


def _mix(
    config: CorpusConfig,
    parts: Parts,
    domains: list[str | None],
    held_out: dict[Path, np.ndarray],
    processes: int,
) -> Ends:
    """The buckets at which each source ends, so that each has its share of the characters."""
    total = sum(part.weight for part in config.mixture.values())
    shares = {domain: part.weight / total for domain, part in config.mixture.items()}
    ends: Ends = {}
    for split in SPLITS:
        files = [
            (domain, path)
            for domain, (folder, part) in zip(domains, parts.items(), strict=True)
            for path in files_of(folder, part, split)
        ]
        found = in_processes(partial(_measure, held_out), [path for _, path in files], processes)
        chars = {domain: np.zeros(BUCKETS, dtype=np.int64) for domain in shares}
        for (domain, _), of_file in zip(files, found, strict=True):
            assert domain is not None
            chars[domain] += of_file
        for domain, of_domain in chars.items():
            if not of_domain.any():
                raise ValueError(
                    f"corpus.mixture.{domain}: no document falls into the {split} split: give more "
                    "documents, or smaller ones (document: passage)"
                )
        most = min(of_domain.sum() / shares[domain] for domain, of_domain in chars.items())
        kept = Counter[str]()
        for domain, of_domain in chars.items():
            until = np.cumsum(of_domain)
            end = int(np.argmin(np.abs(until - most * shares[domain]))) + 1
            ends[domain, split], kept[domain] = end, int(until[end - 1])
        for domain, share in shares.items():
            got = kept[domain] / kept.total()
            if split == "train" and abs(got / share - 1) > CLOSE:
                raise ValueError(
                    f"corpus.mixture.{domain} would have {got:.1%} of the training characters instead of "
                    f"{share:.1%}: its documents are too long: give more of them, or smaller ones "
                    "(document: passage)"
                )
    return ends


def _write_selected(
    parts: Parts,
    held_out: dict[Path, np.ndarray],
    ends: Ends,
    record: dict,
    task: tuple[Path, str | None],
) -> tuple[Path, dict]:
    """Write the documents of a part that are kept, unless that is done; returns the new part."""
    old, domain = task
    folder, left_out = old.with_name(f"{old.name}-selected"), LeftOut()
    part = read_json(folder / "part.json")
    if part is None or part["made_from"] != record["made_from"]:
        left_out.merge(LeftOut(parts[old]["left_out"]))
        kept = _kept(old, parts[old], domain, held_out, ends, left_out)
        part = write_part(folder, kept, (0.0, 0.0), left_out, record)
        part["split_by_group"] = parts[old]["split_by_group"]
    return folder, part


def _kept(
    folder: Path,
    part: dict,
    domain: str | None,
    held_out: dict[Path, np.ndarray],
    ends: Ends,
    left_out: LeftOut,
) -> Iterator[Document]:
    for split in SPLITS:
        end = ends.get((domain, split), BUCKETS)
        for path in files_of(folder, part, split):
            rows = held_out.get(path)
            for number, document in enumerate(read_documents(path, split)):
                if rows is not None and rows[number]:
                    left_out.add(HELD_OUT_TOO, document.id)
                elif end < BUCKETS and bucket(document.text) >= end:
                    left_out.add(BEYOND_SHARE, document.id)
                else:
                    yield document
