"""A comparison on one GPU in at most eight minutes: bytes and a ladder of BPEs, a body of 33M parameters.

    python -m benchmarks.debian_corpus --out out/debian
    python -m benchmarks.gpu_study --prepare out/debian/debian.jsonl     on a machine with a network
    python -m benchmarks.gpu_study --pack gpu_study.tar.gz               on the machine with the GPU

The second command writes the text and trains the tokenizers: 27 MB in out/gpu/text and out/gpu/data, to be
copied to the machine with the GPU. There the third makes corpus and arrays, trains, evaluates and reports. It
trains several runs on the GPU at a time, first one seed of all tokenizers. If the time is up or a run fails,
the report covers the finished tokenizers and seeds.

Needs torch, numpy, safetensors, pyarrow, tiktoken, sentencepiece with protobuf, scipy, altair,
vl-convert-python, jinja2, tqdm, PyYAML and markdown, and jsonargparse with docstring_parser and
typeshed_client.
"""

import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.json
import pyarrow.parquet

from common.cli import as_yaml, log, parse, run_command
from common.files import read_json, write_file
from comparison import Comparison
from comparison.labels import shortest_entries
from data_prep.corpus import make_corpus
from data_prep.tokenizer import make_tokenizer

LARGE = ("bad", "checkpoints", "corpus", "data", "text")  # folders that are left out of the archive


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Run a comparison within a limit of time."""

    file: Path = Path("configs/gpu.yaml")
    """comparison file; its corpus is a folder of Parquet files"""
    prepare: Path | None = None
    """JSON Lines file: write its text to the corpus folder, train the tokenizers, and do nothing else"""
    jobs: int = 4
    """runs on the GPU at a time"""
    seconds: float = 420.0
    """runs end after this many seconds; stopping, report and packing take up to a minute more"""
    pack: Path | None = None
    """write the report and the results, without weights and text, to this .tar.gz"""


def prepare(comparison: Comparison, text: Path) -> None:
    """Write the text, strongly compressed, and train the tokenizers on it."""
    folder = Path(comparison.corpus.source.removeprefix("parquet:"))
    folder.mkdir(parents=True, exist_ok=True)
    table = pyarrow.json.read_json(text)
    pyarrow.parquet.write_table(
        table, folder / f"{text.stem}.parquet", compression="zstd", compression_level=19
    )
    corpus = make_corpus(comparison.corpus, comparison.folder / "corpus")
    for label, spec in comparison.specs.items():
        make_tokenizer(corpus, spec, comparison.data(label) / "tokenizer", comparison.train_chars)
    travels = [path for path in (folder, comparison.folder / "data") for path in path.rglob("*")]
    size = sum(path.stat().st_size for path in travels if path.is_file())
    log(f"{folder} and {comparison.folder / 'data'}: {size / 1e6:.1f} MB for the machine with the GPU")


def compare(command: str, file: Path, *options: str, timeout: float | None = None) -> bool:
    """Run a command of compare.py; True if it succeeds within `timeout` seconds."""
    process = subprocess.Popen([sys.executable, "compare.py", command, str(file), *options])
    try:
        return process.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        return False


def finished(comparison: Comparison) -> Comparison:
    """The finished part of a comparison: the tokenizers with a result, and the seeds that all of them have.

    Raises:
        ValueError: no tokenizer has a result, or no seed is common to all that have.
    """

    def seeds(label: str) -> set[int]:
        runs = [
            comparison.run(label, model, seed) for model in comparison.models for seed in comparison.seeds
        ]
        missing = {run.seed for run in runs if read_json(run.folder / "result.json") is None}
        return set(comparison.seeds) - missing

    done = {label: seeds(label) for label in comparison.specs}
    tokenizers = shortest_entries(
        {label: comparison.specs[label] for label in comparison.specs if done[label]}
    )
    if not tokenizers:
        raise ValueError(f"{comparison.folder}: no run has finished: set more --seconds or a smaller budget")
    of_all = set.intersection(*(found for found in done.values() if found))
    if not of_all:
        raise ValueError(f"{comparison.folder}: no seed has finished for all of {', '.join(done)}")
    return replace(comparison, tokenizers=tokenizers, seeds=sorted(of_all))


def pack(comparison: Comparison, path: Path) -> None:
    """Write a comparison, without its large files, to a .tar.gz."""
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(comparison.folder.rglob("*")):
            inside = file.relative_to(comparison.folder).parts
            if file.is_file() and not set(inside) & set(LARGE):
                archive.add(file, Path(comparison.name, *inside))
    log(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def main(arguments: Arguments) -> None:
    """Prepare, or run, report and pack."""
    comparison = parse(Comparison, [str(arguments.file)])
    if arguments.prepare:
        prepare(comparison, arguments.prepare)
        return
    end = time.monotonic() + arguments.seconds
    done = True
    for count in range(1, len(comparison.seeds) + 1):  # first all tokenizers with one seed
        options = ["--seeds", str(comparison.seeds[:count]), "--jobs", str(arguments.jobs)]
        done = done and compare("run", arguments.file, *options, timeout=max(1, end - time.monotonic()))
    if not done:
        partial = finished(comparison)
        log(f"not all runs finished: the report covers {', '.join(partial.specs)}, seeds {partial.seeds}")
        file = comparison.folder / "finished.yaml"
        write_file(file, as_yaml(partial))
        compare("report", file)
    if arguments.pack:
        pack(comparison, arguments.pack)


if __name__ == "__main__":
    run_command(main, Arguments, "A comparison on one GPU within a time limit.")
