"""metrics.jsonl, the record of a run, and wandb, a sink of it."""

import json
import os
from pathlib import Path
from typing import IO

from publish import write_file

from .config import TrainConfig


class Tracker:
    """Appends a JSON object a line to metrics.jsonl, and sends it on to wandb where that is on."""

    def __init__(self, config: TrainConfig, tokenizer: str, step: int) -> None:
        """Open the record of a run that goes on after `step`; later lines are cut off, not doubled."""
        path = config.out / "metrics.jsonl"
        write_file(path, "".join(json.dumps(m) + "\n" for m in read_metrics(path) if m["step"] <= step))
        self.file: IO[str] = open(path, "a")
        kind = config.model.kind
        self.wandb_run = start_wandb(
            config.wandb,
            config.out,
            job_type="train",
            group=config.group,
            name=f"{tokenizer} {kind} seed {config.seed}",
            tags=[tokenizer.split("-")[0], kind],
            config={"tokenizer": tokenizer, **config.identity()},
        )

    def log(self, metrics: dict) -> None:
        """Record one line; it has a `step`."""
        self.file.write(json.dumps(metrics) + "\n")
        self.file.flush()
        if self.wandb_run:
            self.wandb_run.log(metrics, step=metrics["step"])

    def close(self) -> None:
        """End the record."""
        self.file.close()
        if self.wandb_run:
            self.wandb_run.finish()


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
