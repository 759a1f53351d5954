"""The tokenizers of a comparison: order, progress, and stopping during training."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from comparison import Comparison, Recipe
from comparison.stages import TokenizerJob, make_tokenizers
from data_prep.corpus import CorpusConfig
from training.budget import Budget, TextAmount


@pytest.fixture
def comparison(tiny_source: Path, tiny_corpus, tmp_path: Path) -> Comparison:
    """A comparison of unigram and BPE tokenizers on the small corpus, which exists."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "corpus").symlink_to(tiny_corpus.folder)
    return Comparison(
        name="tiny",
        out=tmp_path,
        corpus=CorpusConfig(f"jsonl:{tiny_source}"),
        tokenizers=["unigram-440", "spbpe-440", "bpe-400", "byte"],
        models={"gpt": Recipe()},
        context=TextAmount(chars=64),
        batch=TextAmount(chars=1024),
        budget=Budget(chars=10_000),
    )


def test_the_quickest_are_trained_first_and_each_reports_its_time(comparison, tiny_corpus, capsys):
    found = make_tokenizers(comparison, tiny_corpus)
    assert {label: t.vocab_size for label, t in found.items()} == {
        "unigram-440": 440, "spbpe-440": 440, "bpe-400": 400, "byte": 257
    }  # fmt: skip
    lines = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == ["tokenizer bpe-400", "tokenizer spbpe-440", "tokenizer unigram-440"]
    make_tokenizers(comparison, tiny_corpus)
    assert capsys.readouterr().out == "", "they exist"


def test_progress_is_read_from_the_log_of_the_library(comparison, tiny_corpus):
    make_tokenizers(comparison, tiny_corpus)
    jobs = {label: TokenizerJob(comparison, label, replace=False) for label in ("unigram-440", "spbpe-440")}
    for job in jobs.values():
        assert 0.5 < job.share() < 1, "after the end"
    text = jobs["unigram-440"].log.read_text()
    rounds = text.split("EM sub_iter=0")
    shares = []
    for end in range(1, len(rounds) + 1):
        jobs["unigram-440"].log.write_text("EM sub_iter=0".join(rounds[:end]))
        shares.append(jobs["unigram-440"].share())
    assert shares == sorted(set(shares)) and shares[0] == 0
    larger = dataclasses.replace(comparison, tokenizers=["unigram-450"])
    assert TokenizerJob(larger, "unigram-450", replace=False).share() == 0, "before the start"


def test_ctrl_c_during_the_training_of_a_tokenizer_stops_at_once(tmp_path):
    words = ["".join(random.Random(i).choices("abcdefghij", k=9)) for i in range(40_000)]
    draw = random.Random(0)
    documents = [" ".join(draw.choices(words, k=2_000)) for _ in range(400)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    content = {
        "name": "slow",
        "out": str(tmp_path),
        "corpus": {"source": f"jsonl:{tmp_path}/text.jsonl"},
        "tokenizers": ["byte", "unigram-8000"],
        "models": {"gpt": {}},
        "context": {"chars": 64},
        "batch": {"chars": 1024},
        "budget": {"chars": 10_000},
    }
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(content))
    process = subprocess.Popen(
        [sys.executable, "compare.py", str(tmp_path / "slow.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    log = tmp_path / "slow/data/unigram-8000/tokenizer.log"
    while not (log.exists() and "Extracting seed" in log.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == "codebook: interrupted; the same command resumes\n"
    assert time.monotonic() - began < 10  # 3 s on an idle machine
    assert (tmp_path / "slow/data/byte/tokenizer/tokenizer.json").exists()
    assert not (tmp_path / "slow/data/unigram-8000/tokenizer").exists()
