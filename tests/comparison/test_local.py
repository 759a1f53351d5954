"""Jobs on this machine: order, remaining time, and stopping."""

import sys
import time
from pathlib import Path

import pytest

from comparison.estimate import makespan
from comparison.local import Job, duration, run_jobs, time_left


class Sleep(Job):
    """Sleeps, and reports its progress."""

    def __init__(self, name: str, folder: Path, seconds: float, far: float = 0.0) -> None:
        code = f"import time; time.sleep({seconds})"
        super().__init__(name, "sleep", folder / f"{name}.log", [sys.executable, "-c", code])
        self.far = far

    def share(self) -> float:
        return self.far

    def result(self) -> str:
        return f"{self.title} has slept"


def test_jobs_run_in_order_one_per_environment(tmp_path, capsys):
    jobs = [Sleep(name, tmp_path, 0.5) for name in "abcd"]
    began = time.monotonic()
    run_jobs(jobs, [{}, {}])
    assert time.monotonic() - began >= 1.0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  (")[0] for line in lines] == [f"{name} has slept" for name in "abcd"]
    assert "(1/4, about " in lines[0]


def test_a_failed_command_stops_the_others_and_its_last_line_is_reported(tmp_path):
    failing = Job(
        "bad", "bad", tmp_path / "bad.log", [sys.executable, "-c", "import sys; sys.exit('codebook: no')"]
    )
    slow = Sleep("slow", tmp_path, 60)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"^bad failed: no \(.*bad\.log\)$"):
        run_jobs([slow, failing], [{}, {}])
    assert time.monotonic() - began < 30
    assert slow.process and slow.process.poll() is not None


def test_the_time_left_is_empty_while_it_is_unknown(tmp_path):
    job = Sleep("a", tmp_path, 1)
    job.started = time.monotonic()
    assert time_left([Sleep("b", tmp_path, 1)], [job], [], at_once=2) == ""


def test_the_time_left_is_estimated_from_jobs_of_the_same_kind(tmp_path):
    waiting = [Sleep(name, tmp_path, 1) for name in "abcd"]
    assert time_left(waiting, [], [("sleep", 30.0), ("other", 900.0)], at_once=2) == "about 60 s left"


def test_the_time_left_is_estimated_from_the_progress_of_running_and_resumed_jobs(tmp_path):
    job = Sleep("a", tmp_path, 1, far=0.75)
    job.started, job.share_at_start = time.monotonic() - 25, 0.5
    assert time_left([], [job], [], at_once=1) == "about 25 s left"  # a quarter took 25 s


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.2, "4 s"), (99, "99 s"), (600, "10 min"), (5999, "100 min"), (12_600, "3.5 h")]
)
def test_a_duration_in_words(seconds, words):
    assert duration(seconds) == words


def test_makespan_is_the_end_of_the_last_job():
    assert makespan([3.0, 1.0, 1.0, 4.0], at_once=2) == 6.0
    assert makespan([], at_once=3) == 0.0
