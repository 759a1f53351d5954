"""The state of a comparison's runs, and the learning rates chosen by its sweeps."""

import math
import shutil
from contextlib import suppress

from common.cli import log
from data_prep.arrays import TokenArrays
from training.checkpoint import differences, list_checkpoints, newest_checkpoint
from training.lock import lock_folder
from training.run import NONFINITE, final_val_bpc

from .config import Comparison, RunSpec


def trials(comparison: Comparison) -> list[RunSpec]:
    """The runs of all learning-rate sweeps."""
    return [run for sweep in comparison.sweeps().values() for run in sweep]


def chosen_rates(comparison: Comparison) -> dict[tuple[str, str], float]:
    """The learning rate with the best validation result, for every tokenizer and model with a sweep.

    Raises:
        ValueError: a trial is not finished, or all trials of a sweep have diverged.
    """
    return {key: best_rate(sweep) for key, sweep in comparison.sweeps().items()}


def best_rate(sweep: list[RunSpec]) -> float:
    """The learning rate whose run has the fewest bits per character on the validation text."""
    found = {}
    for run in sweep:
        bpc = final_val_bpc(run.folder)
        if bpc is None:
            raise ValueError(
                f"{run.folder} is not a finished run: run compare.py, or train it with train_ddp.py"
            )
        found[run.config.optimizer.lr] = bpc
    best = min(found, key=found.__getitem__)
    if found[best] == math.inf:
        rates, run = list(found), sweep[0]
        raise ValueError(
            f"{run.tokenizer} {run.model}: every learning rate of {rates} diverges: try lower ones"
        )
    return best


def counted_runs(comparison: Comparison) -> list[RunSpec]:
    """The runs of the comparison, with the chosen learning rates.

    Raises:
        ValueError: as `chosen_rates`.
    """
    return comparison.runs(chosen_rates(comparison))


def known_runs(comparison: Comparison) -> tuple[list[RunSpec], int]:
    """The runs whose learning rate is already known, and the total number of runs."""
    chosen = {}
    for key, sweep in comparison.sweeps().items():
        with suppress(ValueError):  # trials are unfinished, or all have diverged
            chosen[key] = best_rate(sweep)
    runs = comparison.runs(chosen)
    unknown = comparison.sweeps().keys() - chosen.keys()
    return [run for run in runs if (run.tokenizer, run.model) not in unknown], len(runs)


def changes(run: RunSpec, state: dict) -> list[str]:
    """The options and data in which `state` differs from `run`."""
    return differences(state, {**run.config.identity(), **TokenArrays(run.config.data).fingerprints})


def found_state(run: RunSpec) -> dict | None:
    """The state of the run's newest checkpoint, or of the batch that ended it; None if it has not begun."""
    found = newest_checkpoint(run.folder / "checkpoints")
    found = found or next(iter(list_checkpoints(run.folder / NONFINITE)), None)
    return found[1] if found else None


def trained(run: RunSpec, trial: bool = False) -> bool:
    """True if the run, with these options, is finished; also if it is a trial that has diverged."""
    state = found_state(run)
    if not state or changes(run, state):
        return False
    return state["finished"] or (trial and final_val_bpc(run.folder) == math.inf)


def trained_or_removed(run: RunSpec, trial: bool = False, replace: bool = False) -> bool:
    """True if the run is finished. A run of other options or data is removed if `replace` is set.

    Raises:
        ValueError: the folder holds a run of other options or data, and `replace` is not set.
    """
    state = found_state(run)
    if state and (differs := changes(run, state)):
        if not replace:
            other = ", ".join(differs)
            raise ValueError(f"{run.folder} holds a run with another {other}: give --replace to discard it")
        with lock_folder(run.folder):
            shutil.rmtree(run.folder)
        log(f"{run.title}: discarded, its {', '.join(differs)} changed")
    return trained(run, trial)
