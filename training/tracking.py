"""metrics.jsonl, the record of a run, and wandb, a sink of it."""

import json
import os
import sys
import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from queue import SimpleQueue

from common.cli import plain
from common.files import read_json, write_file

from .config import read_config
from .wandb_runs import start_wandb, wandb_mode

PATIENCE = 10.0  # seconds that the end of a run waits for wandb
TAG = 64  # characters that wandb lets a tag have
AXES = ("step", "chars", "tokens", "flops", "train_seconds")  # what a chart may have below


class Tracker:
    """Appends a JSON object a line to metrics.jsonl, and sends it on to wandb where that is on.

    wandb is spoken to by a thread, which no step waits for.
    """

    def __init__(self, folder: Path, wandb: str, step: int) -> None:
        """Open the record of a run that is resumed after `step`; later lines are cut off, not doubled."""
        self.path = folder / "metrics.jsonl"
        lines = [json.dumps(m) for m in read_metrics(self.path) if m["step"] <= step]
        write_file(self.path, "".join(f"{line}\n" for line in lines))
        self.file = open(self.path, "a")
        self.waiting: SimpleQueue[dict | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._feed_wandb, args=(folder, wandb), daemon=True)
        self.thread.start()

    def log(self, metrics: dict) -> None:
        """Record one line; it has a `step`.

        Raises:
            OSError: it cannot be written; names the file.
        """
        try:
            self.file.write(json.dumps(metrics) + "\n")
            self.file.flush()
        except OSError as error:
            again = "mend that; the same command resumes from the last checkpoint"
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
            self._warn("wandb does not answer")

    @staticmethod
    def _warn(problem: str) -> None:
        print(f"codebook: {problem}: metrics.jsonl has what is missing there", file=sys.stderr)

    def _feed_wandb(self, folder: Path, wandb: str) -> None:
        try:
            # What an interrupted run has recorded may not have been sent; what is in both is sent once
            send(folder, wandb, chain(read_metrics(self.path), iter(self.waiting.get, None)))
        except Exception as error:  # whatever it is, it is no reason to lose a run
            self._warn(f"wandb failed ({error})")


def send(folder: Path, wandb: str, lines: Iterable[dict]) -> int:
    """Send the lines that are missing in the run's wandb run, until there are no more; returns how many."""
    if wandb_mode(wandb) == "disabled":
        return 0
    run, first = start_wandb(wandb, folder, **wandb_settings(folder))
    for axis in AXES:
        run.define_metric(axis)
    for name in ("train_bpc", "val_bpc"):
        run.define_metric(name, step_metric="chars", summary="min,last")
    sent = 0
    for metrics in lines:
        if metrics["step"] >= first:
            run.log(metrics, step=metrics["step"], commit=True)
            first, sent = metrics["step"] + 1, sent + 1
    run.finish()
    return sent


def wandb_settings(folder: Path) -> dict[str, object]:
    """The arguments of `wandb.init` for the training run in a folder, from its config.yaml and plan.json."""
    config, plan = read_config(folder), read_json(folder / "plan.json") or {}
    options = plain(config)
    del options["data"], options["out"], options["tracking"]["wandb"]  # of this machine, not of the run
    for name in ("device", "max_seconds", "timeout"):
        del options["execution"][name]
    model = config.model_name or plan["kind"]
    family = plan["tokenizer"].split("-")[0].split(":")[0]
    return {
        "job_type": "train",
        "group": config.group,
        "name": f"{plan['tokenizer']} {model} seed {config.seed}",
        "tags": [family, model[:TAG], f"seed {config.seed}"],
        "config": {**options, **plan, "model_name": model},
    }


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl; a last line that a killed run left unfinished is passed over."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
