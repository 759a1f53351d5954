"""A corpus that is made by several processes or jobs, interrupted, or limited."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import data_prep.parts
import data_prep.sources
from common.files import sha256_file
from data_prep.config import CorpusConfig, Source
from data_prep.corpus import Corpus, make_corpus, make_part
from data_prep.document import Document
from data_prep.parts import SPLITS
from data_prep.sources import Unit, find_units, read_documents

WORDS = "time year people way day man thing woman life child world school state family student".split()


def write_files(folder: Path, files: int = 7, documents: int = 40) -> CorpusConfig:
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    for number in range(files):
        rows = [
            {"text": " ".join(draw.choices(WORDS, k=50)), "group": f"g{i % 30}"} for i in range(documents)
        ]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        name = f"{number}.jsonl"
        if number % 3 == 2:
            name, content = f"{name}.gz", gzip.compress(content)
        (folder / name).write_bytes(content)
    return CorpusConfig(f"files:{folder}", val_fraction=0.2, test_fraction=0.2)


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prep.sources, "UNIT_BYTES", 20_000)


@pytest.fixture
def config(tmp_path: Path) -> CorpusConfig:
    return write_files(tmp_path / "in")


def content(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    return {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def test_small_files_share_a_unit_and_large_ones_have_their_own(config: CorpusConfig) -> None:
    units, _ = find_units(config)
    assert 2 < len(units) < 7
    assert [path.name for unit in units for path in unit.files] == sorted(os.listdir(config.source[6:]))
    sizes = [sum(path.stat().st_size for path in unit.files) for unit in units]
    assert all(size <= 20_000 or len(unit.files) == 1 for size, unit in zip(sizes, units, strict=True))


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_the_files_do_not_depend_on_the_number_of_processes(
    processes: int, config: CorpusConfig, tmp_path: Path
) -> None:
    one = make_corpus(config, tmp_path / "one", processes=1)
    several = make_corpus(config, tmp_path / "several", processes=processes)
    assert content(one.folder) == content(several.folder)
    assert len(one.files("train")) == len(find_units(config)[0])
    assert sorted(one.ids("train") + one.ids("val") + one.ids("test")) == sorted(
        document.id for document in read_documents(config)
    )


def test_parts_in_any_order_make_the_same_corpus(config: CorpusConfig, tmp_path: Path) -> None:
    whole = make_corpus(config, tmp_path / "whole")
    for part in ((3, 3), (1, 3)):
        assert make_part(config, tmp_path / "parts", part) is None
    with pytest.raises(ValueError, match="holds no corpus"):
        Corpus(tmp_path / "parts")
    assert make_part(config, tmp_path / "parts", (2, 3))
    assert content(whole.folder) == content(tmp_path / "parts")
    assert make_part(config, tmp_path / "parts", (1, 3)), "a part that is run again finds the corpus"


def test_the_command_makes_a_part(tmp_path: Path, run_python: Callable) -> None:
    config = write_files(tmp_path / "in")
    given = ["--corpus.source", config.source, "--corpus.val_fraction", 0.2, "--corpus.test_fraction", 0.2]
    for part in ("1/2", "2/2"):
        done = run_python("-m", "data_prep.corpus", "--out", tmp_path / "corpus", *given, "--part", part)
        assert done.returncode == 0, done.stderr
    assert "documents" in done.stdout and Corpus(tmp_path / "corpus")


SLOW = """
import sys, time
from pathlib import Path
import data_prep.parts, data_prep.sources
from data_prep.config import CorpusConfig
from data_prep.corpus import make_corpus
data_prep.sources.UNIT_BYTES = 20_000
write = data_prep.parts.write_part
def slowly(*arguments):
    time.sleep(0.15)
    return write(*arguments)
data_prep.parts.write_part = slowly
make_corpus(CorpusConfig(sys.argv[1], val_fraction=0.2, test_fraction=0.2), Path(sys.argv[2]), processes=2)
"""


def test_a_corpus_that_is_killed_again_and_again_is_resumed(config: CorpusConfig, tmp_path: Path) -> None:
    whole, folder = make_corpus(config, tmp_path / "whole"), tmp_path / "corpus"
    staged = -1
    for _ in range(40):
        child = subprocess.Popen([sys.executable, "-c", SLOW, config.source, folder])
        time.sleep(0.2)
        while child.poll() is None and len(list(folder.glob("parts/0*"))) <= max(staged, 0):
            time.sleep(0.01)
        done = child.poll() is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
        if done:
            break
        staged = len(list(folder.glob("parts/0*")))
    assert done and content(whole.folder) == content(folder)


def test_what_was_read_before_a_bad_row_is_not_read_again(config: CorpusConfig, tmp_path: Path) -> None:
    bad = Path(config.source[6:]) / "6.jsonl"
    good = bad.read_bytes()
    bad.write_bytes(good + b'{"text": 1}\n')
    with pytest.raises(ValueError, match=r"6\.jsonl line 41 column 'text' has type int"):
        make_corpus(config, tmp_path / "corpus", processes=1)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("corpus/parts/0*/part.json")}
    assert kept
    bad.write_bytes(good)
    seen: list[Unit] = []
    read_unit = data_prep.parts.read_unit

    def watched(unit: Unit, *rest: Any) -> Iterator[Document]:
        seen.append(unit)
        return read_unit(unit, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_prep.parts, "read_unit", watched)
        corpus = make_corpus(config, tmp_path / "corpus", processes=1)
    assert len(seen) == len(find_units(config)[0]) - len(kept)
    assert content(corpus.folder) == content(make_corpus(config, tmp_path / "other").folder)


def test_a_source_that_changes_while_it_is_read_is_refused(
    config: CorpusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_all = data_prep.parts.stage_all

    def and_change(*arguments: object) -> None:
        stage_all(*arguments)
        (Path(config.source[6:]) / "0.jsonl").write_text('{"text": "changed"}\n')

    monkeypatch.setattr("data_prep.corpus.stage_all", and_change)
    with pytest.raises(ValueError, match="has changed while it was read"):
        make_corpus(config, tmp_path / "corpus")
    assert not (tmp_path / "corpus" / "manifest.json").exists()
    monkeypatch.undo()
    monkeypatch.setattr(data_prep.sources, "UNIT_BYTES", 20_000)
    corpus = make_corpus(config, tmp_path / "corpus")
    assert "changed" in [text for split in SPLITS for text in corpus.texts(split)]


def test_a_folder_of_someone_else_named_parts_is_not_touched(config: CorpusConfig, tmp_path: Path) -> None:
    (tmp_path / "mine" / "parts").mkdir(parents=True)
    (tmp_path / "mine" / "parts" / "letter.txt").write_text("do not lose this")
    with pytest.raises(ValueError, match="was not made by this command"):
        make_corpus(config, tmp_path / "mine")
    assert (tmp_path / "mine" / "parts" / "letter.txt").exists()


def test_output_inside_the_source_is_not_read(config: CorpusConfig) -> None:
    folder = Path(config.source[6:])
    first = make_corpus(config, folder / "out" / "corpus")
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    make_corpus(config, folder / "out" / "corpus")
    assert before == {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}


# A limited amount of text


def test_reading_stops_at_the_limit(config: CorpusConfig, tmp_path: Path) -> None:
    everything = list(read_documents(config))
    limited = CorpusConfig(config.source, max_chars=20_000, val_fraction=0.2, test_fraction=0.2)
    corpus = make_corpus(limited, tmp_path / "corpus")
    chars = sum(counts["chars"] for counts in corpus.manifest["splits"].values())
    assert 20_000 <= chars < 20_000 + len(everything[0].text) * 2
    ids = corpus.ids("train") + corpus.ids("val") + corpus.ids("test")
    assert sorted(ids) == sorted(document.id for document in everything[: len(ids)])
    assert len(find_units(limited)[0]) > 3, "several units were read in order"


def test_a_limited_text_file_is_divided_as_if_it_ended_there(tmp_path: Path) -> None:
    lines = [f"line {number} of a long file\n" for number in range(100_000)]
    (tmp_path / "long.txt").write_text("".join(lines))
    whole = make_corpus(CorpusConfig(f"text:{tmp_path / 'long.txt'}", max_chars=200_000), tmp_path / "corpus")
    text = "".join("".join(whole.texts(split)) for split in SPLITS)
    assert "".join(lines).startswith(text) and 200_000 <= len(text) < 210_000
    assert all(whole.manifest["splits"][split]["chars"] > 5_000 for split in SPLITS)


@pytest.mark.parametrize("unit", [20_000, 100_000])
def test_text_files_beyond_the_limit_are_not_read(
    unit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_prep.sources, "UNIT_BYTES", unit)  # a file each, or all files
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text("some words of a file\n" * 1000)
    (tmp_path / "c.txt").write_bytes(b"\xff")
    corpus = make_corpus(CorpusConfig(f"text:{tmp_path}", max_chars=25_000), tmp_path / "corpus")
    assert 25_000 <= sum(counts["chars"] for counts in corpus.manifest["splits"].values()) < 26_000
    for split in SPLITS:
        assert {Path(id_.split(":")[0]).name for id_ in corpus.ids(split)} == {"a.txt", "b.txt"}


@pytest.mark.parametrize("name", ["min_length", "max_length", "max_chars"])
def test_amounts_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"corpus.{name} 0 must be at least 1"):
        CorpusConfig(**{name: 0})


# Texts that are only tested


def test_a_plain_source_is_test_text_alone(config: CorpusConfig, tmp_path: Path) -> None:
    corpus = make_corpus(Source(config.source), tmp_path / "corpus")
    assert corpus.files("train") == corpus.files("val") == []
    assert corpus.ids("test") == [document.id for document in read_documents(config)]
    (tmp_path / "poem.txt").write_text("a line of a poem\n" * 400)
    poem = make_corpus(Source(f"text:{tmp_path / 'poem.txt'}"), tmp_path / "poem")
    assert "".join(poem.texts("test")) == (tmp_path / "poem.txt").read_text()
