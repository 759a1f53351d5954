"""A comparison on a Markov chain over characters, whose entropy is known: what the whole must come to."""

import itertools
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
import yaml

from comparison import load_comparison
from comparison.protocol import window_stride
from data_prep.arrays import TokenArrays
from eval.evaluate import Evaluation, evaluate_run
from eval.results import collect_results
from model import load_model, scoring
from training.checkpoint import newest_checkpoint

pytestmark = pytest.mark.extended

LETTERS = "abcdefgh"
SPECS = ["byte", "char", "bpe-300", "unigram-300"]


def chain() -> tuple[np.ndarray, np.ndarray]:
    """Transition probabilities of the source, and those of the first character."""
    draw = np.random.default_rng(0)
    steps = draw.dirichlet(np.full(len(LETTERS), 0.25), size=len(LETTERS)) * 0.96 + 0.04 / len(LETTERS)
    return steps, np.full(len(LETTERS), 1 / len(LETTERS))


def source_bits(text: str) -> float:
    """-log2 of the source's own probability of a text."""
    steps, first = chain()
    states = [LETTERS.index(c) for c in text]
    pairs = itertools.pairwise(states)
    return -math.log2(first[states[0]]) - sum(math.log2(steps[a, b]) for a, b in pairs)


def entropy_rate() -> float:
    steps, _ = chain()
    values, vectors = np.linalg.eig(steps.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    return float(-(stationary[:, None] * steps * np.log2(steps)).sum())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A finished comparison of four tokenizers on text of the source."""
    made = tmp_path_factory.mktemp("source")
    draw = np.random.default_rng(1)
    steps, first = chain()
    with open(made / "chain.jsonl", "w") as file:
        for _ in range(600):
            states = [draw.choice(len(LETTERS), p=first)]
            while len(states) < 300:
                states.append(draw.choice(len(LETTERS), p=steps[states[-1]]))
            file.write(json.dumps({"text": "".join(LETTERS[s] for s in states)}) + "\n")
    model = {"n_layer": 1, "n_embd": 32, "n_head": 2, "preset": "modern"}
    comparison = {
        "name": "chain",
        "out": str(made),
        "corpus": {"source": f"jsonl:{made}/chain.jsonl", "val_fraction": 0.05, "test_fraction": 0.08},
        "tokenizers": SPECS,
        "models": {"gpt": {"model": model, "optimizer": {"lr": 0.01}}},
        "context": {"chars": 32},
        "batch": {"chars": 2048},
        "budget": {"chars": 500_000},
        "seeds": [0, 1],
        "execution": {"precision": "fp32"},
        "tracking": {"validations": 1, "wandb": "disabled"},
    }
    (made / "chain.yaml").write_text(yaml.safe_dump(comparison))
    command = [sys.executable, "compare.py", str(made / "chain.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return made / "chain"


def rows(folder: Path) -> dict[str, dict]:
    return {row["tokenizer"]: row for row in collect_results(load_comparison(folder))[0]["rows"]}


def test_every_tokenizer_approaches_the_entropy_from_above(folder):
    files = sorted((folder / "corpus" / "test").glob("*.parquet"))
    texts = [text for file in files for text in pyarrow.parquet.read_table(file)["text"].to_pylist()]
    source = sum(map(source_bits, texts)) / sum(map(len, texts))
    assert source == pytest.approx(entropy_rate(), rel=0.05)
    for spec, row in rows(folder).items():
        assert source < row["test_bpc"] < 1.12 * source, spec
        assert row["test_bpc_low"] > source - 0.1  # of the text's choice


def run_of(folder: Path, spec: str) -> Path:
    return folder / "runs" / spec / "gpt" / "seed0"


@pytest.mark.parametrize("spec", ["char", "bpe-300"])
@torch.no_grad()
def test_bits_per_byte_are_those_of_one_forward_pass_for_every_token(folder, spec):
    """Written from docs/metric.md alone: no function of the fast path is used."""
    result = json.loads((run_of(folder, spec) / "result.json").read_text())
    block, stride = result["block_size"], result["stride"]
    arrays = TokenArrays(folder / "data" / spec)
    tokens = np.concatenate([np.load(file) for file in sorted(arrays.folder.glob("test-*.tokens.npy"))])
    model = load_model(newest_checkpoint(run_of(folder, spec) / "checkpoints")[0] / "model.safetensors")
    eot = int(tokens[0])
    bits, documents = 0.0, np.split(tokens, np.flatnonzero(tokens == eot) + 1)[1:-1]
    for document in documents:
        context = [eot, *document.tolist()]
        for target in range(1, len(context) - 1):  # the last is the eot behind it
            start = 0
            while start + block < target:
                start = min(start + stride, len(context) - 1 - block)
            logits = model(torch.tensor([context[start:target]]))[0, -1].double()
            bits -= float(logits.log_softmax(dim=0)[context[target]]) / math.log(2)
    assert bits / arrays.split("test").bytes == pytest.approx(result["test_bpb"], rel=1e-6)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """The comparison again, to be changed; its runs read the arrays of the first."""
    return Path(shutil.copytree(folder, tmp_path / "chain"))


def change(folder: Path, **settings: object) -> None:
    file = folder / "comparison.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | settings))


def clear(found: dict[str, dict]) -> list[str]:
    """Tokenizers that are distinguishable from the best."""
    return [spec for spec, row in found.items() if row["distinguishable"]]


def test_the_order_of_tokenizers_changes_neither_who_wins_nor_an_interval(folder, copy):
    first = rows(folder)
    assert clear(first)
    change(copy, tokenizers=SPECS[::-1])
    again = rows(copy)
    assert list(again) == list(first) and clear(again) == clear(first)
    keys = [f"{key}{end}" for key in ("test_bpc", "behind_best") for end in ("", "_low", "_high")]
    for spec in SPECS:
        assert [again[spec][key] for key in keys] == pytest.approx([first[spec][key] for key in keys])


def test_two_ranks_find_the_same_bits_to_the_last_one(folder, copy):
    run = run_of(copy, "bpe-300")
    before = json.loads((run / "result.json").read_text())
    for name in ("result.json", "documents.parquet", "token_bits.npy"):
        (run / name).unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "--", "eval.evaluate", f"--run={run}", f"--stride={before['stride']}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "result.json").read_text())["test_bpc"] == before["test_bpc"]
    for name in ("documents.parquet", "token_bits.npy"):
        assert (run / name).read_bytes() == (run_of(folder, "bpe-300") / name).read_bytes()


@pytest.mark.parametrize(("overlap", "tokens"), [(0.75, 1 << 9), (0.25, 1 << 14)])
def test_neither_batches_nor_stride_change_who_wins_beyond_the_interval(
    folder, copy, monkeypatch, overlap, tokens
):
    first = rows(folder)
    assert clear(first)
    change(copy, overlap=overlap)
    monkeypatch.setattr(scoring, "TOKENS", tokens)
    for spec, row in first.items():
        for run in run_of(copy, spec).parent.iterdir():
            evaluate_run(Evaluation(run=run, stride=window_stride(row["block_size"], overlap)))
    again = rows(copy)
    assert any(again[spec]["test_bpc"] != first[spec]["test_bpc"] for spec in SPECS)
    best = next(iter(first))
    assert not again[best]["distinguishable"]
    assert all(again[spec]["test_bpc"] > again[best]["test_bpc"] for spec in clear(first))
