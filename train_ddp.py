"""Train one model on the token arrays of one tokenizer.

    python train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml
    torchrun --nproc-per-node 2 train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml

1) one process or many, over any number of nodes: the same global batches in the same order
2) batches are a pure function of (seed, step), so an interrupted run goes on bit for bit
3) losses are in bits, per character wherever two tokenizers are compared
4) metrics.jsonl is the record; the progress bar and wandb show it

Exit codes: 0 finished, 2 bad input, 1 failed, 75 stopped on request, the same command goes on.
"""

from training import stop

stop.listen()  # before torch is imported, which takes seconds

import os

# Before torch, too. Threads that spin long for each other lose whole time slices when another process
# wants a core; a short wait costs nothing otherwise (docs/performance.md).
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import math
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from command_line import run_command
from data_prep.arrays import Split, TokenArrays
from model import build_model
from model.scoring import score
from publish import write_json
from training.batches import crop_starts, make_batch, rank_slice
from training.checkpoint import newest_checkpoint, restore_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.optimizer import learning_rate, make_optimizer
from training.precision import autocast, best_precision, grad_scaler
from training.ranks import Ranks, join, leave
from training.tracking import Tracker


def main(config: TrainConfig) -> int:
    """Train, or go on training, and return the exit code."""
    ranks = join(config.device)
    found = newest_checkpoint(config.out / "checkpoints", speak=ranks.main)
    if config.precision == "auto":  # a run goes on as it began, also on another machine
        began = found[1]["identity"]["precision"] if found else None
        config = replace(config, precision=began or best_precision(ranks.device))

    # The data, and what the budget means on it
    arrays = TokenArrays(config.data)
    train, val = arrays.split("train"), arrays.split("val")
    plan = config.plan(arrays, ranks.world_size)
    torch.manual_seed(config.seed)
    model = build_model(config.model, arrays.vocab_size, plan.block_size).to(ranks.device)
    flops_per_token = sum(model.flops_per_token().values())

    # The state of the run: fresh, or where it was interrupted
    optimizer = make_optimizer(model, config.optimizer)
    scaler = grad_scaler(ranks.device, config.precision)
    identity = {**config.identity(), **arrays.fingerprints}
    state = {"step": 0, "train_seconds": 0.0, "identity": identity}
    if found:
        state = restore_checkpoint(*found, identity, model, optimizer, scaler)
    first_step = state["step"]
    if ranks.main:
        config.out.mkdir(parents=True, exist_ok=True)
        config.write(config.out / "config.yaml")
        write_json(
            config.out / "plan.json",
            {
                "tokenizer": arrays.spec,
                "kind": config.model.kind,
                "vocab_size": arrays.vocab_size,
                "block_size": plan.block_size,
                "chars_per_token": plan.chars_per_token,
                "sequences_per_step": plan.sequences,
                "steps": plan.steps,
                "chars_per_step": plan.tokens_per_step * plan.chars_per_token,
                "train_chars": plan.steps * plan.tokens_per_step * plan.chars_per_token,
                "params_total": sum(p.numel() for p in model.parameters()),
                "params_embedding": model.params_embedding(),
                "flops_per_token": model.flops_per_token(),
                "precision": config.precision,
                "world_size": ranks.world_size,
            },
        )
        tracker = Tracker(config, arrays.spec, first_step)
        progress = tqdm(
            initial=first_step, total=plan.steps, desc=arrays.spec, unit="step", disable=None, leave=False
        )
    parallel = DistributedDataParallel(model) if ranks.world_size > 1 else model

    # What every rank does at each step
    mine = rank_slice(plan.sequences, ranks.rank, ranks.world_size)
    rows = mine.stop - mine.start
    micro_batch = min(config.micro_batch or rows, rows)
    positions = train.crop_starts(plan.block_size + 1)
    val_sequences, val_chars = validation_part(val, config.val_chars)
    val_steps = {round(plan.steps * i / config.validations) for i in range(1, config.validations + 1)}
    log_every = max(1, plan.steps // 200)
    last_save = time.perf_counter()

    def train_step(step: int) -> torch.Tensor:
        """One optimizer step; returns this rank's share of the mean loss of the global batch, in nats."""
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan.steps, config.optimizer)
        starts = crop_starts(config.seed, step, plan.sequences, positions)[mine]
        total = torch.zeros((), device=ranks.device)
        for at in range(0, rows, micro_batch):
            last = at + micro_batch >= rows
            x, y = make_batch(train, starts[at : at + micro_batch], plan.block_size)
            with nullcontext() if last or parallel is model else parallel.no_sync():
                with autocast(ranks.device, config.precision):
                    loss = parallel(x.to(ranks.device), y.to(ranks.device))
                # A share of the global mean, however unevenly the sequences fall on ranks and micro-batches
                share = loss * (len(x) / plan.sequences)
                # DDP averages over the ranks; the shares are meant to be summed
                scaler.scale(share * ranks.world_size).backward()
            total += share.detach()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.grad_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return total

    def save() -> None:
        """Publish a checkpoint; all ranks hold the same state, so one writes it."""
        if ranks.main:
            optimizer_state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
            save_checkpoint(config.out / "checkpoints", model, optimizer_state, state)

    stopped = False
    for step in range(first_step, plan.steps):
        started = time.perf_counter()
        share = train_step(step)
        done = step + 1
        logs, validates = done % log_every == 0 or done == plan.steps, done in val_steps
        # One agreement a step, so that no rank stops while another goes on
        loss, stops = ranks.sum(share.item(), stop.asked())
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {done}: lower optimizer.lr or use fp32")
        seconds = time.perf_counter() - started
        state = {**state, "step": done, "train_seconds": state["train_seconds"] + seconds}
        stopped = stops > 0 and done < plan.steps

        metrics = {}
        if logs or validates:
            tokens = done * plan.tokens_per_step
            metrics = {
                "step": done,
                "chars": round(tokens * plan.chars_per_token),
                "tokens": tokens,
                "flops": tokens * flops_per_token,
                "train_bpc": loss / math.log(2) / plan.chars_per_token,
                "lr": optimizer.param_groups[0]["lr"],
                "chars_per_second": plan.tokens_per_step * plan.chars_per_token / seconds,
                "train_seconds": state["train_seconds"],
            }
        if validates:
            metrics["val_bpc"] = validate(model, val_sequences, val_chars, ranks)
        if ranks.main:
            if metrics:
                tracker.log(metrics)
                progress.set_postfix(bpc=f"{metrics.get('val_bpc', metrics['train_bpc']):.3f}")
            progress.update()
            if validates and progress.disable:
                print(
                    f"{arrays.spec}: step {done}/{plan.steps}, val bpc {metrics['val_bpc']:.4f}", flush=True
                )
        if stopped or done == plan.steps or time.perf_counter() - last_save > config.checkpoint_seconds:
            save()
            last_save = time.perf_counter()
        if stopped:
            break

    if ranks.main:
        progress.close()
        tracker.close()
        if stopped:
            print(f"codebook: stopped after step {state['step']} of {plan.steps}; the same command goes on")
    return leave(stop.STOPPED if stopped else 0)


def validation_part(val: Split, chars: int) -> tuple[list[np.ndarray], int]:
    """Every k-th document, so many that they hold about `chars`: the same text for every tokenizer."""
    every = max(1, val.chars // chars)
    return val.sequences()[::every], int(val.document_chars()[::every].sum())


def validate(model: nn.Module, sequences: list[np.ndarray], chars: int, ranks: Ranks) -> float:
    """Bits per character of the validation part, documents dealt out to the ranks."""
    stride = max(1, model.block_size // 2)
    bits, _ = score(model, sequences[ranks.rank :: ranks.world_size], stride, ranks.device)
    return ranks.sum(float(bits.sum()))[0] / chars


if __name__ == "__main__":
    run_command(main, TrainConfig, "Train one model on the token arrays of one tokenizer.")
