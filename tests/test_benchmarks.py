"""The benchmark of a training step runs on any machine, and names what it could not measure."""

import json
import os
import subprocess
import sys

import pytest


def run(*options):
    command = [sys.executable, "-m", "benchmarks.step", *map(str, options)]
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.mark.extended
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
    assert "not measured: a GPU (there is none)" in done.stdout
    assert "not measured: nanoGPT (set --nanogpt to its folder)" in done.stdout


@pytest.mark.extended
def test_a_failure_is_named_with_its_reason_and_the_rest_is_measured(tmp_path):
    done = run("--vocabularies", 300, "--blocks", 1, "--nanogpt", tmp_path)
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("nanoGPT, V=300")]
    assert "not measured: FileNotFoundError" in line
    assert "ours, V=300" in done.stdout


def test_it_needs_only_the_packages_of_a_bare_gpu_machine():
    missing = ["jsonargparse", "datasets", "wandb", "rustbpe", "scipy"]
    script = f"import sys; sys.modules.update(dict.fromkeys({missing})); import benchmarks.step"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.extended
def test_documents_alone_are_measured_against_packed_ones(tmp_path):
    command = [sys.executable, "-m", "benchmarks.documents", "--rounds", "1"]
    done = subprocess.run([*command, "--json", tmp_path / "figures.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert sum(name.endswith("_alone_ratio") for name in figures) == 2


@pytest.mark.extended
def test_batches_of_random_crops_are_measured_against_the_plain_recipe(tmp_path):
    command = [sys.executable, "-m", "benchmarks.batches", "--rounds", "1", "--gigabytes", "0.02"]
    command += ["--batches", "20", "--reads", "5000", "--folder", tmp_path]
    done = subprocess.run([*command, "--json", tmp_path / "figures.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["5_000_crops_ours_growth_of_resident_memory_mb"] < 50
    assert figures["warm_processor_time_of_a_batch_ours_ratio"] < 1  # 0.3 on a quiet machine
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.extended
def test_claims_are_measured_in_a_small_form(tmp_path):
    """With meaningful numbers of repeats: tests/eval/test_statistics.py and test_ladder.py."""
    command = [sys.executable, "-m", "benchmarks.claims", "--repeats", "1"]
    done = subprocess.run([*command, "--json", tmp_path / "figures.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    wanted = "false_claims_max_share found_min_share coverage_min_share coverage_max_share "
    wanted += "best_size_coverage_min_share best_size_coverage_max_share best_size_bias_max_octaves"
    assert set(wanted.split()) <= set(figures)


@pytest.mark.extended
def test_interrupts_of_a_comparison_are_answered_and_change_nothing(tmp_path):
    command = [sys.executable, "-m", "benchmarks.interrupts", "--interrupts", "3", "--seed", "1"]
    done = subprocess.run([*command, "--json", tmp_path / "figures.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {"answer_to_a_ctrl_c_s", "slowest_answer_s"}
    assert "3 interrupts, " in done.stdout


@pytest.mark.extended
def test_published_tokenizers_are_compared_with_their_own_libraries(tmp_path):
    command = [sys.executable, "-m", "benchmarks.published", "--texts", "200", "--rounds", "1"]
    command += ["--only", "gpt3_encoder,bert_uncased,mistral_v1,clip"]
    command += ["--folder", tmp_path, "--json", tmp_path / "figures.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["gpt3_encoder_equal_texts"] == figures["bert_uncased_equal_texts"] == 200
    apart = figures["mistral_v1_with_u_2581_and_other_ids_texts"]
    assert figures["mistral_v1_equal_texts"] + apart == 200 and apart > 0
    assert figures["gpt3_encoder_lost_texts"] == figures["gpt3_encoder_lost_odd_texts"] == 0
    assert "| clip | other | refused: " in done.stdout
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.stdout == done.stdout  # results are kept


@pytest.mark.extended
def test_the_making_of_a_corpus_is_measured(tmp_path):
    rows = [{"text": f"some words of text {number} " * 500, "language": "en"} for number in range(200)]
    (tmp_path / "debian.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "benchmarks.prep", "--mb", "2", "--rounds", "1"]
    command += ["--folder", tmp_path, "--json", tmp_path / "figures.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    wanted = "parquet_one_process_one_core_mb_per_s jsonl_two_processes_to_one_ratio "
    wanted += "parquet_0_2_mb_peak_memory_of_a_process_mb contamination_one_core_mb_per_s"
    assert set(wanted.split()) <= set(figures)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "debian.jsonl", "figures.json"]
