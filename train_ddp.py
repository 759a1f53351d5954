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
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import itertools
import math
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from command_line import run_command
from data_prep.arrays import Split, TokenArrays
from model import build_model
from model.scoring import document_bits, score
from publish import write_json
from training.batches import crop_starts, make_batch, prefetch, rank_slice
from training.checkpoint import newest_checkpoint, restore_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.hardware import keep_freed_memory, peak_flops, peak_memory
from training.micro_batch import fit_micro_batch
from training.optimizer import learning_rate, make_optimizers
from training.precision import autocast, best_precision, grad_scaler
from training.profile import Profile
from training.ranks import Ranks, join, leave
from training.tracking import Tracker

SAVE_SPACING = 400  # a checkpoint is made that many times as rarely as it takes: a quarter of a per cent


def main(config: TrainConfig) -> int:
    """Train, or go on training, and return the exit code."""
    keep_freed_memory()
    ranks = join(config.device)
    if config.compress_gradients and ranks.device == "cpu":
        raise ValueError("compress_gradients needs GPUs: set it to false on CPUs")

    # The data, and what the budget means on it
    arrays = TokenArrays(config.data)
    train, val = arrays.split("train"), arrays.split("val")
    plan = config.plan(arrays, ranks.world_size)
    torch.manual_seed(config.seed)
    model = build_model(plan.model, arrays.vocab_size, plan.block_size).to(ranks.device)
    flops_per_token = sum(model.flops_per_token().values())

    # What `auto` means here; a run goes on as it began, also on another machine
    found = newest_checkpoint(config.out / "checkpoints", speak=ranks.main)
    began = found[1]["identity"] if found else {}
    if config.precision == "auto":
        config = replace(config, precision=began.get("precision") or best_precision(ranks.device))
    most = math.ceil(plan.sequences / ranks.world_size)  # sequences a step on a rank
    if config.micro_batch == "auto":
        fits = began.get("micro_batch") or fit_micro_batch(model, most, ranks, config.precision)
        config = replace(config, micro_batch=fits)
    long = (plan.steps or 0) >= 500 or (plan.seconds or 0) >= 300
    compiles = config.compile == "on" or (config.compile == "auto" and ranks.device != "cpu" and long)
    peak, peak_source = peak_flops(ranks.device, config.precision)

    # The state of the run: fresh, or where it was interrupted
    optimizers = make_optimizers(model, config.optimizer)
    scaler = grad_scaler(ranks.device, config.precision)
    identity = {**config.identity(), **arrays.fingerprints}
    state = {"step": 0, "train_seconds": 0.0, "finished": False, "identity": identity}
    if found:
        state = restore_checkpoint(*found, identity, model, optimizers, scaler)
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
                "n_embd": plan.model.n_embd,
                "params_total": model.params_body() + model.params_embedding(),
                "params_embedding": model.params_embedding(),
                "flops_per_token": model.flops_per_token(),
                "precision": config.precision,
                "micro_batch": config.micro_batch,
                "compiled": compiles,
                "world_size": ranks.world_size,
                "peak_flops": peak,
                "peak_flops_source": peak_source,
            },
        )
        tracker = Tracker(config, arrays.spec, first_step)
        progress = tqdm(
            initial=first_step, total=plan.steps, desc=arrays.spec, unit="step", disable=None, leave=False
        )
        if compiles and not state["finished"]:
            tqdm.write("codebook: compiling the model, which takes up to a minute, before the first step")

    # Evaluation is not compiled: its batches come in many shapes
    parallel = torch.compile(model, dynamic=False) if compiles else model
    if ranks.world_size > 1:
        # A static graph must not begin with `no_sync`: torch's reducer asserts that its hooks have run
        parallel = DistributedDataParallel(
            parallel, gradient_as_bucket_view=True, static_graph=most <= config.micro_batch
        )
        if config.compress_gradients:
            parallel.register_comm_hook(None, bf16_compress_hook)

    # What every rank does at each step
    mine = rank_slice(plan.sequences, ranks.rank, ranks.world_size)
    rows = mine.stop - mine.start
    positions = train.crop_starts(plan.block_size + 1)
    val_sequences, val_chars = validation_part(val, config.val_chars)
    last_save, save_seconds = time.perf_counter(), 0.0

    def micro_batches(step: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's part of the global batch, ready to be copied to the device."""
        starts = crop_starts(config.seed, step, plan.sequences, positions)[mine]
        parts = [starts[at : at + config.micro_batch] for at in range(0, rows, config.micro_batch)]
        made = [make_batch(train, part, plan.block_size) for part in parts]
        return [(x.pin_memory(), y.pin_memory()) for x, y in made] if ranks.device != "cpu" else made

    def train_step(lr: float, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """One optimizer step; returns this rank's share of the mean loss of the global batch, in nats."""
        total = torch.zeros((), device=ranks.device)
        for number, (x, y) in enumerate(batches, start=1):
            x, y = (tensor.to(ranks.device, non_blocking=True) for tensor in (x, y))
            alone = parallel is model or ranks.world_size == 1
            with nullcontext() if alone or number == len(batches) else parallel.no_sync():
                with autocast(ranks.device, config.precision):
                    loss = parallel(x, y)
                # A share of the global mean, however unevenly the sequences fall on ranks and micro-batches
                share = loss * (len(x) / plan.sequences)
                # DDP averages over the ranks; the shares are meant to be summed
                scaler.scale(share * ranks.world_size).backward()
            total += share.detach()
        for optimizer in optimizers:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.grad_clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            scaler.step(optimizer)
        scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        return total

    def save() -> None:
        """Publish a checkpoint; all ranks hold the same state, so one writes it."""
        if ranks.main:
            optimizer_states = [optimizer.state_dict() for optimizer in optimizers]
            states = {"optimizers": optimizer_states, "scaler": scaler.state_dict()}
            save_checkpoint(config.out / "checkpoints", model, states, state)

    stopped = False
    profile = Profile(config.out / "profile.json", enabled=config.profile and ranks.main)
    steps = range(first_step, plan.steps) if plan.steps else itertools.count(first_step)
    batches = prefetch(micro_batches, steps)
    since_log = {"seconds": 0.0, "waited": 0.0, "steps": 0}
    for step in () if state["finished"] else steps:
        before = (step, state["train_seconds"])
        started = time.perf_counter()
        ready = next(batches)
        waited = time.perf_counter() - started
        with profile.step():
            # Half a step on: that of the middle of the step
            lr = learning_rate(plan.progress(step + 0.5, state["train_seconds"]), config.optimizer)
            share = train_step(lr, ready)
        done = step + 1
        # One agreement a step, on one clock, so that no rank stops while another goes on
        share = share.item()  # waits for the device
        seconds = time.perf_counter() - started if ranks.main else 0.0
        loss, stops, seconds = ranks.sum(share, stop.asked(), seconds)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {done}: lower optimizer.lr or use fp32")
        for name, value in (("seconds", seconds), ("waited", waited), ("steps", 1)):
            since_log[name] += value
        state = {**state, "step": done, "train_seconds": state["train_seconds"] + seconds}
        now = (done, state["train_seconds"])
        state["finished"] = plan.parts_done(1, *now) == 1
        logs = plan.parts_done(200, *now) > plan.parts_done(200, *before)
        validates = plan.parts_done(config.validations, *now) > plan.parts_done(config.validations, *before)
        stopped = stops > 0 and not state["finished"]

        metrics = {}
        if logs or validates:
            tokens = done * plan.tokens_per_step
            speed = since_log["steps"] * plan.tokens_per_step / since_log["seconds"]  # tokens/s
            metrics = {
                "step": done,
                "progress": plan.progress(*now),
                "chars": round(tokens * plan.chars_per_token),
                "tokens": tokens,
                "flops": tokens * flops_per_token,
                "train_bpc": loss / math.log(2) / plan.chars_per_token,
                "lr": optimizers[0].param_groups[0]["lr"],
                "tokens_per_second": speed,
                "chars_per_second": speed * plan.chars_per_token,
                "mfu": speed * flops_per_token / (peak * ranks.world_size) if peak else None,
                "data_wait": since_log["waited"] / since_log["seconds"],
                "memory_gb": peak_memory(ranks.device) / 1e9,
                "train_seconds": state["train_seconds"],
            }
            since_log = dict.fromkeys(since_log, 0)
        if validates:
            metrics["val_bpc"] = validate(model, val_sequences, val_chars, ranks)
        if ranks.main:
            if metrics:
                tracker.log(metrics)
                progress.set_postfix(bpc=f"{metrics.get('val_bpc', metrics['train_bpc']):.3f}")
            progress.update()
            if validates and progress.disable:
                print(report(arrays.spec, metrics), flush=True)
        if (
            stopped
            or state["finished"]
            or time.perf_counter() - last_save > max(config.checkpoint_seconds, SAVE_SPACING * save_seconds)
        ):
            begun = time.perf_counter()
            save()
            last_save = time.perf_counter()
            save_seconds = last_save - begun
        if stopped or state["finished"]:
            break
    batches.close()

    if ranks.main:
        progress.close()
        tracker.close()
        profile.close()
        if stopped:
            share = plan.progress(state["step"], state["train_seconds"])
            print(f"codebook: stopped after step {state['step']}, {share:.0%}; the same command goes on")
    return leave(stop.STOPPED if stopped else 0)


def report(tokenizer: str, metrics: dict) -> str:
    """A line for a log file, at a validation."""
    left = metrics["train_seconds"] * (1 / metrics["progress"] - 1)
    share = f"{metrics['mfu']:.0%} of peak" if metrics["mfu"] is not None else "peak unknown"
    return (
        f"{tokenizer}: step {metrics['step']}, {metrics['progress']:.0%}, val bpc {metrics['val_bpc']:.4f}, "
        f"{metrics['tokens_per_second']:,.0f} tokens/s, {share}, {left:,.0f} s to go"
    )


def validation_part(val: Split, chars: int) -> tuple[list[np.ndarray], int]:
    """Every k-th document, so many that they hold about `chars`: the same text for every tokenizer."""
    every = max(1, val.chars // chars)
    return val.sequences()[::every], int(val.document_chars()[::every].sum())


def validate(model: nn.Module, sequences: list[np.ndarray], chars: int, ranks: Ranks) -> float:
    """Bits per character of the validation part, its batches dealt out to the ranks."""
    stride = max(1, model.block_size // 2)
    part = (ranks.rank, ranks.world_size)
    bits = ranks.sum_array(score(model, sequences, stride, ranks.device, part=part))
    return float(document_bits(bits, sequences)[0].sum()) / chars


if __name__ == "__main__":
    run_command(main, TrainConfig, "Train one model on the token arrays of one tokenizer.")
