"""metrics.jsonl, the record of a run, and wandb, a sink of it.

    python -m training.tracking replay out/shakespeare/runs/bpe-2048/gpt/seed0

gives wandb what it has not got of a run: all of it, if need be.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Literal

import yaml

from command_line import run_command
from publish import read_json, write_file

from .lock import hold
from .wandb_runs import offline_segments, start_wandb, wandb_mode

PATIENCE = 10.0  # seconds that the end of a run waits for wandb
TAG = 64  # characters that wandb lets a tag have
AXES = ("step", "chars", "tokens", "flops", "train_seconds")  # what a chart may have below


class Tracker:
    """Appends a JSON object a line to metrics.jsonl, and sends it on to wandb where that is on.

    wandb is spoken to by a thread, which no step waits for.
    """

    def __init__(self, folder: Path, wandb: str, step: int) -> None:
        """Open the record of a run that goes on after `step`; later lines are cut off, not doubled."""
        self.path = folder / "metrics.jsonl"
        self.file: IO[str] | None = None
        self.go_back(step)
        self.waiting: SimpleQueue[dict | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._feed_wandb, args=(folder, wandb), daemon=True)
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

    def _feed_wandb(self, folder: Path, wandb: str) -> None:
        try:
            # What an interrupted run has recorded may not have been sent; what is in both is sent once
            send(folder, wandb, chain(read_metrics(self.path), iter(self.waiting.get, None)))
        except Exception as error:  # whatever it is, it is no reason to lose a run
            print(f"codebook: wandb failed ({error}): metrics.jsonl has what it has not got", file=sys.stderr)


def send(folder: Path, wandb: str, lines: Iterable[dict]) -> int:
    """Send those lines that the run's wandb run has not got, until there are no more; returns how many."""
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
    """What `wandb.init` is told of the training run in a folder, from its config.yaml and plan.json."""
    config, plan = yaml.safe_load((folder / "config.yaml").read_text()), read_json(folder / "plan.json")
    here = ("data", "out", "wandb", "device", "max_seconds", "timeout")  # of this machine, not of the run
    tokenizer, seed = plan["tokenizer"], config["seed"]
    model = config.get("model_name") or plan["kind"]
    return {
        "job_type": "train",
        "group": config["group"],
        "name": f"{tokenizer} {model} seed {seed}",
        "tags": [tokenizer.split("-")[0].split(":")[0], model[:TAG], f"seed {seed}"],
        "config": {**{k: v for k, v in config.items() if k not in here}, **plan, "model_name": model},
    }


def read_metrics(path: Path) -> list[dict]:
    """The lines of a metrics.jsonl; a last line that a killed run left unfinished is passed over."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


@dataclass(frozen=True)
class Replay:
    """Give wandb what it has not got of a run."""

    run: Path
    """folder of the run"""
    wandb: Literal["auto", "offline", "online"] = "auto"
    """auto: online where there is a login, else offline, as one segment that holds all that was not synced"""


def replay(arguments: Replay) -> None:
    """Send a run's metrics.jsonl, or what is missing of it, and say how much that was."""
    folder = arguments.run
    if not (folder / "plan.json").exists():
        raise ValueError(f"{folder} holds no run: give the folder of one, with its metrics.jsonl")
    mode = wandb_mode(arguments.wandb)
    if mode == "offline":
        with hold(folder):  # not while it is being written
            for segment in offline_segments(folder):
                if not segment.with_name(segment.name + ".synced").exists():
                    shutil.rmtree(segment.parent)
    lines = read_metrics(folder / "metrics.jsonl")
    print(f"{folder}: {send(folder, mode, lines)} of {len(lines)} lines sent, {mode}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"] and sys.argv[2:3]:
        sys.argv[1:3] = [f"--run={sys.argv[2]}"]
    run_command(replay, Replay, "Give wandb what it has not got of a run.")
