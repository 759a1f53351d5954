"""A program of ours in a process of its own, as a fork of one that has imported what it needs.

Hundreds of tests start the trainer, and to import torch takes longer than their runs. Where the start itself
matters, a test starts Python.
"""

import importlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

from training import stop

ROOT = Path(__file__).parents[1]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["train_ddp", "torch._dynamo"])  # the latter is what optimizers import


class Program:
    """A process with what tests ask of `subprocess.Popen`; its output lies in one file, as in a terminal."""

    def __init__(self, words: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        """Start what `python WORDS` does, from the root of the repository, in this or another environment."""
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        arguments = (words, log, environment or dict(os.environ))
        self._process = FORKS.Process(target=_run, args=arguments, daemon=True)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, once it has ended."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self._log), timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Its output, when it has ended."""
        self.wait(timeout)
        return self._log.read_text(), None


def _run(words: list[str], log: Path, environment: dict[str, str]) -> None:
    with open(log, "ab") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    importlib.reload(stop)  # its clock begins here
    for number in stop.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # the platform's
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
