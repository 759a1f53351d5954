"""A run that was trained, opened: its configuration, its newest intact checkpoint, its arrays."""

import math
from dataclasses import dataclass
from pathlib import Path

from data_prep.arrays import TokenArrays
from model import LanguageModel, load_model

from .checkpoint import list_checkpoints, newest_checkpoint
from .config import TrainConfig, read_config
from .tracking import read_metrics

NONFINITE = "bad"  # folder of the batches whose loss or gradients were not finite


@dataclass(frozen=True)
class TrainedRun:
    """A run with a checkpoint."""

    folder: Path
    config: TrainConfig
    checkpoint: Path
    """folder of its newest intact checkpoint"""
    state: dict
    """the content of that checkpoint's state.json"""
    arrays: TokenArrays
    """those that it was trained on"""

    def load_model(self, device: str = "cpu") -> LanguageModel:
        """Its model with the weights of the checkpoint, in evaluation mode."""
        return load_model(self.checkpoint / "model.safetensors", device)


def open_run(folder: Path) -> TrainedRun:
    """The run in a folder.

    Raises:
        ValueError: there is none, it has no intact checkpoint, or its arrays are not those it was trained on.
    """
    config, found = read_config(folder), newest_checkpoint(folder / "checkpoints")
    if not found:
        raise ValueError(f"{folder} holds no checkpoint: train it with train_ddp.py")
    return TrainedRun(folder, config, *found, open_arrays(folder, config, found[1]))


def open_arrays(folder: Path, config: TrainConfig, state: dict) -> TokenArrays:
    """The arrays of the run in a folder, a checkpoint of which has this state.

    Raises:
        ValueError: they are not those it was trained on.
    """
    arrays = TokenArrays(config.data)
    if not arrays.fingerprints.items() <= state["identity"].items():
        raise ValueError(f"{config.data} was made again after {folder} was trained: train it again")
    return arrays


def final_val_bpc(folder: Path) -> float | None:
    """Bits per character of the last validation of a finished run; None: it is not finished.

    Infinite where the run ended because its loss or its gradients were not finite.
    """
    lines = read_metrics(folder / "metrics.jsonl")
    if lines and lines[-1]["progress"] == 1:
        return lines[-1].get("val_bpc")
    return math.inf if list_checkpoints(folder / NONFINITE) else None
