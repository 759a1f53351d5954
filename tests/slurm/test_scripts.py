"""The scripts in slurm/, submitted by hand, and their parts."""

import os
import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
import yaml

from common.cli import parse
from comparison import Comparison
from slurm.cluster import read_cluster
from slurm.freeze import freeze

from .conftest import ROOT
from .toy import call, wait_for

IMPORT_ALL = """
import importlib, pkgutil, sys
from pathlib import Path
code = Path(sys.argv[1])
packages = [init.parent.name for init in code.glob("*/__init__.py")]
walked = pkgutil.walk_packages([str(code)], onerror=lambda name: sys.exit(f"{name} cannot be imported"))
names = ["compare", "train_ddp", *(m.name for m in walked if m.name.split(".")[0] in packages)]
for name in names:
    if not name.endswith("__main__"):
        assert Path(importlib.import_module(name).__file__).is_relative_to(code), name
from eval.report.page import FOLDER
assert all((FOLDER / name).exists() for name in ("page.html", "page.css", "page.js"))
print(*packages)
"""
MEET = [sys.executable, "slurm/meet.py"]


def meets(number, *arguments, nodes="tn1 tn2 tn3"):
    """The process of one node in a meeting."""
    return subprocess.Popen(
        [*MEET, *arguments],
        cwd=ROOT,
        env={"NODELIST": nodes, "SLURM_NODEID": str(number)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.extended
def test_shellcheck_finds_no_problems():
    scripts = sorted(ROOT.glob("slurm/*.s*"))
    assert len(scripts) >= 6
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_frozen_copy_of_the_code_imports_everything(tiny_source, tmp_path):
    """All packages except the tests, from the copy alone."""
    content = {
        "name": "tiny",
        "tokenizers": ["byte"],
        "models": {"gpt": {}},
        "corpus": {"source": f"jsonl:{tiny_source}"},
        **{key: {"chars": 40} for key in ("context", "batch", "budget")},
        "out": str(tmp_path),
    }
    comparison = parse(Comparison, [str(write_yaml(tmp_path / "tiny.yaml", content))])
    folder = freeze(comparison, write_yaml(tmp_path / "cluster.yaml", {}), "0")
    environment = {**os.environ, "PYTHONPATH": str(folder / "code"), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", IMPORT_ALL, folder / "code"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    assert set(done.stdout.split()) == here - {"tests"}
    assert (
        freeze(parse(Comparison, [str(folder / "comparison.yaml")]), folder / "cluster.yaml", "0") == folder
    )


def write_yaml(path, content):
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.extended
def test_a_corpus_is_encoded_in_parts_by_an_array(sbatch, tiny_corpus, tiny_arrays, tmp_path):
    data = tiny_arrays("bpe-300")
    out = tmp_path / "data"
    options = [f"--corpus={tiny_corpus.folder}", f"--tokenizer={data / 'tokenizer'}", f"--out={out}"]
    sbatch("--array=1-3", "--output=/dev/null", "slurm/prep.sbatch", "data_prep.encode", *options)
    wait_for(lambda: not call("squeue", "--noheader").stdout.strip(), "the end of all parts")
    for path in data.glob("*.npy"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_nodes_that_meet_agree_on_an_address():
    nodes = [meets(number, "127.0.0.1", "17.0", "20") for number in (2, 1, 0)]
    answers = [node.communicate(timeout=30) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0, 0], answers
    assert answers[2][0].startswith("127.0.0.1:")


def test_a_missing_node_is_named():
    first, other = meets(0, "127.0.0.1", "18.0", "3"), meets(2, "127.0.0.1", "18.0", "3")
    assert "tn2 has not reached 127.0.0.1:" in first.communicate(timeout=30)[1]
    assert first.returncode == 1
    other.communicate(timeout=30)
    assert other.returncode == 1


def test_an_address_at_which_the_first_node_cannot_be_reached_is_named():
    assert (
        "tn2 cannot reach the first node at 127.0.0.9" in meets(1, "127.0.0.9", "19.0", "2").communicate()[1]
    )
    assert "this node cannot be reached at 192.0.2.1" in meets(0, "192.0.2.1", "19.0", "2").communicate()[1]


def test_two_jobs_on_a_node_do_not_meet_each_other():
    words = [f"{number}.0" for number in range(100_000)]
    first = {zlib.crc32(word.encode()) % 12_000: word for word in words}  # the port that meet.py tries first
    other = next(word for word in words if first[zlib.crc32(word.encode()) % 12_000] != word)
    same = first[zlib.crc32(other.encode()) % 12_000]
    head = meets(0, "127.0.0.1", other, "20", nodes="a b")
    stranger = meets(1, "127.0.0.1", same, "20", nodes="a b")
    time.sleep(2)
    assert head.poll() is None and stranger.poll() is None  # both have connected, but to the wrong job
    nodes = [head, stranger]
    nodes += [meets(1, "127.0.0.1", other, "20", nodes="a b"), meets(0, "127.0.0.1", same, "20", nodes="a b")]
    answers = [node.communicate(timeout=30) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0, 0, 0], answers


@pytest.mark.parametrize("name", ["example-gpu.yaml", "example-cpu.yaml"])
def test_examples_are_valid_cluster_files(name, tmp_path):
    cluster = read_cluster(ROOT / "slurm" / name)
    assert all(option.startswith("--") for option in cluster.options("train"))
    path = tmp_path / "environment.sh"
    path.write_text(cluster.environment(Path("out/a b/code")))
    assert subprocess.run(["bash", "-n", path]).returncode == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("gpus: 8", "unknown key 'gpus' (keys: all, prep"),
        ("train: {job-name: x}", "train.job-name is set for each job by compare.py: leave it out"),
        ("train: gpu", "train must be a mapping of options of sbatch, such as partition: gpu"),
        ("requeues: often", "requeues is often: it must be an integer of at least 0"),
        ("runs_at_once: 0", "runs_at_once is 0: it must be an integer of at least 1"),
        ("[a", "is not valid YAML"),
        ("- a", "not a mapping"),
    ],
)
def test_the_error_for_an_invalid_cluster_file_says_what_is_wrong(content, problem, tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=re.escape(problem)):
        read_cluster(path)


def test_times_are_kept_as_written(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("all: {time: 2:00:00, exclusive: true}\ntrain: {time: 12:30:00, gpus_per_node: 8}\n")
    cluster = read_cluster(path)
    assert cluster.options("prep") == ["--time=2:00:00", "--exclusive"]
    assert cluster.options("train") == ["--time=12:30:00", "--exclusive", "--gpus-per-node=8"]
