"""Send the lines of a run's metrics.jsonl that wandb lacks.

python -m training.wandb_sync --run out/shakespeare/runs/bpe-2048/gpt/seed0
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.cli import run_command

from .lock import lock_folder
from .tracking import read_metrics, send
from .wandb_runs import remove_unsent, wandb_mode


@dataclass(frozen=True)
class Arguments:
    """Send wandb what is missing of a run."""

    run: Path
    """folder of the run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    wandb: Literal["auto", "offline", "online"] = "auto"
    """auto: online if there is a login, else offline, as one segment with everything not yet synced"""


def main(arguments: Arguments) -> None:
    """Send the missing lines of a run's metrics.jsonl, and print how many were sent."""
    folder = arguments.run
    if not (folder / "plan.json").exists():
        raise ValueError(f"{folder} contains no run: give the folder of a run, with its metrics.jsonl")
    mode = wandb_mode(arguments.wandb)
    if mode == "offline":
        with lock_folder(folder):  # not while the run is training
            remove_unsent(folder)
    lines = read_metrics(folder / "metrics.jsonl")
    print(f"{folder}: {send(folder, mode, lines)} of {len(lines)} lines sent, {mode}")


if __name__ == "__main__":
    run_command(main, Arguments, "Send the lines of a run's metrics.jsonl that wandb lacks.")
