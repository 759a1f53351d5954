"""The GPU benchmarks in their small form on a CPU, with only the packages of a bare machine."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from benchmarks.gpu_study import finished
from common.cli import parse
from common.revision import ROOT
from comparison import Comparison

pytestmark = pytest.mark.extended

MISSING = ["datasets", "wandb", "rustbpe"]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine without some packages."""
    for name in MISSING:
        (tmp_path / "bare" / name).mkdir(parents=True)
        (tmp_path / "bare" / name / "__init__.py").write_text(f"raise ImportError('no {name} here')")
    path = os.pathsep.join([str(ROOT), str(tmp_path / "bare")])
    return {**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}


def run(module: str, *options: object, env: dict[str, str]) -> str:
    command = [sys.executable, "-m", module, *map(str, options)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_gpu_is_checked_in_a_small_form_on_a_cpu(tmp_path, bare):
    output = run(
        "benchmarks.gpu_check", "--folder", tmp_path / "run", "--json", tmp_path / "f.json", env=bare
    )
    assert output.count("not measured: ") == 1 and "not measured: a GPU (there is none)" in output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["resume_a_run_and_another_one_are_equal_share"] == 1
    assert figures["resume_a_run_and_a_killed_one_are_equal_share"] == 1
    assert figures["resume_the_run_is_killed_after_steps"] > 0
    for vocab_size in (300, 30_000):
        assert figures[f"step_v_{vocab_size}_last_loss_by_the_first_ratio"] < 0.9
        assert figures[f"step_v_{vocab_size}_fp32_largest_difference_of_loss_ratio"] == 0
        assert 0 < figures[f"step_v_{vocab_size}_bf16_largest_difference_of_loss_ratio"] < 0.02
    assert figures["scoring_tf32_difference_of_bits_ratio"] == 0
    assert 0 < figures["scoring_bf16_difference_of_bits_ratio"] < 1e-3
    assert figures["no_waiting_adamw_steps"] == figures["no_waiting_muon_steps"] == 5
    assert {"ours_v_257_tokens_per_s", "characters_eager_tokens_per_s"} <= set(figures)


def test_parts_without_enough_time_are_named(tmp_path, bare):
    output = run("benchmarks.gpu_check", "--folder", tmp_path, "--seconds", 1e-9, env=bare)
    assert output.count("TimeoutError: no time was left") == 8


def test_the_study_goes_to_a_gpu_as_text_and_tokenizers_and_comes_back_as_a_report(
    tmp_path, bare, tiny_corpus
):
    lines = [
        json.dumps({"text": text}) for split in ("train", "val", "test") for text in tiny_corpus.texts(split)
    ]
    (tmp_path / "text.jsonl").write_text("\n".join(lines))
    content = yaml.safe_load((ROOT / "configs" / "gpu.yaml").read_text())
    content |= {"out": str(tmp_path / "out"), "tokenizers": ["byte", "bpe-300"], "seeds": [0, 1]}
    content["corpus"] |= {"source": f"parquet:{tmp_path / 'text'}", "val_fraction": 0.1, "test_fraction": 0.1}
    content["models"]["gpt"]["model"] |= {"n_layer": 1, "n_head": 1, "n_embd": 16}
    content |= {"context": {"chars": 64}, "batch": {"chars": 512}, "budget": {"steps": 5}}
    content["tracking"]["val_chars"] = 500
    file = tmp_path / "gpu.yaml"
    file.write_text(yaml.safe_dump(content))

    said = run(
        "benchmarks.gpu_study", "--file", file, "--prepare", tmp_path / "text.jsonl", env=dict(os.environ)
    )
    assert "MB for the machine with the GPU" in said
    assert not list(tmp_path.glob("out/gpu/data/*/*.npy"))
    said = run("benchmarks.gpu_study", "--file", file, "--pack", tmp_path / "study.tar.gz", env=bare)
    assert "of 2 tokenizers" in said or "the best" in said
    with tarfile.open(tmp_path / "study.tar.gz") as archive:
        names = archive.getnames()
    assert {"gpu/report/report.html", "gpu/runs/byte/gpt/seed0/result.json", "gpu/comparison.yaml"} <= set(
        names
    )
    assert not [name for name in names if "safetensors" in name or (name.endswith(".npy") and "data" in name)]

    comparison = parse(Comparison, [str(file)])
    assert finished(comparison) == comparison
    (tmp_path / "out/gpu/runs/bpe-300/gpt/seed1/result.json").unlink()
    assert finished(comparison).seeds == [0] and [*finished(comparison).specs] == ["byte", "bpe-300"]
    late = ["--seconds", "0.01", "--pack", tmp_path / "part.tar.gz"]  # too little time for the missing runs
    said = run("benchmarks.gpu_study", "--file", file, *late, env=bare)
    assert "not all runs finished: the report covers byte, bpe-300, seeds [0]" in said
    assert (tmp_path / "part.tar.gz").stat().st_size > 10_000
    (tmp_path / "out/gpu/runs/bpe-300/gpt/seed0/result.json").unlink()
    assert finished(comparison).seeds == [0, 1] and [*finished(comparison).specs] == ["byte"]
