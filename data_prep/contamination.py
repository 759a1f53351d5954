"""Held-out documents that also stand in the training text: `python -m data_prep.contamination --help`."""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.cli import run_command
from common.files import read_json, write_file

from .corpus import Corpus
from .held_out import HeldOut, find_in_file
from .parts import HELD_OUT
from .processes import in_processes, usable_cores

FORMAT = 1


def contamination(corpus: Corpus, processes: int | None = None) -> dict:
    """How many held-out documents of a corpus also stand in its training text.

    For val and test: `documents`, `exactly`, `nearly` (and not exactly), and `chars`, the characters of both
    kinds. For train: `documents`, the number of those that stand in the held-out text. It is written to
    `contamination.json` beside the corpus, and read from there if the corpus is unchanged.
    """
    path = corpus.folder / "contamination.json"
    made_from = {"format": FORMAT, "corpus_fingerprint": corpus.fingerprint}
    known = read_json(path)
    if known and made_from.items() <= known.items():
        return known
    lengths = {split: [len(text) for text in corpus.texts(split)] for split in HELD_OUT}
    held_out = HeldOut(text for split in HELD_OUT for text in corpus.texts(split))
    found = list(
        in_processes(partial(find_in_file, held_out), corpus.files("train"), processes or usable_cores())
    )
    exactly = set().union(*(equal for _, equal, _ in found))
    nearly = set().union(*(similar for _, _, similar in found)) - exactly
    result: dict = {**made_from, "train": {"documents": int(sum(rows.sum() for rows, _, _ in found))}}
    begin = 0
    for split in HELD_OUT:
        own = range(begin, begin + len(lengths[split]))
        result[split] = {
            "documents": len(own),
            "exactly": sum(number in exactly for number in own),
            "nearly": sum(number in nearly for number in own),
            "chars": sum(lengths[split][number - begin] for number in own if number in exactly | nearly),
        }
        begin = own.stop
    write_file(path, json.dumps(result, indent=1) + "\n")
    return result


def sentences(found: dict, corpus: Corpus) -> list[str]:
    """A sentence for each held-out split with documents that also stand in the training text."""
    lines = []
    for split, name in (("test", "test"), ("val", "validation")):
        counts = found[split]
        count = counts["exactly"] + counts["nearly"]
        if count:
            share = counts["chars"] / corpus.manifest["splits"][split]["chars"]
            lines.append(
                f"{count:,} of {counts['documents']:,} {name} documents also stand in the training text "
                f"({counts['exactly']:,} exactly, {counts['nearly']:,} nearly), with {share:.1%} of the "
                f"{name} characters: corpus.deduplicate: true removes them from the training text."
            )
    return lines


@dataclass(frozen=True)
class Arguments:
    """Count held-out documents that also stand in the training text."""

    corpus: Path
    """folder of the corpus, such as out/shakespeare/corpus"""


def main(arguments: Arguments) -> None:
    """Print the counts."""
    corpus = Corpus(arguments.corpus)
    found = contamination(corpus)
    lines = sentences(found, corpus)
    print("\n".join(lines) or "no held-out document also stands in the training text")


if __name__ == "__main__":
    run_command(main, Arguments, "Count held-out documents that also stand in the training text.")
