"""Every way to stop a run: all ranks stop after the same step, and the same command resumes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from common.files import read_json
from training.tracking import read_metrics

LONG = "--budget.steps=100000"


def ask(run, way: str, stop_file: Path) -> None:
    if way == "stop file":
        stop_file.touch()
    elif way == "Ctrl-C":  # a terminal sends it to torchrun and its processes, and torchrun forwards it
        os.killpg(run.process.pid, signal.SIGINT)
    elif way == "SIGKILL to torchrun":
        run.process.kill()
    elif way == "SIGTERM to torchrun":
        run.process.terminate()
    else:
        os.kill(run.ranks()[1], signal.SIGUSR2)


@pytest.mark.extended
def test_a_run_stopped_in_every_way_ends_as_one_never_stopped(new_run, whole, tmp_path):
    run, stop_file = new_run(), tmp_path / "stop"
    ways = ["SIGUSR2 to rank 1", "Ctrl-C", "SIGTERM to torchrun", "SIGKILL to torchrun", "stop file"]
    ways += ["max_seconds"]
    for number, way in enumerate(ways):
        options = ["--execution.max_seconds=0.001"] if way == "max_seconds" else []
        run.start(*options, processes=2, STOP_FILE=str(stop_file))
        if not options:
            run.wait_for_step(20 * number + 5)
            ranks = run.ranks()
            ask(run, way, stop_file)
        _, output = run.end()
        end = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in ranks):  # torchrun may exit before them
            assert time.monotonic() < end, f"{way}: a process is left behind"
            time.sleep(0.02)
        stopped = read_json(run.folder / "stopped.json")
        assert stopped and stopped["step"] == run.state()["step"] >= run.values()[-1]["step"], (way, output)
        assert output.count("codebook: ") == 1 and "stopped after step" in output, (way, output)
        stop_file.unlink(missing_ok=True)
    assert read_json(run.folder / "stopped.json")["why"] == "max_seconds 0.001"
    assert run.finish(processes=2).result() == whole.result()
    assert not (run.folder / "stopped.json").exists()


def test_the_exit_code_says_that_the_run_can_be_resumed(new_run):
    run = new_run().start(LONG).wait_for_step(100)
    run.process.send_signal(signal.SIGUSR2)
    code, output = run.end()
    assert code == 75
    assert "(SIGUSR2); the same command resumes" in output
    assert read_json(run.folder / "stopped.json")["why"] == "SIGUSR2"


def test_a_stop_before_the_first_step_is_not_lost(new_run):
    """Not even while torch is imported; there is nothing to save yet."""
    run = new_run().start(wrapper=("env",))  # a new Python process
    while b"libtorch" not in Path(f"/proc/{run.process.pid}/maps").read_bytes():
        time.sleep(0.001)
    run.process.terminate()
    assert run.end()[0] == 75
    assert read_json(run.folder / "stopped.json") == {"step": 0, "why": "SIGTERM"}
    assert not (run.folder / "checkpoints").exists() or not any((run.folder / "checkpoints").iterdir())


def test_a_ctrl_c_before_the_run_begins_exits_at_once(new_run):
    run = new_run().start(wrapper=("env",))
    while b"libtorch" not in Path(f"/proc/{run.process.pid}/maps").read_bytes():
        time.sleep(0.001)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(1) == 130


def test_a_second_ctrl_c_stops_at_once(new_run):
    """Here the first one waits for a step that never ends."""
    run = new_run().start(script=("tests/faults/sabotage.py", "still", "0", "20")).wait_for_step(15)
    time.sleep(1)
    run.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        run.process.wait(1.5)
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 130


@pytest.mark.extended
def test_a_run_stopped_on_four_ranks_resumes_on_two_and_on_one(new_run, whole):
    """The batches, their order and the learning rates are the same; losses are equal up to rounding."""
    run = new_run()
    for processes, step in ((4, 30), (2, 90)):
        run.start(processes=processes).wait_for_step(step)
        os.kill(run.ranks()[-1], signal.SIGTERM)
        run.end()
        assert step <= run.state()["step"] < 200
    run.finish()
    assert len(run.values()) == len(whole.values())
    for line, expected in zip(run.values(), whole.values(), strict=True):
        assert line == pytest.approx(expected, rel=2e-3)
        assert line["lr"] == expected["lr"]


@pytest.mark.extended
def test_only_one_run_can_write_to_a_folder(new_run):
    first = new_run().start(LONG).wait_for_step(5)
    second = new_run()
    code, output = second.start(LONG).end()
    assert code == 2
    assert f"is being written by process {first.process.pid} on" in output
    assert first.process.poll() is None
    first.process.kill()
    first.process.wait()
    lines = len(read_metrics(first.folder / "metrics.jsonl"))
    assert second.start(LONG, "--execution.max_seconds=0.1").end()[0] == 75  # a killed run holds no lock
    assert len(read_metrics(first.folder / "metrics.jsonl")) <= lines + 1
