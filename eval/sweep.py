"""Where the runs of a comparison lie, and which learning rate each tokenizer keeps."""

import math
from pathlib import Path

from tokenizers import folder_name
from training.checkpoint import listed
from training.tracking import read_metrics


def run_folder(folder: Path, tokenizer: str, model: str, seed: int, lr: float | None = None) -> Path:
    """The folder of a run; `lr` where learning rates are swept."""
    swept = f"lr{lr:g}" if lr else ""
    return folder / "runs" / folder_name(tokenizer) / model / swept / f"seed{seed}"


def final_val_bpc(run: Path) -> float | None:
    """Bits per character of the last validation of a finished run; None: it is not finished.

    Infinite where the run ended because its loss was no number any more.
    """
    lines = read_metrics(run / "metrics.jsonl")
    if lines and lines[-1]["progress"] == 1:
        return lines[-1].get("val_bpc")
    return math.inf if listed(run / "bad") else None


def best_lr(folder: Path, tokenizer: str, model: str, seed: int, rates: list[float]) -> float:
    """The learning rate whose run ended with the fewest bits per character of the validation text.

    Raises:
        ValueError: one of the runs is not finished, or all have diverged.
    """
    found = {}
    for lr in rates:
        run = run_folder(folder, tokenizer, model, seed, lr)
        found[lr] = final_val_bpc(run)
        if found[lr] is None:
            raise ValueError(f"{run} is not a finished run: run compare.py, or train it with train_ddp.py")
    best = min(found, key=found.__getitem__)
    if found[best] == math.inf:
        raise ValueError(f"{tokenizer} {model}: every learning rate of {rates} diverges: try lower ones")
    return best


def run_folders(comparison: dict, folder: Path) -> list[tuple[str, str, int, Path]]:
    """Tokenizer, name of the model, seed and folder of every run that a frozen comparison counts.

    Raises:
        ValueError: as `best_lr`.
    """
    found = []
    for tokenizer in comparison["tokenizers"]:
        for model, recipe in comparison["models"].items():
            seeds = comparison["seeds"]
            lr = best_lr(folder, tokenizer, model, seeds[0], recipe["lr"]) if recipe["lr"] else None
            found += [
                (tokenizer, model, seed, run_folder(folder, tokenizer, model, seed, lr)) for seed in seeds
            ]
    return found
