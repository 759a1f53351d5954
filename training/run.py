"""Open a trained run: its configuration, its newest intact checkpoint and its arrays."""

import math
from dataclasses import dataclass
from pathlib import Path

from data_prep.arrays import TokenArrays
from model import LanguageModel, load_model

from .checkpoint import list_checkpoints, newest_checkpoint
from .config import TrainConfig, read_config
from .tracking import read_metrics

NONFINITE = "bad"  # folder of the weights before steps with a non-finite loss or gradient


@dataclass(frozen=True)
class TrainedRun:
    """A run with a checkpoint."""

    folder: Path
    config: TrainConfig
    checkpoint: Path
    """folder of its newest intact checkpoint"""
    state: dict
    """content of that checkpoint's state.json"""
    arrays: TokenArrays
    """the arrays that it was trained on"""

    def load_model(self, device: str = "cpu") -> LanguageModel:
        """The model with the weights of the checkpoint, in evaluation mode."""
        return load_model(self.checkpoint / "model.safetensors", device)


def open_run(folder: Path) -> TrainedRun:
    """Open the run in a folder.

    Raises:
        ValueError: there is no run, it has no intact checkpoint, or its arrays have changed since training.
    """
    config, found = read_config(folder), newest_checkpoint(folder / "checkpoints")
    if not found:
        raise ValueError(f"{folder} contains no checkpoint: train it with train_ddp.py")
    return TrainedRun(folder, config, *found, open_arrays(folder, config, found[1]))


def open_arrays(folder: Path, config: TrainConfig, state: dict) -> TokenArrays:
    """Open the arrays of the run in a folder; `state` is that of one of its checkpoints.

    Raises:
        ValueError: the arrays are not those that the run was trained on.
    """
    arrays = TokenArrays(config.data)
    if not arrays.fingerprints.items() <= state["identity"].items():
        raise ValueError(f"{config.data} has changed since {folder} was trained: train it again")
    return arrays


def final_val_bpc(folder: Path) -> float | None:
    """Bits per character of the last validation of a finished run; None if it is not finished.

    Infinite if the run ended because of a non-finite loss or gradient.
    """
    lines = read_metrics(folder / "metrics.jsonl")
    if lines and lines[-1]["progress"] == 1:
        return lines[-1].get("val_bpc")
    return math.inf if list_checkpoints(folder / NONFINITE) else None
