"""Repeat a step with a non-finite loss or gradient, one sequence at a time.

    python -m training.replay --run out/shakespeare/runs/bpe-2048/gpt/seed0

`bad/step-N` in the run's folder is a checkpoint of the weights before that step.
"""

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from common.cli import run_command
from model import LanguageModel, load_model

from .batches import crop_starts, make_batch, rank_slice
from .checkpoint import list_checkpoints, write_checkpoint
from .config import TrainConfig, read_config
from .precision import autocast
from .ranks import Ranks, pick_device
from .run import NONFINITE, open_arrays
from .state import TrainState
from .step import Batch, Learner, StepResult

KEPT = 3  # steps per run


def keep_for_replay(
    config: TrainConfig, ranks: Ranks, learner: Learner, state: TrainState, sequences: int, step: StepResult
) -> str:
    """Save the weights before a non-finite step; returns a message that names the step, rank and batch.

    `state` is the state before the step; its batch has `sequences` sequences.
    """
    shares = ranks.gather(step.share)
    bad = [rank for rank, share in enumerate(shares) if not math.isfinite(share)]
    number = state.step + 1
    if bad:
        what = f"the loss is {shares[bad[0]]} at step {number} on rank {' and '.join(map(str, bad))}"
    else:
        what = f"the gradient norm is {step.norm} at step {number}, with finite losses"
    kept = config.out / NONFINITE
    if ranks.main and len(list_checkpoints(kept)) < KEPT:
        more = {"sequences": sequences, "world_size": ranks.world_size}
        write_checkpoint(kept, learner.model.weights(), learner.optimizer_state(), {**asdict(state), **more})
    ranks.wait()
    return (
        f"{what} (batch {state.step} of seed {config.seed}): "
        f"inspect it with python -m training.replay --run {config.out}"
    )


@dataclass(frozen=True)
class Arguments:
    """Do a bad step again."""

    run: Path
    """folder of the run, such as out/shakespeare/runs/bpe-2048/gpt/seed0"""
    step: int | None = None
    """step to repeat (default: the last one that was kept)"""
    device: str = "auto"
    """cpu or cuda; auto: cuda if there is a GPU"""


def first_not_finite(model: LanguageModel, batch: Batch) -> str:
    """The first module, in order of computation, with a non-finite output; empty if there is none."""
    found: list[str] = []

    def look(name: str, module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        if not output.isfinite().all():
            found.append(name)

    hooks = [module.register_forward_hook(partial(look, name)) for name, module in model.named_modules()]
    model(batch.inputs, batch.targets, begins=batch.begins)
    for hook in hooks:
        hook.remove()
    return found[0] or "the loss" if found else ""


def main(arguments: Arguments) -> None:
    """Print the loss and gradient norm of each sequence of the batch that is not finite."""
    kept = list_checkpoints(arguments.run / NONFINITE)
    if arguments.step is not None:
        kept = [(path, state) for path, state in kept if state["step"] + 1 == arguments.step]
    if not kept:
        which = f"step {arguments.step}" if arguments.step is not None else "step"
        raise ValueError(f"{arguments.run} has no saved non-finite {which}: see {arguments.run / NONFINITE}")
    path, state = kept[0]
    config, device = read_config(arguments.run), pick_device(arguments.device)
    arrays = open_arrays(arguments.run, config, state)
    split, plan = arrays.split("train"), config.plan(arrays, state["world_size"])
    model = load_model(path / "model.safetensors", device).train()
    batch, sequences = state["step"], state["sequences"]
    starts = crop_starts(split, plan, config.seed, batch)
    print(f"{path}: weights before step {batch + 1}; batch {batch}, {sequences} sequences")
    wrong = [name for name, p in model.named_parameters() if not p.isfinite().all()]
    print(f"non-finite weights: {', '.join(wrong) or 'none'}")
    ranks = [rank_slice(sequences, rank, state["world_size"]) for rank in range(state["world_size"])]
    print(f"\n{'sequence':>8}{'rank':>6}{'from token':>14}{'loss, nats':>12}{'gradient':>12}  non-finite in")
    fine = 0
    for number, start in enumerate(starts.tolist()):
        one = make_batch(split, starts[number : number + 1], plan).to(device)
        model.zero_grad()
        with autocast(device, state["identity"]["precision"]):
            loss = model(one.inputs, one.targets, begins=one.begins)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf)
            if loss.isfinite() and norm.isfinite():
                fine += 1
                continue
            first = first_not_finite(model, one) or "a gradient"
        rank = next(rank for rank, part in enumerate(ranks) if part.start <= number < part.stop)
        print(f"{number:>8}{rank:>6}{start:>14,}{loss.item():>12.4g}{norm.item():>12.4g}  {first}")
    print(f"{fine} of {sequences} sequences are finite on their own")


if __name__ == "__main__":
    run_command(main, Arguments, "Repeat a training step whose loss or gradient was not finite.")
