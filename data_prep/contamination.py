"""Held-out documents that also occur in the training text: `python -m data_prep.contamination --help`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from common.cli import run_command
from common.files import read_json, write_json

from .corpus import MANIFEST, Corpus
from .held_out import HeldOut, find_in_file
from .parts import HELD_OUT
from .processes import in_processes, usable_cores

FORMAT, FILE = 1, "contamination.json"


def known_contamination(folder: Path, training: Path | None = None) -> dict | None:
    """What `measure_contamination` has found; None if it has not been measured.

    `folder` and `training` are the folders of its corpora.
    """
    known, *corpora = (
        read_json(path) for path in (folder / FILE, folder / MANIFEST, (training or folder) / MANIFEST)
    )
    if not known or None in corpora:
        return None
    fingerprints = [corpus["fingerprint"] for corpus in corpora if corpus]
    return known if known["made_from"] == [FORMAT, *fingerprints] else None


def measure_contamination(
    corpus: Corpus, training: Corpus | None = None, processes: int | None = None
) -> dict:
    """Count the held-out documents of a corpus that also occur in its training text, or in that of another.

    For val and test: `documents`, `exactly`, `nearly` (and not exactly), and `share`, that of both kinds in
    the characters. For train: `documents`, the number of those that also occur in the held-out text. The
    result is kept in `contamination.json` in the folder of the corpus.
    """
    training = training or corpus
    if known := known_contamination(corpus.folder, training.folder):
        return known
    chars = {split: [len(text) for text in corpus.texts(split)] for split in HELD_OUT}
    held_out = HeldOut(text for split in HELD_OUT for text in corpus.texts(split))
    find = partial(find_in_file, held_out)
    files = training.files("train")
    searched = in_processes(find, files, processes or usable_cores())
    found = list(tqdm(searched, "held-out text", len(files), unit=" files", leave=False, disable=None))
    exactly = set().union(*(equal for _, equal, _ in found))
    nearly = set().union(*(similar for _, _, similar in found)) - exactly
    result: dict = {
        "made_from": [FORMAT, corpus.fingerprint, training.fingerprint],
        "train": {"documents": sum(int(rows.sum()) for rows, _, _ in found)},
    }
    begin = 0
    for split in HELD_OUT:
        own = range(begin, begin + len(chars[split]))
        there = sum(chars[split][number - begin] for number in own if number in exactly | nearly)
        result[split] = {
            "documents": len(own),
            "exactly": len(exactly.intersection(own)),
            "nearly": len(nearly.intersection(own)),
            "share": there / max(1, sum(chars[split])),
        }
        begin = own.stop
    write_json(corpus.folder / FILE, result)
    return result


def in_words(found: dict, text: str | None = None) -> list[str]:
    """A sentence for each held-out split with documents that also occur in the training text.

    `text` is the name of a further test text, whose documents cannot be removed from the training text.
    """
    lines = []
    for split, name in (
        ("test", f"documents of {text}" if text else "test documents"),
        ("val", "validation documents"),
    ):
        counts = found[split]
        if count := counts["exactly"] + counts["nearly"]:
            line = (
                f"{count:,} of {counts['documents']:,} {name}, with {counts['share']:.1%} of the characters, "
                f"also occur in the training text: {counts['exactly']:,} exactly and {counts['nearly']:,} "
                "nearly."
            )
            remedy = " With corpus.deduplicate: true they are removed from the training text."
            lines.append(line + remedy * (text is None))
    return lines


@dataclass(frozen=True)
class Arguments:
    """Count held-out documents that also occur in the training text."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""


def main(arguments: Arguments) -> None:
    """Print the counts."""
    lines = in_words(measure_contamination(Corpus(arguments.corpus)))
    print("\n".join(lines) or "No held-out document also occurs in the training text.")


if __name__ == "__main__":
    run_command(main, Arguments, "Count held-out documents that also occur in the training text.")
