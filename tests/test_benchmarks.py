"""The measurement of a training step runs on any machine, and says what it could not do."""

import json
import os
import subprocess
import sys


def run(*options):
    command = [sys.executable, "-m", "benchmarks.step", *map(str, options)]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=env, capture_output=True, text=True)


def test_a_step_is_measured_in_its_small_form_on_a_cpu(tmp_path):
    done = run("--vocabularies", 300, "--blocks", 1, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {
        f"ours_v_300_{what}" for what in ("tokens_per_s", "mfu_ratio", "memory_gb", "output_layer_share")
    }
    assert figures["ours_v_300_tokens_per_s"] > 0
    assert 0 < figures["ours_v_300_output_layer_share"] < 1
    assert 0.1 < figures["ours_v_300_memory_gb"] < 10
    assert "not measured: a GPU's figures, there is none here" in done.stdout
    assert "not measured: nanoGPT, its folder is not given" in done.stdout


def test_what_fails_is_named_with_its_reason_and_the_rest_goes_on(tmp_path):
    done = run("--vocabularies", 300, "--blocks", 1, "--nanogpt", tmp_path)
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("nanoGPT, V=300")]
    assert "not measured: FileNotFoundError" in line
    assert "ours, V=300" in done.stdout
