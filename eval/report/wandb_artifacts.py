"""The artifacts of a comparison in wandb, and the runs that make and use them.

    job type   uses                       makes
    prep       corpus                     corpus, tokenizers, arrays
    train      arrays                     checkpoint                    one of each training run
    eval       checkpoints                the table of all runs' scores
    report     checkpoints, tokenizers    results, and the report

Artifacts of data are manifests; those of checkpoints identify the weights by SHA-256. Use of artifacts can
only be declared to a server; offline, the eval run makes the checkpoints.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import fingerprint, read_json, write_json
from comparison import Comparison, RunSpec
from comparison.runs import counted_runs
from training.checkpoint import list_checkpoints
from training.tracking import read_metrics, send
from training.wandb_runs import remove_unsent, start_wandb

if TYPE_CHECKING:
    from wandb import Run

PATIENCE = 10  # seconds, for an artifact and for the end of a run
LONGEST = 128  # characters of an artifact's name


def bounded_wandb() -> None:
    """Limit each request of this process to a wandb server to about ten seconds, including retries."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # goes to the same server
    import wandb

    bounded = wandb.Settings(
        x_graphql_timeout_seconds=4,
        x_graphql_retry_max=2,
        x_graphql_retry_wait_min_seconds=0.5,
        x_graphql_retry_wait_max_seconds=1,
        x_file_transfer_timeout_seconds=5,
        x_file_transfer_retry_max=2,
        x_file_stream_timeout_seconds=5,
        x_file_stream_retry_max=2,
        finish_timeout=PATIENCE,
        finish_timeout_raises=True,
        silent=True,
    )
    wandb.setup(bounded)


@contextmanager
def ending(run: "Run") -> Iterator["Run"]:
    """Finish a run at the end of the block, as wandb's own `with` does, but print no traceback."""
    try:
        yield run
    except BaseException:
        with suppress(Exception):  # the first error says more
            run.finish(exit_code=1)
        raise
    run.finish()


class WandbLog:
    """The wandb runs of a comparison; `wandb/logged.json` in its folder records what was logged.

    `mode` is online or offline. Online becomes offline if no server answers at first; later failures raise
    the exceptions of wandb.
    """

    def __init__(self, comparison: Comparison, mode: str) -> None:
        self.comparison, self.folder, self.mode = comparison, comparison.folder, mode
        self.runs = counted_runs(comparison)
        self.tokenizers = list(comparison.specs)
        self.record = self.folder / "wandb" / "logged.json"
        self.logged: dict[str, list[str]] = read_json(self.record) or {}

    def once(self, name: str, content: object, log: Callable[[], None]) -> None:
        """Call `log`, unless the same content has been logged in this mode or online."""
        made_of = fingerprint(content)
        if self.logged.get(name) in ([self.mode, made_of], ["online", made_of]):
            return
        log()
        self.logged[name] = [self.mode, made_of]
        write_json(self.record, self.logged)

    @contextmanager
    def start(self, job: str, folder: Path) -> Iterator["Run"]:
        """The run of a job, which is logged as a whole; an unsent offline record of it is replaced."""
        remove_unsent(folder)
        name = self.comparison.name
        started, _ = start_wandb(self.mode, folder, job_type=job, group=name, name=f"{name} {job}")
        with ending(started) as run:
            self.mode = "offline" if run.offline else "online"
            yield run

    def make(self, run: "Run", kind: str, of: str, *paths: Path, **metadata: object) -> None:
        """Log an artifact of files and folders; equal content makes no new version."""
        import wandb

        artifact = wandb.Artifact(self.name(kind, of), kind, metadata=metadata)
        for path in paths:
            artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
        run.log_artifact(artifact)
        if not run.offline:
            artifact.wait(PATIENCE)  # raises errors that would otherwise only be in wandb's log

    def use(self, run: "Run", kind: str, *of: str) -> None:
        """Declare that a run uses artifacts."""
        if not run.offline:
            for one in of:
                run.use_artifact(f"{self.name(kind, one)}:latest")

    def name(self, kind: str, of: str) -> str:
        """The name of an artifact, unique among the comparisons of the project."""
        parts = [self.comparison.name, kind, of]
        return re.sub(r"[^\w.-]+", "-", "-".join(filter(None, parts)))[-LONGEST:]

    def run_name(self, run: RunSpec) -> str:
        """The name of a training run within names of artifacts."""
        return run.title.replace("/", "-")

    def data(self) -> None:
        """Log corpus, tokenizers and arrays."""
        corpus = self.folder / "corpus" / "manifest.json"
        data = {name: self.folder / "data" / name / "manifest.json" for name in self.tokenizers}

        def log() -> None:
            with self.start("prep", self.folder / "wandb" / "prep") as run:
                self.make(run, "corpus", "", corpus)
                self.use(run, "corpus", "")
                for name, manifest in data.items():
                    self.make(run, "tokenizer", name, manifest.with_name("tokenizer"))
                    self.make(run, "arrays", name, manifest)

        self.once("prep", [read_json(manifest) for manifest in (corpus, *data.values())], log)

    def checkpoints(self) -> None:
        """Log the checkpoint and the test score with every training run."""
        for run in self.runs:
            result = _result(run)
            self.once(self.run_name(run), result, partial(self._complete, run, result))

    def _complete(self, trained: RunSpec, result: dict) -> None:
        """Send the missing metrics of a training run to wandb, and then its checkpoint and score."""
        import wandb

        def record() -> Iterator[dict]:
            yield from read_metrics(trained.folder / "metrics.jsonl")
            assert wandb.run is not None  # `send` has started it
            with ending(wandb.run) as run:
                if run.offline:
                    raise ConnectionError("the server answers no more")
                # A run by itself knows only the spec
                run.name = f"{trained.tokenizer} {trained.model} seed {trained.seed}"
                named = {"tokenizer": trained.tokenizer, "spec": trained.spec}
                run.config.update(named, allow_val_change=True)
                self.use(run, "arrays", trained.tokenizer)
                self.make_checkpoint(run, trained, result)
                run.summary.update({key: result[key] for key in ("test_bpc", "test_bpb")})

        send(trained.folder, "online", record())

    def make_checkpoint(self, run: "Run", trained: RunSpec, result: dict) -> None:
        """Log the checkpoint that was evaluated, without its weights."""
        folder = trained.folder
        files = result["made_from"]["checkpoint"]
        found = [path for path, state in list_checkpoints(folder / "checkpoints") if state["files"] == files]
        paths = [*(path / "state.json" for path in found[:1]), folder / "plan.json", folder / "config.yaml"]
        weights = files["model.safetensors"]
        self.make(run, "checkpoint", self.run_name(trained), *paths, weights_sha256=weights)

    def results(self, results: dict) -> None:
        """Log the scores of all runs as a table."""
        rows = results["runs"]

        def log() -> None:
            import wandb

            with self.start("eval", self.folder / "wandb" / "eval") as run:
                self.use(run, "checkpoint", *map(self.run_name, self.runs))
                if run.offline:
                    for trained in self.runs:
                        self.make_checkpoint(run, trained, _result(trained))
                run.log({"results": wandb.Table(list(rows[0]), [list(row.values()) for row in rows])})

        self.once("eval", rows, log)


def _result(run: RunSpec) -> dict:
    """The result of a run, which exists because the report is made from it."""
    return json.loads((run.folder / "result.json").read_text())
