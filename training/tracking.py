"""Record the metrics of a run in metrics.jsonl, and send them to wandb."""

import json
import os
import sys
import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from common.cli import plain
from common.files import read_json, write_file

from .config import read_config
from .wandb_runs import start_wandb, wandb_mode

PATIENCE = 10.0  # seconds to wait for wandb at the end of a run
TAG = 64  # wandb's limit for the length of a tag, in characters
AXES = ("step", "chars", "tokens", "flops", "train_seconds")  # possible x axes of a chart


class Tracker:
    """Appends one JSON object per line to metrics.jsonl, and sends it to wandb if that is enabled.

    A thread sends to wandb, so no step waits for it.
    """

    def __init__(self, folder: Path, wandb: str, step: int) -> None:
        """Open the record of a run that resumes after `step`; lines of later steps are removed."""
        self.path = folder / "metrics.jsonl"
        lines = [json.dumps(m) for m in read_metrics(self.path) if m["step"] <= step]
        write_file(self.path, "".join(f"{line}\n" for line in lines))
        self.file = open(self.path, "a")
        self.waiting: SimpleQueue[dict | None] = SimpleQueue()
        # Not in the thread: while a YAML file is read, the current folder is another
        settings = wandb_settings(folder) if wandb_mode(wandb) != "disabled" else None
        self.thread = threading.Thread(target=self._feed_wandb, args=(folder, wandb, settings), daemon=True)
        self.thread.start()

    def log(self, metrics: dict) -> None:
        """Record one line of metrics, which must have a `step`.

        Raises:
            OSError: the line cannot be written; names the file.
        """
        try:
            self.file.write(json.dumps(metrics) + "\n")
            self.file.flush()
        except OSError as error:
            again = "fix this; the same command resumes from the last checkpoint"
            raise OSError(f"{self.path} could not be written ({error.strerror}): {again}") from error
        self.waiting.put(metrics)

    def sync(self) -> None:
        """Flush all lines so far to the disk."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the record, and wait up to `PATIENCE` seconds for wandb."""
        self.file.close()
        self.waiting.put(None)
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            self._warn("wandb does not respond")

    @staticmethod
    def _warn(problem: str) -> None:
        print(f"codebook: {problem}: metrics.jsonl has the complete record", file=sys.stderr)

    def _feed_wandb(self, folder: Path, wandb: str, settings: dict[str, Any] | None) -> None:
        try:
            # An interrupted run may have left lines unsent. A line that comes from both is sent once
            send(folder, wandb, chain(read_metrics(self.path), iter(self.waiting.get, None)), settings)
        except Exception as error:  # no failure of wandb may end a run
            self._warn(f"wandb failed ({error})")


def send(folder: Path, wandb: str, lines: Iterable[dict], settings: dict[str, Any] | None = None) -> int:
    """Send the lines that the wandb run lacks, until `lines` ends; returns the number of lines sent.

    `settings` are those of `wandb_settings` (default: they are read from the folder).
    """
    if wandb_mode(wandb) == "disabled":
        return 0
    run, first = start_wandb(wandb, folder, **(settings or wandb_settings(folder)))
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


def wandb_settings(folder: Path) -> dict[str, Any]:
    """The arguments of `wandb.init` for the run in a folder, from its config.yaml and plan.json."""
    config, plan = read_config(folder), read_json(folder / "plan.json") or {}
    options = plain(config)
    del options["data"], options["out"], options["tracking"]["wandb"]  # specific to this machine
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
    """The lines of a metrics.jsonl; an incomplete last line, left by a killed run, is ignored."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
