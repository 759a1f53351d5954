"""Do the step again whose loss or gradient was not finite, a sequence at a time.

    python -m training.replay --run out/shakespeare/runs/bpe-2048/gpt/seed0

`bad/step-N` in the run's folder holds the weights as they were before the step, like a checkpoint.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import yaml
from torch import nn

from command_line import run_command
from data_prep.arrays import TokenArrays
from model import load_model

from .batches import crop_starts, make_batch, rank_slice
from .checkpoint import listed, write_checkpoint
from .config import TrainConfig
from .precision import autocast
from .ranks import Ranks, pick_device

KEPT = 3  # of one run


def keep_for_replay(
    config: TrainConfig,
    ranks: Ranks,
    model: nn.Module,
    optimizer: dict,
    state: dict,
    number: int,
    sequences: int,
    found: tuple[float, float],
) -> str:
    """Keep the weights before a bad step, and say which step, rank and batch it was.

    `number` is that of the batch, which has so many `sequences`; `found` is this rank's share of the loss and
    the norm of the gradients.
    """
    shares = ranks.gather(found[0])
    bad = [rank for rank, share in enumerate(shares) if not math.isfinite(share)]
    step = state["step"] + 1
    if bad:
        what = f"the loss is {shares[bad[0]]} at step {step} on rank {' and '.join(map(str, bad))}"
    else:
        what = f"the norm of the gradients is {found[1]} at step {step}, with finite losses"
    if ranks.main and len(listed(config.out / "bad")) < KEPT:
        more = {"batch": number, "sequences": sequences, "world_size": ranks.world_size}
        write_checkpoint(config.out / "bad", model, optimizer, {**state, **more})
    ranks.wait()
    return (
        f"{what} (batch {number} of seed {config.seed}): see python -m training.replay --run {config.out}, "
        "lower optimizer.lr, or set on_bad_numbers"
    )


@dataclass(frozen=True)
class Arguments:
    """Do a bad step again."""

    run: Path
    """folder of the run"""
    step: int | None = None
    """which one (none: the last that was kept)"""
    device: str = "auto"
    """cpu or cuda; auto: cuda where there is one"""


def first_not_finite(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> str:
    """The first module, in the order of computation, whose output is not finite; empty if all are."""
    found: list[str] = []

    def look(name: str, module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        if not output.isfinite().all():
            found.append(name)

    hooks = [module.register_forward_hook(partial(look, name)) for name, module in model.named_modules()]
    model(x, y)
    for hook in hooks:
        hook.remove()
    return found[0] or "the loss" if found else ""


def main(arguments: Arguments) -> None:
    """Print what every sequence of the batch does to the weights."""
    kept = listed(arguments.run / "bad")
    if arguments.step is not None:
        kept = [(path, state) for path, state in kept if state["step"] + 1 == arguments.step]
    if not kept:
        which = f"step {arguments.step}" if arguments.step is not None else "step"
        raise ValueError(f"{arguments.run} has no bad {which} that was kept: see {arguments.run / 'bad'}")
    path, state = kept[0]
    options = yaml.safe_load((arguments.run / "config.yaml").read_text())
    arrays, device = TokenArrays(Path(options["data"])), pick_device(arguments.device)
    if not arrays.fingerprints.items() <= state["identity"].items():
        raise ValueError(
            f"{options['data']} was made again after {arguments.run} was trained: nothing to replay"
        )
    model = load_model(path / "model.safetensors", device).train()
    split = arrays.split("train")
    sequences = state["sequences"]
    starts = crop_starts(options["seed"], state["batch"], sequences, split.crop_starts(model.block_size + 1))
    print(f"{path}: weights before step {state['step'] + 1}; batch {state['batch']}, {sequences} sequences")
    wrong = [name for name, p in model.named_parameters() if not p.isfinite().all()]
    print(f"weights that are not finite: {', '.join(wrong) or 'none'}")
    ranks = [rank_slice(sequences, rank, state["world_size"]) for rank in range(state["world_size"])]
    print(f"\n{'sequence':>8}{'rank':>6}{'from token':>14}{'loss, nats':>12}{'gradient':>12}  not finite in")
    fine = 0
    for number, start in enumerate(starts.tolist()):
        x, y = (t.to(device) for t in make_batch(split, starts[number : number + 1], model.block_size))
        model.zero_grad()
        with autocast(device, state["identity"]["precision"]):
            loss = model(x, y)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf)
            if loss.isfinite() and norm.isfinite():
                fine += 1
                continue
            first = first_not_finite(model, x, y) or "a gradient"
        rank = next(rank for rank, part in enumerate(ranks) if part.start <= number < part.stop)
        print(f"{number:>8}{rank:>6}{start:>14,}{loss.item():>12.4g}{norm.item():>12.4g}  {first}")
    print(f"{fine} of {sequences} sequences are finite, by themselves")


if __name__ == "__main__":
    run_command(main, Arguments, "Do the step again whose loss or gradient was not finite.")
