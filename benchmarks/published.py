"""Published tokenizers: their ids, what they lose and their speed, against their own libraries.

    python -m benchmarks.published --json figures.json

Each tokenizer is read by `file:PATH`, and its ids on 3,000 texts are compared with those of its own library,
which runs in another process: the package `tokenizers`, `sentencepiece`, `tiktoken` or `mistral-common`. Of
the texts 1,800 are ordinary: code, English prose and ten other languages. The others are random characters
of every plane of Unicode, and traps.

Speed is that of `encode` on English prose and code in documents of up to 6,000 characters, in processor time.
Both sides take turns; a ratio above 1 means that ours is faster. Encoding with two processes against one is
measured for two tokenizers that run by the Hugging Face library, on 10 MB of code, from Parquet to arrays.

Packages are downloaded once, and results are kept: a call that was interrupted resumes with the next
tokenizer. Remove the folder `results` to measure again.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common.cli import run_command
from common.errors import Failed
from common.files import read_json, write_file, write_json
from data_prep.corpus import Corpus, CorpusConfig, make_corpus
from data_prep.encode import make_arrays
from tokenizers import Tokenizer, train_tokenizer
from tokenizers.bpe import BPETokenizer
from tokenizers.huggingface import HuggingFaceTokenizer, byte_level
from tokenizers.sentencepiece_tokenizer import SPACE, SentencePieceTokenizer

from .packages import pypi
from .published_files import MISTRAL_NEEDS, NFC, REGEX, SOURCES, Source
from .published_texts import code_files, documents, odd_texts, ordinary_texts
from .table import Figures, FolderOptions, figure_name, in_turn, number, ratios, seconds

ON_TWO_CORES = ("gemma2", "command_r_plus")
LIBRARIES = {
    BPETokenizer: "tiktoken",
    HuggingFaceTokenizer: "Hugging Face",
    SentencePieceTokenizer: "SentencePiece",
}
HEAD = "tokenizer | form | ids | run by | equal | U+2581 | lost | lost, odd | MB/s | ratio"


@dataclass(frozen=True)
class PublishedOptions(FolderOptions):
    """Options of this benchmark."""

    texts: int = 3000
    """texts whose ids are compared; three fifths are ordinary"""
    only: str = ""
    """names of tokenizers, separated by commas (default: all)"""


@dataclass(frozen=True)
class Row:
    """What was found for a tokenizer."""

    name: str
    form: str
    refused: str = ""
    vocab_size: int = 0
    run_by: str = ""
    texts: int = 0
    equal: int = 0
    """texts whose ids are those of the own library"""
    spaces: int = 0
    """texts with U+2581, which SentencePiece takes for a space: their ids differ on purpose"""
    unexplained: str = ""
    """the shortest other text with other ids"""
    lost: int = 0
    """ordinary texts that decoding does not give back"""
    lost_odd: int = 0
    mb_per_s: float = 0
    ratio: float = 0
    """of the speed to that of the own library"""

    def __str__(self) -> str:
        """As a row of a Markdown table."""
        if self.refused:
            return f"| {self.name} | {self.form} | refused: {self.refused} |" + " |" * 7
        counts = (self.vocab_size, self.equal, self.spaces, self.lost, self.lost_odd)
        size, *others = (f"{count:,}" for count in counts)
        cells = (self.name, self.form, size, self.run_by, *others, number(self.mb_per_s), number(self.ratio))
        return f"| {' | '.join(cells)} |"

    def figures(self) -> Figures:
        """The figures for JSON."""
        found = {
            "vocabulary, ids": self.vocab_size,
            "equal, texts": self.equal,
            "with U+2581 and other ids, texts": self.spaces,
            "lost, texts": self.lost,
            "lost, odd texts": self.lost_odd,
            "MB/s": self.mb_per_s,
            "to its library, ratio": self.ratio,
        }
        return {figure_name(f"{self.name} {key}"): value for key, value in found.items() if not self.refused}


class OwnLibrary:
    """A process in which a tokenizer's own library encodes texts."""

    def __init__(self, source: Source, path: Path, packages: Path) -> None:
        script = Path(__file__).with_name("own_library.py")
        command = [sys.executable, "-I", str(script), source.form, str(path)]
        if source.form == "ranks":
            command += [REGEX[source.pattern]] + ["NFC"] * (source.pattern in NFC)
        if source.form == "tekken.json":
            command += [str(pypi(package, packages)) for package in MISTRAL_NEEDS]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> "OwnLibrary":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def answer(self, action: str, texts: Sequence[str]) -> Any:
        """The answer to `ids` or `time` for the texts."""
        assert self.process.stdin and self.process.stdout
        with tempfile.NamedTemporaryFile("w") as file:
            json.dump(texts, file)
            file.flush()
            try:
                print(action, file.name, file=self.process.stdin, flush=True)
                line = self.process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            self.errors.seek(0)
            raise Failed((self.errors.read().strip().splitlines() or ["no answer"])[-1])
        return json.loads(line)


def form_of(source: Source, tokenizer: Tokenizer) -> str:
    """The form of the file, and the kind of model in it."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return f".model, {'BPE' if tokenizer.format.trainer_spec.model_type == 2 else 'Unigram'}"
    if source.form != "tokenizer.json":
        return source.form
    content = tokenizer.typed if isinstance(tokenizer, HuggingFaceTokenizer) else None
    if content is None or byte_level(content):
        return "tokenizer.json, byte-level BPE"
    fallback = " with byte fallback" if content["model"].get("byte_fallback") else ""
    return f"tokenizer.json, {content['model']['type']}{fallback}"


def special_names(tokenizer: Tokenizer) -> list[str]:
    """The names of special and added tokens."""
    if isinstance(tokenizer, BPETokenizer):
        return [*tokenizer.ranks.special, *tokenizer.ranks.added]
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return [token["content"] for token in tokenizer.typed["added_tokens"]]
    assert isinstance(tokenizer, SentencePieceTokenizer)
    return [piece.piece for piece in tokenizer.format.pieces if piece.type != 1]


def encode_seconds(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """Processor seconds that our encoding takes."""
    begin = time.process_time()
    for text in texts:
        tokenizer.encode(text)
    return time.process_time() - begin


def measure(source: Source, path: Path, packages: Path, options: PublishedOptions) -> Row:
    """Read a tokenizer and compare it with its own library.

    Raises:
        Failed: its own library fails.
    """
    try:
        tokenizer = train_tokenizer(f"file:{path}", ())
    except ValueError as error:
        return Row(source.name, source.form, str(error).replace(str(path), path.name))
    number_ordinary = options.texts * 3 // 5
    ordinary = ordinary_texts(number_ordinary, packages)
    texts = ordinary + odd_texts(options.texts - number_ordinary, special_names(tokenizer))
    with OwnLibrary(source, path, packages) as own:
        ours = [tokenizer.encode(text).tolist() for text in texts]
        theirs = own.answer("ids", texts)
        other = [text for text, mine, its in zip(texts, ours, theirs, strict=True) if mine != its]
        spaces = [text for text in other if SPACE in text and isinstance(tokenizer, SentencePieceTokenizer)]
        unexplained = sorted(set(other) - set(spaces), key=len)
        lost = [tokenizer.decode(ids) != text for ids, text in zip(ours, texts, strict=True)]
        speed = documents(1.0)
        ways = {
            "ours": partial(encode_seconds, tokenizer, speed),
            "own": partial(own.answer, "time", speed),
        }
        took = in_turn(ways, options.rounds, warm_up=1)
    size = sum(len(text.encode()) for text in speed) / 1e6
    return Row(
        source.name,
        form_of(source, tokenizer),
        vocab_size=tokenizer.vocab_size,
        run_by=LIBRARIES[type(tokenizer)],
        texts=len(texts),
        equal=len(texts) - len(other),
        spaces=len(spaces),
        unexplained=ascii(unexplained[0][:200]) if unexplained else "",
        lost=sum(lost[: len(ordinary)]),
        lost_odd=sum(lost[len(ordinary) :]),
        mb_per_s=size / statistics.median(took["ours"]),
        ratio=statistics.median(ratios(took["own"], took["ours"])),
    )


def rows(options: PublishedOptions) -> list[Row]:
    """Print the table; a row that an earlier call measured is not measured again."""
    packages, results = options.folder / "packages", options.folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in options.only.split(",") if name]
    if unknown := set(wanted) - {source.name for source in SOURCES}:
        raise ValueError(f"unknown tokenizers {', '.join(sorted(unknown))}")
    columns = HEAD.count("|") + 1
    print(f"| {HEAD} |\n|---|---|---:|---|{'---:|' * (columns - 4)}", flush=True)
    found = []
    # Each in a new process: what was loaded before makes encoding slower.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as new_process:
        for source in SOURCES:
            if wanted and source.name not in wanted:
                continue
            kept = read_json(results / f"{source.name}.json")
            if kept and (kept["refused"] or kept["texts"] == options.texts):
                row = Row(**kept)
            else:
                path = source.fetch(packages)
                row = new_process.submit(measure, source, path, packages, options).result()
                write_json(results / f"{source.name}.json", asdict(row))
            print(row, flush=True)
            found.append(row)
    return found


def code_corpus(folder: Path) -> Corpus:
    """A corpus of 10 MB of code."""
    lines, size = [], 0
    for path in code_files():
        lines.append(json.dumps({"text": path.read_text(encoding="utf-8")}) + "\n")
        size += path.stat().st_size
        if size >= 10e6:
            break
    if not (folder / "code.jsonl").exists():
        write_file(folder / "code.jsonl", "".join(lines))
    return make_corpus(CorpusConfig(f"jsonl:{folder / 'code.jsonl'}"), folder / "code")


def on_two_cores(name: str, options: PublishedOptions) -> list[float]:
    """How many times faster two processes encode a corpus than one does, in each round."""
    (source,) = (source for source in SOURCES if source.name == name)
    tokenizer = train_tokenizer(f"file:{source.fetch(options.folder / 'packages')}", ())
    corpus = code_corpus(options.folder)

    def encode(processes: int) -> None:
        shutil.rmtree(options.folder / "arrays", ignore_errors=True)
        make_arrays(corpus, tokenizer, options.folder / "arrays", processes, allow_lossy=True)

    ways = {name: partial(seconds, partial(encode, count)) for name, count in (("one", 1), ("two", 2))}
    took = in_turn(ways, options.rounds)
    return ratios(took["one"], took["two"])


def main(options: PublishedOptions) -> None:
    """Measure each tokenizer in turn, print the table and write the figures."""
    figures: Figures = {}
    found = rows(options)
    for row in found:
        figures |= row.figures()
    for name in ON_TWO_CORES:
        if not options.only:
            times = on_two_cores(name, options)
            figures[f"{name}_two_processes_ratio"] = statistics.median(times)
            spread = f"{number(min(times))} to {number(max(times))}"
            print(f"{name}: two processes to one, ratio: {number(statistics.median(times))} ({spread})")
    if options.json:
        write_json(options.json, figures)
    if wrong := [f"{row.name} ({row.unexplained})" for row in found if row.unexplained]:
        raise Failed(f"ids differ from those of the own library: {'; '.join(wrong)}")


if __name__ == "__main__":
    run_command(main, PublishedOptions, "Published tokenizers against their own libraries.")
