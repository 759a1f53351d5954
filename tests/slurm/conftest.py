"""A real Slurm cluster, and training runs for its jobs."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from common.files import sha256_file
from training.checkpoint import newest_checkpoint
from training.tracking import read_metrics

from .toy import Toy, call, toy_cluster, wait_for

ROOT = Path(__file__).parents[2]
TIMES = "train_seconds val_seconds tokens_per_second chars_per_second mfu data_wait memory_gb".split()
SETUP = f"export PATH={sys.prefix}/bin:$PATH OMP_NUM_THREADS=1"
RUN = {
    "model": {"n_layer": 2, "n_head": 2, "n_embd": 32},
    "context": {"chars": 40},
    "batch": {"chars": 700},
    "budget": {"steps": 700},
    "execution": {"precision": "fp32"},
    "checkpoints": {"seconds": 1.0},
    "tracking": {"validations": 7, "val_chars": 500, "wandb": "disabled"},
}


@pytest.fixture(scope="session")
def toy() -> Iterator[Toy]:
    """The cluster, shared by all tests of a process."""
    with toy_cluster(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))) as toy:
        yield toy


@pytest.fixture(autouse=True)
def no_job_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test on the cluster begins with an empty queue and all nodes up."""
    yield
    if "toy" in request.fixturenames:
        call("scancel", "--user=root")
        wait_for(lambda: not call("squeue", "--noheader").stdout.strip(), "the end of all jobs")


class Run:
    """The folder of a run, for a job to train."""

    def __init__(self, folder: Path, data: Path, **options: object) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        config = {"data": str(data), "out": str(folder), **RUN, **options}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    def result(self) -> tuple[str, list[dict]]:
        """SHA-256 of the final weights, and the record without clock times."""
        path, state = newest_checkpoint(self.folder / "checkpoints")
        assert state["finished"]
        lines = read_metrics(self.folder / "metrics.jsonl")
        values = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
        return sha256_file(path / "model.safetensors"), values

    def step(self) -> int:
        """The last step in the record."""
        return max((line["step"] for line in read_metrics(self.folder / "metrics.jsonl")), default=0)


@pytest.fixture
def new_run(tiny_arrays: Callable[[str], Path], tmp_path: Path) -> Callable[..., Run]:
    """A function that creates a run, not yet started, in a folder of the given name."""
    return lambda name="run", **options: Run(tmp_path / name, tiny_arrays("bpe-300"), **options)


@pytest.fixture(scope="session")
def local_result(
    tiny_arrays: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict]]:
    """The result of the same run in two processes on this machine, without Slurm."""
    run = Run(tmp_path_factory.mktemp("local") / "run", tiny_arrays("bpe-300"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["train_ddp.py", f"--config={run.folder / 'config.yaml'}"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    return run.result()


class Job:
    """A submitted job."""

    def __init__(self, id_: str, log: Path) -> None:
        self.id, self.log = id_, log

    def get(self, name: str) -> str:
        """A field of `scontrol show job`."""
        text = call("scontrol", "--oneliner", "show", "job", self.id).stdout
        return re.search(rf"\b{name}=(\S+)", text)[1]

    def wait(self, *states: str) -> "Job":
        """Wait for one of `states`; fails if another final state comes first."""
        lasting = {"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", *states}
        try:
            wait_for(lambda: self.get("JobState") in lasting, f"job {self.id}")
        finally:
            state = self.get("JobState")
            assert state in states, f"{state}: {self.text()}"
        return self

    def ends(self) -> "Job":
        """Wait until it has completed."""
        return self.wait("COMPLETED")

    def trains(self, run: Run, step: int = 1) -> "Job":
        """Wait until its run has completed a step."""
        wait_for(lambda: run.step() >= step or self.get("JobState") == "FAILED", "the first step")
        assert run.step() >= step, self.text()
        return self

    def text(self) -> str:
        """Its output."""
        return self.log.read_text() if self.log.exists() else "no output"


@pytest.fixture
def sbatch(toy: Toy, tmp_path: Path) -> Callable[..., Job]:
    """A function that submits an unmodified script of slurm/ from the root of the repository."""
    environment = tmp_path / "environment.sh"
    environment.write_text(SETUP + "\n")

    def submit(*arguments: object) -> Job:
        log = tmp_path / "job-%j.log"
        command = ["sbatch", "--parsable", f"--output={log}", *map(str, arguments)]
        variables = {**os.environ, "CODEBOOK_ENVIRONMENT": str(environment)}
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return Job(done.stdout.strip(), tmp_path / f"job-{done.stdout.strip()}.log")

    return submit


class Compared:
    """A comparison on the cluster, run with compare.py."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.file, self.cluster, self.folder = (
            folder / "tiny.yaml",
            folder / "cluster.yaml",
            folder / "out/tiny",
        )
        self.content = {
            "name": "tiny",
            "corpus": {"source": f"jsonl:{source}", "val_fraction": 0.08, "test_fraction": 0.08},
            "tokenizers": ["byte", "bpe-300"],
            "models": {"gpt": {"model": RUN["model"]}},
            "seeds": [0],
            **{key: RUN[key] for key in ("context", "batch", "execution")},
            "tracking": {**RUN["tracking"], "validations": 2},
            "budget": {"steps": 60},
            "out": str(folder / "out"),
        }
        self.cluster_content = {"setup": SETUP, "train": {"nodes": "2", "gpus-per-node": "1"}}

    def call(
        self, command: str, *options: str, environment: dict[str, str] | None = None, checkout: Path = ROOT
    ) -> subprocess.CompletedProcess:
        """Run a command of a checkout's compare.py on the current content of the comparison."""
        self.file.write_text(yaml.safe_dump(self.content))
        self.cluster.write_text(yaml.safe_dump(self.cluster_content))
        if command in ("submit", "status"):
            options = (f"--cluster={self.cluster}", *options)
        words = [sys.executable, "compare.py", command, str(self.file), *options]
        variables = {**os.environ, **(environment or {})}
        return subprocess.run(words, cwd=checkout, env=variables, capture_output=True, text=True)

    def submit(self, **how: object) -> dict[str, str]:
        """Submit the missing jobs; returns the description of each submitted job by its id."""
        done = self.call("submit", **how)
        assert done.returncode == 0, done.stderr
        return dict(re.findall(r"^ +(\d+)  (.+)$", done.stdout, re.M))

    def status(self) -> str:
        """The output of `compare.py status`."""
        done = self.call("status")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ends(self) -> None:
        """Wait until none of its jobs is in the queue."""
        wait_for(lambda: not call("squeue", "--noheader").stdout.strip(), "the end of the jobs")


@pytest.fixture
def compared(toy: Toy, tiny_source: Path, tmp_path: Path) -> Compared:
    """A comparison of two tokenizers."""
    return Compared(tmp_path, tiny_source)
