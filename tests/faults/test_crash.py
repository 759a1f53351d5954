"""A run that is killed at any time, in any of its processes, any number of times, ends as one never killed.

`make test-faults` kills a hundred times, `make test-all` a few.
"""

import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.files import read_json
from training.checkpoint import newest_checkpoint
from training.tracking import read_metrics

from .conftest import PATIENCE, ROOT, Run

pytestmark = pytest.mark.extended

LONGER = ["--budget.steps=600"]


def kill(run: Run, whom: str) -> None:
    """Kill a rank, torchrun, or all of them, without a warning."""
    ranks = run.ranks()
    pids = {"rank 0": ranks[:1], "rank 1": ranks[1:2], "torchrun": [run.process.pid]}
    for pid in pids.get(whom, [run.process.pid, *ranks]):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)


def all_gone(run: Run, ranks: list[int]) -> float:
    """Seconds until all processes of the run have ended."""
    begun = time.monotonic()
    run.process.communicate(timeout=PATIENCE)
    while any(Path(f"/proc/{pid}").exists() for pid in ranks):
        assert time.monotonic() < begun + PATIENCE, "a process is left behind"
        time.sleep(0.02)
    return time.monotonic() - begun


def evaluate(run: Run, after: float | None = None) -> float | None:
    """Bits per character of the test split; or None if the evaluation is killed `after` some seconds."""
    command = [sys.executable, "-m", "eval.evaluate", f"--run={run.folder}"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if after is not None:
        time.sleep(after)
        process.kill()
        process.communicate()
        return None
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return read_json(run.folder / "result.json")["test_bpc"]


def train_seconds(run: Run) -> tuple[float, float]:
    """Seconds of training in the record and in the newest checkpoint."""
    lines = read_metrics(run.folder / "metrics.jsonl")
    found = newest_checkpoint(run.folder / "checkpoints", speak=False)
    return lines[-1]["train_seconds"] if lines else 0.0, found[1]["train_seconds"] if found else 0.0


def test_a_run_killed_at_random_times_ends_as_one_never_killed(new_run, request, capsys):
    draw = random.Random(0)
    crashes = request.config.getoption("crashes")
    begun = time.monotonic()
    whole = new_run("whole").start(*LONGER, processes=2).wait_for_step(1)
    startup = time.monotonic() - begun
    code, output = whole.end()
    assert code == 0, output
    expected = (*whole.result(), evaluate(whole))

    done, runs, lost, ends = 0, 0, [], []
    while done < crashes:
        run = new_run(f"run{runs}")
        while True:
            run.start(*LONGER, processes=2)
            # One in five while it starts, the others while it trains
            early, span = (0.0, startup) if draw.random() < 0.2 else (0.9 * startup, 4.0)
            when, whom = early + span * draw.random(), draw.choice(["all", "torchrun", "rank 0", "rank 1"])
            if done < crashes:
                try:
                    run.process.wait(when)
                except subprocess.TimeoutExpired:
                    ranks = run.ranks()
                    kill(run, whom)
                    ends.append(all_gone(run, ranks))
                    recorded, kept = train_seconds(run)
                    lost.append(max(0.0, recorded - kept))
                    done += 1
                    continue
            code, output = run.end()
            assert code == 0, output
            break
        if done < crashes:
            evaluate(run, after=startup * draw.random())
            done += 1
        assert (*run.result(), evaluate(run)) == expected, f"{run.folder} after {done} kills"
        runs += 1
    with capsys.disabled():
        print(
            f"\n{done} kills in {runs} runs; every run as one never killed. Seconds of training lost, median "
            f"{statistics.median(lost):.1f}, at most {max(lost):.1f}; until all processes were gone "
            f"{statistics.median(ends):.1f}, {max(ends):.1f}; from a start to the first step {startup:.1f}"
        )
