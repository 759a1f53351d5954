"""Opening a trained run: its configuration, its newest intact checkpoint and its arrays."""

import re
import shutil
from pathlib import Path

import pytest

from training.run import final_val_bpc, open_run


@pytest.fixture(scope="module")
def trained(tiny_arrays, run_python, tmp_path_factory) -> Path:
    """A run of a few steps, and the folder of its arrays beside it."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(tiny_arrays("byte"), folder / "data")
    options = "--context.chars 40 --batch.chars 700 --budget.steps 4 --tracking.validations 1"
    options += " --tracking.wandb disabled --model.n_layer 1 --model.n_embd 16 --model.n_head 2"
    paths = "--data", folder / "data", "--out", folder / "run"
    done = run_python("train_ddp.py", *paths, *options.split(), "--checkpoints.seconds", "0.001")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_opened_at_its_newest_intact_checkpoint(trained, run):
    opened = open_run(run)
    assert opened.state["step"] == 4 and opened.state["finished"]
    assert opened.config.data == opened.arrays.folder == trained / "data"
    assert opened.load_model().block_size > 1
    checkpoints = sorted((run / "checkpoints").iterdir())
    checkpoints[-1].rename(checkpoints[-1].with_name("a"))  # folder names are not trusted
    assert open_run(run).state["step"] == 4
    (run / "checkpoints" / "a" / "model.safetensors").write_bytes(b"damaged")
    if len(checkpoints) > 1:
        assert open_run(run).state["step"] < 4


def test_a_folder_that_is_not_a_run_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="nowhere contains no run"):
        open_run(Path("nowhere"))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ValueError, match=re.escape(f"{run} contains no checkpoint: train it")):
        open_run(run)


def test_a_run_whose_arrays_have_changed_is_refused(run, tiny_arrays):
    config = run / "config.yaml"
    config.write_text(re.sub("data: .*", f"data: {tiny_arrays('char')}", config.read_text()))
    with pytest.raises(ValueError, match=r"char has changed since .*run was trained: train it again"):
        open_run(run)


def test_the_configuration_of_an_earlier_version_is_refused_in_one_line(run):
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("execution:\n", "precision: fp32\nexecution:\n"))
    with pytest.raises(ValueError, match=r"did you mean 'execution\.precision'") as caught:
        open_run(run)
    assert "\n" not in str(caught.value)


def test_the_last_validation_counts_only_once_the_run_is_finished(run):
    assert 0 < final_val_bpc(run) < 20
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert final_val_bpc(run) is None
