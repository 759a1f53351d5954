"""Non-finite losses and gradients: the step, rank and batch are named, and the run stops or skips them."""

import math
import subprocess
import sys

import pytest

from model import load_model
from training.tracking import read_metrics

from .conftest import ROOT, Run

DIVERGES = ["--optimizer.lr=1e30", "--optimizer.grad_clip=1e30", "--optimizer.warmup=0"]


def bad_loss(rank: int, step: int) -> dict:
    """Make the step-th loss of a rank NaN, once."""
    return {"script": ("tests/faults/sabotage.py", "nan", str(rank), str(step))}


def replay(run: Run, *options: str) -> str:
    command = [sys.executable, "-m", "training.replay", f"--run={run.folder}", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.extended
def test_the_step_rank_and_batch_are_named_and_the_weights_before_the_step_kept(new_run):
    run = new_run()
    code, output = run.start("--execution.micro_batch=9", processes=2, **bad_loss(rank=1, step=7)).end()
    assert code == 1
    (line,) = [line for line in output.splitlines() if line.startswith("codebook: ")]
    assert "the loss is nan at step 7 on rank 1 (batch 6 of seed 0)" in line
    assert f"python -m training.replay --run {run.folder}" in line
    assert "Traceback" not in line
    weights = load_model(run.folder / "bad" / "step-00000006" / "model.safetensors").parameters()
    assert all(parameter.isfinite().all() for parameter in weights)
    assert len(read_metrics(run.folder / "metrics.jsonl")) <= 6


def test_a_replay_shows_for_each_sequence_where_it_becomes_non_finite(new_run):
    run = new_run()
    code, output = run.start(*DIVERGES).end()
    assert code == 1 and "the loss is" in output
    text = replay(run)
    assert f"{run.folder}/bad/step-" in text and "non-finite in" in text
    table = text[text.index("\nsequence") :].splitlines()[2:-1]
    assert [int(line.split()[0]) for line in table] == list(range(18))
    assert all(line.split()[1] == "0" and not math.isfinite(float(line.split()[3])) for line in table)
    assert text.endswith("0 of 18 sequences are finite on their own\n")
    assert "has no saved non-finite step 999" in replay(run, "--step=999")


@pytest.mark.extended
def test_skip_skips_the_batch_and_reports_it(new_run):
    run = new_run()
    options = ["--execution.on_nonfinite=skip", "--execution.micro_batch=18"]
    code, output = run.start(*options, **bad_loss(rank=0, step=8)).end()
    assert code == 0, output
    assert "codebook: batch skipped: the loss is nan at step 8 on rank 0" in output
    lines, whole = run.values(), new_run("whole").finish("--execution.micro_batch=18").values()
    assert [line["step"] for line in lines] == [line["step"] for line in whole]
    assert [line for line in lines if line["step"] < 8] == [line for line in whole if line["step"] < 8]
    assert all(line["train_bpc"] is None for line in lines if line["step"] == 8)
    assert {line["skipped_steps"] for line in lines if line["step"] > 8} == {1}
    assert lines[-1]["val_bpc"] < lines[0]["train_bpc"] - 1
    assert lines[-1]["val_bpc"] != whole[-1]["val_bpc"]
    replayed = replay(run)
    assert "batch 7, 18 sequences" in replayed and "18 of 18 sequences are finite" in replayed


@pytest.mark.extended
def test_a_run_with_only_non_finite_losses_ends(new_run):
    options = ["--execution.on_nonfinite=skip", "--checkpoints.seconds=1000", *DIVERGES]
    code, output = new_run().start(*options).end()
    assert code == 1, output
    assert output.count("codebook: batch skipped: ") == 10


def test_gradients_too_large_for_fp16_are_not_an_error(new_run):
    run = new_run().finish("--execution.precision=fp16")
    assert {line["skipped_steps"] for line in run.values()} == {0}
