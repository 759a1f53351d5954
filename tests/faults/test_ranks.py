"""A rank that exits, hangs or diverges from the others: these end promptly, and one of them names it."""

import os
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.extended

LONG = "--budget.steps=100000"


def told(rank: int, port: int) -> dict[str, str]:
    """The environment of one of two ranks that are not started by torchrun."""
    return {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def runs(pid: int) -> bool:
    """True if a process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("codebook: ")]


def test_torchrun_restarts_a_killed_rank_and_the_run_ends_as_one_never_killed(new_run, whole):
    run = new_run().start(processes=2, restarts=1).wait_for_step(60)
    os.kill(run.ranks()[0], signal.SIGKILL)
    code, output = run.end()
    assert code == 0, output
    assert [line.split(" (")[0] for line in lines(output)] == ["codebook: rank 0 of 2 has exited or hangs"]
    assert run.result() == whole.result()


def test_a_rank_that_is_stopped_is_named(new_run):
    """A stopped process does not close its connections."""
    run = new_run().start(LONG, "--execution.timeout=20", processes=3).wait_for_step(20)
    *others, last = run.ranks()
    os.kill(last, signal.SIGSTOP)
    end = time.monotonic() + 60
    while any(runs(pid) for pid in others):
        assert time.monotonic() < end, "no rank has noticed"
        time.sleep(0.1)
    os.kill(last, signal.SIGKILL)  # as torchrun does after 30 seconds
    code, output = run.end()
    assert code == 1
    (line,) = lines(output)
    assert line.startswith("codebook: rank 2 of 3 has exited or hangs (in step ")


def test_a_rank_that_waits_for_its_data_is_named(new_run):
    run = new_run().start(
        LONG, "--execution.timeout=6", processes=2, script=("tests/faults/sabotage.py", "still", "1", "30")
    )
    code, output = run.end()
    assert code == 1
    (line,) = lines(output)
    assert "rank 1" in line and "reading its batch" in line


def test_ranks_whose_weights_drift_apart_are_detected(new_run):
    script = ("tests/faults/sabotage.py", "drift", "1", "50")
    code, output = new_run().start(processes=2, script=script).end()
    assert code == 1
    (line,) = lines(output)
    assert "after step 100 the weights of rank 1 differ from those of rank 0" in line


def test_a_rank_that_fails_says_why_and_the_others_are_silent(new_run, tmp_path):
    """Here the main rank, which cannot write."""
    run = new_run().start(LONG, processes=2).wait_for_step(20)
    (run.folder / "checkpoints").rename(tmp_path / "away")
    (run.folder / "checkpoints").write_text("no folder")
    code, output = run.end()
    assert code == 1  # torchrun's exit code
    (line,) = lines(output)
    assert "checkpoints: the checkpoint of step" in line and "could not be written" in line


def test_a_rank_that_never_connects_ends_the_others(new_run):
    code, output = new_run().start(LONG, "--execution.timeout=6", **told(0, 29611)).end()
    assert code == 1
    (line,) = lines(output)
    assert "rank 0: the other ranks did not connect" in line


def test_ranks_can_be_started_without_torchrun(new_run, whole):
    runs = [new_run().start(**told(rank, 29612)) for rank in (0, 1)]
    for run in runs:
        code, output = run.end()
        assert code == 0, output
    assert runs[0].result() == whole.result()


def test_the_host_of_the_store_is_named_when_it_has_exited(new_run):
    runs = [new_run().start(LONG, **told(rank, 29613)) for rank in (0, 1)]
    runs[0].wait_for_step(20).process.kill()
    code, output = runs[1].end()
    assert code == 1
    (line,) = lines(output)
    assert "rank 0, or the torchrun that started it, has exited" in line
