"""The commands as users run them."""

import ast
import inspect
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import data_prep.arrays
import data_prep.config
import data_prep.corpus
import data_prep.encode
import data_prep.tokenizer
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from tokenizers import load_tokenizer

FRACTIONS = ("--corpus.val_fraction", 0.08, "--corpus.test_fraction", 0.08)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """The files below a folder, with their identity and time of writing."""
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_three_commands_make_token_arrays_of_a_source_and_do_nothing_if_repeated(
    tiny_source: Path, tiny_corpus: Corpus, tmp_path: Path, run_python: Callable
) -> None:
    corpus, arrays = tmp_path / "corpus", tmp_path / "data" / "spbpe-400"
    commands = [
        ("data_prep.corpus", "--corpus.source", f"jsonl:{tiny_source}", *FRACTIONS, "--out", corpus),
        ("data_prep.tokenizer", "--corpus", corpus, "--spec", "spbpe-400", "--out", arrays / "tokenizer"),
        ("data_prep.encode", "--corpus", corpus, "--tokenizer", arrays / "tokenizer", "--out", arrays),
        ("data_prep.arrays", "--folder", arrays, "--verify", "true"),
    ]
    first = [run_python("-m", *command) for command in commands]
    assert [(done.returncode, done.stderr) for done in first] == [(0, "")] * 4
    train = tiny_corpus.manifest["splits"]["train"]
    assert f"train  {train['documents']:>9,} documents  {train['chars']:>13,} characters" in first[0].stdout
    assert "spbpe-400  vocabulary 400" in first[1].stdout
    assert re.search(r"test +[\d,]+ tokens +\d\.\d{3} characters per token", first[2].stdout)
    assert re.search(r"val +\d+ documents +[\d,]+ tokens", first[3].stdout)

    assert Corpus(corpus).fingerprint == tiny_corpus.fingerprint
    assert TokenArrays(arrays).fingerprints == {
        "corpus_fingerprint": tiny_corpus.fingerprint,
        "tokenizer_fingerprint": load_tokenizer(arrays / "tokenizer").fingerprint,
    }

    before = state(tmp_path)
    again = [run_python("-m", *command) for command in commands]
    assert [done.stdout for done in again] == [done.stdout for done in first]
    assert state(tmp_path) == before


def test_options_can_be_in_a_yaml_file(tiny_source: Path, tmp_path: Path, run_python: Callable) -> None:
    (tmp_path / "corpus.yaml").write_text(
        f"out: {tmp_path / 'corpus'}\n"
        f"corpus:\n  source: jsonl:{tiny_source}\n  val_fraction: 0.3\n  test_fraction: 0.1\n"
    )
    done = run_python("-m", "data_prep.corpus", tmp_path / "corpus.yaml", "--corpus.test_fraction", 0.2)
    assert done.returncode == 0, done.stderr
    config = Corpus(tmp_path / "corpus").manifest["config"]
    assert (config["val_fraction"], config["test_fraction"]) == (0.3, 0.2)


def explanations(module: ModuleType) -> list[str]:
    """The docstring of every field of the dataclasses that a module defines."""
    classes = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)]
    return [
        " ".join(node.value.value.split())
        for found in classes
        if any("dataclass" in ast.unparse(decorator) for decorator in found.decorator_list)
        # Not those of a part, which are below a name of the user's choice, and none that are internal
        if found.name != "Part" and not found.name.startswith("_")
        for node in found.body[1:]
        if isinstance(node, ast.Expr)
    ]


@pytest.mark.parametrize(
    ("module", "fields"),
    [
        (data_prep.corpus, 5),
        (data_prep.config, 16),
        (data_prep.tokenizer, 5),
        (data_prep.encode, 7),
        (data_prep.arrays, 2),
    ],
)
def test_help_explains_every_field(module: ModuleType, fields: int, run_python: Callable) -> None:
    command = "data_prep.corpus" if module is data_prep.config else module.__name__
    done = run_python("-m", command, "--help", "all")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert len(explanations(module)) == fields
    for explanation in explanations(module):
        assert explanation in text


@pytest.fixture
def made(tiny_arrays: Callable[[str], Path], tiny_corpus: Corpus, tmp_path: Path) -> dict[str, Path]:
    """The values of the placeholders in BAD_INPUT."""
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "one.jsonl").write_text('{"text": "alone"}\n')
    (tmp_path / "broken.yaml").write_text("corpus: [\n")
    (tmp_path / "misspelt.yaml").write_text("corpus:\n  sorce: shakespeare\n")
    return {"tmp": tmp_path, "corpus": tiny_corpus.folder, "bpe": tiny_arrays("bpe-300")}


CORPUS = "data_prep.corpus --out {tmp}/corpus"
TOKENIZER = "data_prep.tokenizer --corpus {corpus} --out {tmp}/tokenizer"
BAD_INPUT = {
    CORPUS + " --corpus.source text:{tmp}/latin.txt": "{tmp}/latin.txt is not UTF-8: byte 0xe9 at offset 3",
    CORPUS + " --corpus.source text:{tmp}/empty.txt": "text:{tmp}/empty.txt holds no text",
    CORPUS + " --corpus.source jsonl:{tmp}/one.jsonl": "no document falls into the",
    CORPUS + " --corpus.source jsonl:{tmp}/one.jsonl --corpus.text_column body": "(columns: text)",
    CORPUS + " --corpus.source parquet:{tmp}/one.jsonl": "{tmp}/one.jsonl is not a Parquet file",
    CORPUS + " --corpus.source text:{tmp}/none": "no text file at {tmp}/none",
    CORPUS + " --corpus.source shakspeare": "did you mean 'shakespeare'?",
    CORPUS + " --corpus.val_fraction 1": "must be above 0",
    CORPUS + " --corpus.val_fraction much": "corpus.val_fraction",
    CORPUS + " --corpus.sorce shakespeare": "did you mean 'corpus.source'?",
    CORPUS + " --config {tmp}/misspelt.yaml": "did you mean 'source'?",
    CORPUS + " --config {tmp}/broken.yaml": "{tmp}/broken.yaml",
    "data_prep.corpus": "out",
    TOKENIZER + " --spec ungram-300": "did you mean 'unigram-300'?",
    TOKENIZER + " --spec bpe-65536": "is enough for a vocabulary of at most",
    TOKENIZER + " --spec unigram-65536": "is enough for a vocabulary of at most",
    TOKENIZER + " --spec bpe-300 --corpus {tmp}/none": "{tmp}/none holds no corpus",
    TOKENIZER + " --spce bpe-300": "did you mean 'spec'?",
    "data_prep.encode --corpus {corpus} --tokenizer {tmp} --out {tmp}/arrays": "{tmp} contains no tokenizer",
    "data_prep.encode --corpus {tmp} --tokenizer {bpe}/tokenizer --out {tmp}/arrays": "{tmp} holds no corpus",
    "data_prep.arrays --folder {tmp}": "{tmp} holds no token arrays",
}


@pytest.mark.parametrize("command", BAD_INPUT)
def test_bad_input_gives_one_line_and_exit_code_2_and_writes_nothing(
    command: str, made: dict[str, Path], run_python: Callable
) -> None:
    before = sorted(made["tmp"].rglob("*"))
    done = run_python("-m", *command.format(**made).split())
    assert done.returncode == 2
    assert re.fullmatch(r"codebook: .*\n", done.stderr)
    assert BAD_INPUT[command].format(**made) in done.stderr
    assert done.stdout == ""
    assert sorted(made["tmp"].rglob("*")) == before


# ---- the hub

NO_NETWORK = {"HF_ENDPOINT": "http://127.0.0.1:9", "no_proxy": "*", "NO_PROXY": "*"}


def test_a_hub_name_without_a_network_fails_at_once_in_one_line(tmp_path: Path, run_python: Callable) -> None:
    start = time.monotonic()
    done = run_python(
        *("-m", "data_prep.corpus", "--out", tmp_path / "corpus", "--corpus.source", "hub:someone/something"),
        **NO_NETWORK,
    )
    assert time.monotonic() - start < 15  # the library alone retries for 23 s
    assert done.returncode == 2
    assert re.fullmatch(r"codebook: hub:someone/something cannot be loaded: .*network.*\n", done.stderr)
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [('{"body": "x"}\n', "has no column 'text' (columns: body)"), ('{"text": "x', "line 1 is not JSON")],
)
def test_an_invalid_hub_folder_gives_one_line(
    content: str, complaint: str, tmp_path: Path, run_python: Callable
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text(content)
    source = f"hub:{tmp_path / 'set'}"
    done = run_python("-m", "data_prep.corpus", "--out", tmp_path / "corpus", "--corpus.source", source)
    assert done.returncode == 2
    assert re.fullmatch(r"codebook: .*\n", done.stderr)
    assert source in done.stderr and complaint in done.stderr


def test_a_configuration_of_a_hub_data_set_can_be_chosen(tmp_path: Path, run_python: Callable) -> None:
    source = tmp_path / "set"
    source.mkdir()
    for name in ("small", "large"):
        lines = [json.dumps({"text": f"{name} {i}"}) for i in range(100)]
        (source / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (source / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files: small.jsonl\n"
        "- config_name: large\n  data_files: large.jsonl\n---\n"
    )
    command = ("-m", "data_prep.corpus", *FRACTIONS, "--out", tmp_path / "corpus", "--corpus.source")
    done = run_python(*command, f"hub:{source}:large")
    assert done.returncode == 0, done.stderr
    assert all(text.startswith("large ") for text in Corpus(tmp_path / "corpus").texts("train"))
    asked = run_python(*command, f"hub:{source}", "--replace")
    assert asked.returncode == 2
    assert re.fullmatch(r"codebook: .*small.*large.*\n", asked.stderr)
