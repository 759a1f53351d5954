"""The runs of a comparison: what they are called, which are done, and how they are trained and evaluated."""

import math
import shutil
import sys

from comparison import Comparison
from data_prep.arrays import TokenArrays
from eval.evaluate import finished_result
from eval.protocol import window_stride
from eval.sweep import best_lr, final_val_bpc
from jobs import ROOT
from training.budget import plan_block_size
from training.checkpoint import differences, listed, newest_checkpoint
from training.config import TrainConfig
from training.lock import hold


def title(comparison: Comparison, run: TrainConfig) -> str:
    """A run's name, such as bpe-2048/gpt/seed0."""
    return str(run.out.relative_to(comparison.folder / "runs"))


def trials(comparison: Comparison) -> list[TrainConfig]:
    """A run for every learning rate that is tried."""
    return [run for sweep in comparison.sweeps().values() for run in sweep]


def chosen_rates(comparison: Comparison) -> dict[tuple[str, str], float]:
    """The learning rate of every tokenizer and model that were swept, best on validation text.

    Raises:
        ValueError: a trial is not finished.
    """
    seed = comparison.seeds[0]
    return {
        (spec, name): best_lr(comparison.folder, spec, name, seed, comparison.models[name].lr)
        for spec, name in comparison.sweeps()
    }


def write_config(run: TrainConfig) -> None:
    """Write what a run is, into its folder."""
    run.out.mkdir(parents=True, exist_ok=True)
    run.write(run.out / "config.yaml")


def changes(run: TrainConfig, state: dict) -> list[str]:
    """In what the run that a checkpoint's state is of differs from the one that is wanted."""
    return differences(state, {**run.identity(), **TokenArrays(run.data).fingerprints})


def found_state(run: TrainConfig) -> dict | None:
    """The state of the run's newest checkpoint, or of the batch that ended it; None: it has not begun."""
    found = newest_checkpoint(run.out / "checkpoints") or next(iter(listed(run.out / "bad")), None)
    return found[1] if found else None


def remove_changed(run: TrainConfig) -> list[str]:
    """Remove a run of other options or data; returns in what it differs."""
    state = found_state(run)
    differs = changes(run, state) if state else []
    if differs:
        with hold(run.out):
            shutil.rmtree(run.out)
    return differs


def trained(run: TrainConfig, trial: bool = False) -> bool:
    """Whether the run as it is wanted has ended: its last checkpoint is there, or a trial has diverged."""
    state = found_state(run)
    if not state or changes(run, state):
        return False
    return state["finished"] or (trial and final_val_bpc(run.out) == math.inf)


def stride(comparison: Comparison, run: TrainConfig) -> int:
    """Tokens by which the windows of its evaluation move on."""
    block_size = plan_block_size(comparison.context, TokenArrays(run.data).split("train"))
    return window_stride(block_size, comparison.overlap)


def evaluated(comparison: Comparison, run: TrainConfig, matched: int | None) -> bool:
    """Whether the result of the run as it is wanted is there; `matched` is the context in characters."""
    result = finished_result(run.out, stride(comparison, run), matched)
    return bool(result) and not changes(run, result["made_from"])


def evaluation(comparison: Comparison, run: TrainConfig, matched: int | None) -> list[str]:
    """The options of `eval.evaluate` for a run."""
    options = [f"--run={run.out}", f"--stride={stride(comparison, run)}", f"--device={run.device}"]
    return options + ([f"--context_chars={matched}"] if matched else [])


def train_command(comparison: Comparison, run: TrainConfig) -> list[str]:
    """How a run is trained on this machine."""
    command = [sys.executable]
    if comparison.processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={comparison.processes}"]
    return [*command, str(ROOT / "train_ddp.py"), "--config", str(run.out / "config.yaml")]
