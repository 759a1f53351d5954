"""Train one model on the token arrays of one tokenizer.

    python train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml
    torchrun --nproc-per-node 2 train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml

1) one process or many, over any number of nodes: the same global batches in the same order
2) batches are a pure function of (seed, number), so an interrupted run goes on bit for bit
3) losses are in bits, per character wherever two tokenizers are compared
4) metrics.jsonl is the record; the progress bar and wandb show it

Exit codes: 0 finished, 2 bad input, 1 failed, 75 stopped on request, the same command goes on
(docs/reliability.md).
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

from command_line import Failed, run_command
from data_prep.arrays import Split, TokenArrays
from model import build_model, compile_model
from model.scoring import document_bits, score
from publish import write_json
from revision import code_revision
from training.batches import crop_starts, make_batch, prefetch, rank_slice
from training.budget import Plan
from training.checkpoint import Checkpoints, newest_checkpoint, restore_checkpoint
from training.config import TrainConfig
from training.hardware import keep_freed_memory, peak_flops, peak_memory
from training.lock import hold
from training.micro_batch import fit_micro_batch
from training.optimizer import learning_rate, make_optimizers
from training.precision import autocast, best_precision, grad_scaler
from training.profile import Profile
from training.ranks import Ranks, end, join, leave
from training.replay import keep_for_replay
from training.tracking import Tracker

COMPARE_RANKS = 100  # steps between two comparisons of the ranks' weights
MOST_BAD = 10  # in a row, or back to the same checkpoint, until the run ends in any case


def main(config: TrainConfig) -> int:
    """Train, or go on training, together with the other ranks, and return the exit code."""
    keep_freed_memory()
    ranks = join(config.device, config.timeout)
    with ranks.together(), hold(config.out) if ranks.main else nullcontext():
        ranks.wait()  # from here on no other run changes the folder
        return leave(train(config, ranks))


def train(config: TrainConfig, ranks: Ranks) -> int:
    """What every rank does; the main one also speaks and writes."""
    if config.compress_gradients and ranks.device == "cpu":
        raise ValueError("compress_gradients needs GPUs: set it to false on CPUs")

    # The data, and what the budget means on it
    arrays = TokenArrays(config.data)
    train_split, val_split = arrays.split("train"), arrays.split("val")
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
    compiles = {"on": True, "off": False, "auto": plan.worth_compiling(ranks.device)}[config.compile]
    peak, peak_source = peak_flops(ranks.device, config.precision)

    # The state of the run: fresh, or where it was interrupted
    optimizers = make_optimizers(model, config.optimizer)
    scaler = grad_scaler(ranks.device, config.precision)
    identity = {**config.identity(), **arrays.fingerprints}
    state = {
        "step": 0,
        "train_seconds": 0.0,
        "finished": False,
        "batches_passed": 0,  # that were given up, going back; the next one is step + batches_passed
        "skipped_steps": 0,
        "best_val_bpc": None,
        "best_step": None,
        "identity": identity,
    }
    if found:
        state = restore_checkpoint(*found, identity, model, optimizers, scaler)
    if ranks.main:
        (config.out / "stopped.json").unlink(missing_ok=True)
        config.write(config.out / "config.yaml")
        described = describe(config, arrays, plan, model, ranks)
        described |= {
            **arrays.fingerprints,
            "code": code_revision(),
            "compiled": compiles,
            "peak_flops": peak,
            "peak_flops_source": peak_source,
        }
        write_json(config.out / "plan.json", described)
        checkpoints = Checkpoints(config.out / "checkpoints", config)
        tracker = Tracker(config.out, config.wandb, state["step"])
        progress = tqdm(
            initial=state["step"], total=plan.steps, desc=arrays.spec, unit="step", disable=None, leave=False
        )
        if not state["finished"]:
            devices = f"{ranks.world_size} x {ranks.device.split(':')[0]}"
            batch = f"{plan.sequences} x {plan.block_size} tokens a step, {config.micro_batch} at a time"
            tqdm.write(f"{arrays.spec}: {config.model.kind}, {config.precision} on {devices}, {batch}")
            if compiles:
                tqdm.write("codebook: compiling the model, which takes up to a minute, before the first step")

    # Evaluation is not compiled: its batches come in many shapes
    parallel = compile_model(model) if compiles else model
    if ranks.world_size > 1:
        # A static graph must not begin with `no_sync`: torch's reducer asserts that its hooks have run
        parallel = DistributedDataParallel(
            parallel,
            bucket_cap_mb=config.bucket_mb,
            gradient_as_bucket_view=True,
            static_graph=most <= config.micro_batch,
        )
        if config.compress_gradients:
            parallel.register_comm_hook(None, bf16_compress_hook)

    # What every rank does at each step
    mine = rank_slice(plan.sequences, ranks.rank, ranks.world_size)
    rows = mine.stop - mine.start
    positions = train_split.crop_starts(plan.block_size + 1)
    val_sequences, val_chars = validation_part(val_split, config.val_chars)

    def micro_batches(number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's part of a global batch, ready to be copied to the device."""
        starts = crop_starts(config.seed, number, plan.sequences, positions)[mine]
        parts = [starts[at : at + config.micro_batch] for at in range(0, rows, config.micro_batch)]
        made = [make_batch(train_split, part, plan.block_size) for part in parts]
        return [(x.pin_memory(), y.pin_memory()) for x, y in made] if ranks.device != "cpu" else made

    def gradients(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
        """This rank's share of the mean loss of the global batch, in nats, and the norm of all gradients."""
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
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.grad_clip)
        return tuple(torch.stack([total, norm]).tolist())  # waits for the device

    def update(lr: float) -> None:
        """Apply the gradients; fp16 ones that are too large lower the scale instead."""
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            scaler.step(optimizer)

    def optimizer_state() -> dict:
        """What a checkpoint holds besides the weights; the same on all ranks."""
        return {"optimizers": [o.state_dict() for o in optimizers], "scaler": scaler.state_dict()}

    def save() -> None:
        """Have a checkpoint written, by one rank for all, unless the data are not what was trained on."""
        arrays.check_unchanged()
        checkpoints.save(model, optimizer_state(), state, before=tracker.sync)

    if ranks.main and config.on_bad_numbers == "rewind" and not found:
        save()  # where to go back to
    profile = Profile(config.out / "profile.json", enabled=config.profile and ranks.main)
    batches = prefetch(micro_batches, itertools.count(state["step"] + state["batches_passed"]))
    since_log = {"seconds": 0.0, "waited": 0.0, "steps": 0}
    update_seconds, bad_in_a_row, went_back_to, stopped = 0.0, 0, -1, False
    while not (state["finished"] or stopped):
        before = (state["step"], state["train_seconds"])
        done = state["step"] + 1
        ranks.beat(f"in step {done}")
        started = time.perf_counter()
        with ranks.alone("reading its batch"):
            ready = next(batches)
        waited = time.perf_counter() - started
        with profile.step():
            share, norm = gradients(ready)
        # One agreement a step, on one clock, so that no rank stops while another goes on
        seconds = time.perf_counter() - started + update_seconds if ranks.main else 0.0
        asked = stop.asked(config.max_seconds, look=True) if ranks.main else stop.asked()
        loss, stops, seconds = ranks.sum(share, bool(asked), seconds)

        # Numbers that are none change no weights; gradients too large for fp16 are the scaler's business
        bad = not math.isfinite(loss) or (config.precision != "fp16" and not math.isfinite(norm))
        if bad:
            number = done - 1 + state["batches_passed"]
            problem = keep_for_replay(
                config, ranks, model, optimizer_state(), state, number, plan.sequences, (share, norm)
            )
            bad_in_a_row += 1
            if config.on_bad_numbers == "stop" or bad_in_a_row > MOST_BAD:
                raise Failed(problem)
            if ranks.main:
                tqdm.write(f"codebook: {problem}: {config.on_bad_numbers}")

        lr = learning_rate(plan.progress(done - 0.5, before[1]), config.optimizer)  # half a step on
        begun = time.perf_counter()
        if not bad:
            update(lr)
        scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        update_seconds = time.perf_counter() - begun

        if bad and config.on_bad_numbers == "rewind":
            if ranks.main:
                checkpoints.wait()
            ranks.wait()
            found = newest_checkpoint(config.out / "checkpoints", speak=ranks.main)
            state = restore_checkpoint(*found, identity, model, optimizers, scaler)
            bad_in_a_row = bad_in_a_row if state["step"] == went_back_to else 1
            went_back_to = state["step"]
            state |= {"batches_passed": number + 1 - went_back_to, "train_seconds": before[1]}
            batches.close()
            batches = prefetch(micro_batches, itertools.count(number + 1))
            if ranks.main:
                tracker.go_back(went_back_to)
                progress.update(went_back_to - progress.n)
            continue
        if not bad and config.on_bad_numbers != "rewind":
            bad_in_a_row = 0

        for name, value in (("seconds", seconds), ("waited", waited), ("steps", 1)):
            since_log[name] += value
        state = {**state, "step": done, "train_seconds": before[1] + seconds}
        state["skipped_steps"] += bad
        now = (done, state["train_seconds"])
        state["finished"] = plan.parts_done(1, *now) == 1
        logs = plan.parts_done(200, *now) > plan.parts_done(200, *before)
        validates = plan.parts_done(config.validations, *now) > plan.parts_done(config.validations, *before)
        stopped = stops > 0 and not state["finished"]
        if done % COMPARE_RANKS == 0 or state["finished"]:
            ranks.check_equal(model, done)

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
                "train_bpc": None if bad else loss / math.log(2) / plan.chars_per_token,
                "lr": lr,
                "skipped_steps": state["skipped_steps"],
                "tokens_per_second": speed,
                "chars_per_second": speed * plan.chars_per_token,
                "mfu": speed * flops_per_token / (peak * ranks.world_size) if peak else None,
                "data_wait": since_log["waited"] / since_log["seconds"],
                "memory_gb": peak_memory(ranks.device) / 1e9,
                "train_seconds": state["train_seconds"],
            }
            since_log = dict.fromkeys(since_log, 0)
        if validates:
            ranks.beat(f"validating after step {done}")
            metrics["val_bpc"] = validate(model, val_sequences, val_chars, ranks)
            if state["best_val_bpc"] is None or metrics["val_bpc"] < state["best_val_bpc"]:
                state |= {"best_val_bpc": metrics["val_bpc"], "best_step": done}
        if ranks.main:
            if metrics:
                tracker.log(metrics)
                shown = metrics.get("val_bpc", metrics["train_bpc"] or math.nan)
                progress.set_postfix(bpc=f"{shown:.3f}")
            progress.update()
            if validates and progress.disable:
                print(report(arrays.spec, metrics), flush=True)
            best = config.keep_best and state["best_step"] == done
            if stopped or state["finished"] or best or checkpoints.due():
                save()
    batches.close()
    ranks.beat("ending")

    if ranks.main:
        with ranks.alone("writing the last checkpoint"):
            checkpoints.wait()
        progress.close()
        tracker.close()
        profile.close()
        if stopped:
            why = asked or "a signal to another rank"
            write_json(config.out / "stopped.json", {"step": state["step"], "why": why})
            share = plan.progress(state["step"], state["train_seconds"])
            print(
                f"codebook: stopped after step {state['step']}, {share:.0%} ({why}); the same command goes on"
            )
    return stop.STOPPED if stopped else 0


def describe(
    config: TrainConfig, arrays: TokenArrays, plan: Plan, model: nn.Module, ranks: Ranks
) -> dict[str, object]:
    """What a run comes to: the content of plan.json."""
    return {
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
        "world_size": ranks.world_size,
    }


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
    run_command(main, TrainConfig, "Train one model on the token arrays of one tokenizer.", end)
