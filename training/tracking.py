"""metrics.jsonl, the record of a run, and wandb, a sink of it."""

import json
import os
import sys
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from publish import write_file

from .config import TrainConfig

PATIENCE = 10.0  # seconds that the end of a run waits for wandb


class Tracker:
    """Appends a JSON object a line to metrics.jsonl, and sends it on to wandb where that is on.

    wandb is spoken to by a thread, which no step waits for.
    """

    def __init__(self, config: TrainConfig, tokenizer: str, step: int) -> None:
        """Open the record of a run that goes on after `step`; later lines are cut off, not doubled."""
        self.path = config.out / "metrics.jsonl"
        self.file: IO[str] | None = None
        self.go_back(step)
        self.waiting: SimpleQueue[dict | None] = SimpleQueue()
        kind = config.model.kind
        settings = {
            "job_type": "train",
            "group": config.group,
            "name": f"{tokenizer} {kind} seed {config.seed}",
            "tags": [tokenizer.split("-")[0], kind],
            "config": {"tokenizer": tokenizer, **config.identity()},
        }
        self.thread = threading.Thread(
            target=self._feed_wandb, args=(config.wandb, config.out, settings), daemon=True
        )
        self.thread.start()

    def go_back(self, step: int) -> None:
        """Cut off what was recorded after `step`."""
        if self.file:
            self.file.close()
        lines = [json.dumps(m) for m in read_metrics(self.path) if m["step"] <= step]
        write_file(self.path, "".join(f"{line}\n" for line in lines))
        self.file = open(self.path, "a")

    def log(self, metrics: dict) -> None:
        """Record one line; it has a `step`.

        Raises:
            OSError: it cannot be written; names the file.
        """
        try:
            self.file.write(json.dumps(metrics) + "\n")
            self.file.flush()
        except OSError as error:
            again = "mend that; the same command goes on from the last checkpoint"
            raise OSError(f"{self.path} could not be written ({error.strerror}): {again}") from error
        self.waiting.put(metrics)

    def sync(self) -> None:
        """Return when the lines so far are on the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """End the record."""
        self.file.close()
        self.waiting.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            print("codebook: wandb does not answer: metrics.jsonl has what it has not got", file=sys.stderr)

    def _feed_wandb(self, mode: str, folder: Path, settings: dict) -> None:
        try:
            run = start_wandb(mode, folder, **settings)
            while metrics := self.waiting.get():
                if run:
                    run.log(metrics, step=metrics["step"])
            if run:
                run.finish()
        except Exception as error:  # whatever it is, it is no reason to lose a run
            print(f"codebook: wandb failed ({error}): metrics.jsonl has what it has not got", file=sys.stderr)


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl; a last line that a killed run left unfinished is passed over."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def start_wandb(mode: str, folder: Path, **settings: object) -> object | None:
    """A wandb run that writes below `folder/wandb`, or None when the mode is disabled.

    `settings` are those of `wandb.init`. A server that cannot be reached makes the run an offline one.
    """
    if mode == "disabled":
        return None
    os.environ.setdefault("WANDB_DIR", str(folder))
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # by default in the home folder
        os.environ.setdefault(variable, str(folder / "wandb"))
    import wandb

    quiet = wandb.Settings(silent=True, console="off", init_timeout=10)
    try:
        return wandb.init(project="codebook", mode=mode, settings=quiet, **settings)
    except wandb.Error as error:
        print(f"codebook: wandb is not reached ({error}): this run is recorded offline")
        return wandb.init(project="codebook", mode="offline", settings=quiet, **settings)
