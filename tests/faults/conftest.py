"""Runs of the trainer that are interrupted or damaged."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.files import sha256_file
from training.checkpoint import newest_checkpoint
from training.tracking import read_metrics

from ..program import Program

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
SMALL = """--model.n_layer 2 --model.n_embd 32 --context.chars 40 --batch.chars 700 --budget.steps 200
  --tracking.validations 3 --tracking.val_chars 500
  --execution.precision fp32 --tracking.wandb disabled --checkpoints.seconds 0.2""".split()
TIMES = "train_seconds val_seconds tokens_per_second chars_per_second mfu data_wait memory_gb".split()
PATIENCE = 300  # seconds until a test fails because something hangs


class Run:
    """The folder of a run, and the processes that train it."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.process: subprocess.Popen | Program | None = None

    def command(self, *options: str, script: tuple[str, ...] = ("train_ddp.py",)) -> list[str]:
        """The command for one process; later options take precedence."""
        return [sys.executable, *script, f"--data={self.data}", f"--out={self.folder}", *SMALL, *options]

    def start(
        self,
        *options: str,
        processes: int = 1,
        restarts: int = 0,
        script: tuple[str, ...] = ("train_ddp.py",),
        wrapper: tuple[str, ...] = (),
        **environment: str,
    ) -> "Run":
        """Start or restart the run, with one process or under torchrun."""
        command = self.command(*options, script=script)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        if processes == 1 and script == ("train_ddp.py",) and not wrapper:
            self.process = Program(command[1:], self.folder.with_suffix(".log"), environment)
            return self
        if processes > 1:
            launcher = [*TORCHRUN, f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
            command = [*launcher, *command[1:]]
        self.process = subprocess.Popen(
            [*wrapper, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def end(self) -> tuple[int, str]:
        """Wait for the end; returns the exit code and the output."""
        output, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, output

    def finish(self, *options: str, **more: object) -> "Run":
        """Run to the end, without an error."""
        code, output = self.start(*options, **more).end()
        assert code == 0, output
        return self

    def ranks(self) -> list[int]:
        """The process ids of the ranks under torchrun, in order."""
        pid = self.process.pid
        try:
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def wait_for_step(self, step: int) -> "Run":
        """Wait until metrics.jsonl has that step."""
        end = time.monotonic() + PATIENCE
        while not any(line["step"] >= step for line in read_metrics(self.folder / "metrics.jsonl")):
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < end, "no step is completed"
            time.sleep(0.02)
        return self

    def state(self) -> dict:
        """The state in the newest checkpoint."""
        return newest_checkpoint(self.folder / "checkpoints")[1]

    def values(self) -> list[dict]:
        """The lines of metrics.jsonl without clock times."""
        lines = read_metrics(self.folder / "metrics.jsonl")
        return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]

    def result(self) -> tuple[str, list[dict]]:
        """SHA-256 of the final weights, and the record."""
        path, state = newest_checkpoint(self.folder / "checkpoints")
        assert state["finished"]
        return sha256_file(path / "model.safetensors"), self.values()


@pytest.fixture
def new_run(tiny_arrays: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Run]:
    """A function that creates a run, not yet started, in a folder of the given name."""
    made = []

    def make(name: str = "run", data: Path | None = None) -> Run:
        made.append(Run(tmp_path / name, data or tiny_arrays("bpe-300")))
        return made[-1]

    yield make
    for run in made:
        if run.process and run.process.poll() is None:
            for pid in (*run.ranks(), run.process.pid):
                os.kill(pid, 9)
            run.process.communicate()


@pytest.fixture(scope="session")
def whole(tiny_arrays: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An undisturbed run of two processes."""
    return Run(tmp_path_factory.mktemp("whole") / "run", tiny_arrays("bpe-300")).finish(processes=2)
