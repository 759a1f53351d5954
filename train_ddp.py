"""Train one model on the token arrays of one tokenizer.

    python train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml
    torchrun --nproc-per-node 2 train_ddp.py --config out/shakespeare/runs/bpe-2048/gpt/seed0/config.yaml

1) the global batches and their order do not depend on the number of processes or nodes
2) batches are a pure function of (seed, step), so an interrupted run resumes bit for bit
3) losses are in bits, and per character wherever tokenizers are compared
4) metrics.jsonl is the record of the run; the progress bar and wandb only show it

Exit codes: 0 finished, 1 failed, 2 bad input, 75 stopped on request: the same command resumes
(docs/reliability.md).
"""

from training import stop

stop.listen()  # before the import of torch, which takes seconds

import os

# Must be set before torch is imported. Threads that spin for long lose whole time slices when another
# process needs the core; a short spin costs nothing otherwise (docs/performance.md).
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import itertools
import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from common.cli import run_command
from common.errors import Failed
from common.files import write_json
from common.revision import code_revision
from data_prep.arrays import Split, TokenArrays
from model import LanguageModel, build_model, compile_model
from model.scoring import Scoring, document_bits, score
from training.batches import crop_starts, make_batch, prefetch, rank_slice
from training.budget import Plan
from training.checkpoint import Checkpoints, newest_checkpoint, restore_checkpoint
from training.config import TrainConfig
from training.hardware import keep_freed_memory, peak_flops, peak_memory
from training.lock import lock_folder
from training.micro_batch import fit_micro_batch
from training.optimizer import learning_rate
from training.precision import best_precision
from training.profile import Profile
from training.ranks import Ranks, end, join, leave
from training.replay import keep_for_replay
from training.run_ahead import AHEAD, RunAhead
from training.state import TrainState
from training.step import Batch, Step, make_learner, training_step
from training.tracking import Tracker

COMPARE_RANKS = 100  # steps between checks that all ranks hold equal weights
MAX_NONFINITE = 10  # consecutive steps that may be skipped; one more ends the run
LOGS = 200  # lines of metrics in the record of a run


def main(config: TrainConfig) -> int:
    """Start or resume training, together with the other ranks, and return the exit code."""
    keep_freed_memory()
    ranks = join(config.execution.device, config.execution.timeout)
    with ranks.together(), lock_folder(config.out) if ranks.main else nullcontext():
        ranks.wait()  # the folder is now locked against other runs
        return leave(train(config, ranks))


def train(config: TrainConfig, ranks: Ranks) -> int:
    """Train on this rank and return the exit code; the main rank also prints and writes files."""
    if config.execution.compress_gradients and ranks.device == "cpu":
        raise ValueError("execution.compress_gradients needs GPUs: set it to false on CPUs")

    # The data, the budget in steps on that data, and the model
    arrays = TokenArrays(config.data)
    train_split, val_split = arrays.split("train"), arrays.split("val")
    plan = config.plan(arrays, ranks.world_size)
    torch.manual_seed(config.seed if config.init_seed is None else config.init_seed)
    model = build_model(plan.model, arrays.vocab_size, plan.block_size).to(ranks.device)

    # The state of the run: new, or restored from the last checkpoint
    found = newest_checkpoint(config.out / "checkpoints", speak=ranks.main)
    config = resolve(config, plan, model, ranks, found[1]["identity"] if found else {})
    execution, tracking = config.execution, config.tracking
    forward = parallelise(model, config, plan, ranks)
    learner = make_learner(model, config.optimizer, ranks, execution.precision, forward)
    state = TrainState({**config.identity(), **arrays.fingerprints})
    if found:
        state = restore_checkpoint(*found, state.identity, model, learner.optimizers, learner.scaler)
    described = describe(config, arrays, plan, model, ranks)
    stop.begin()
    if ranks.main:
        (config.out / "stopped.json").unlink(missing_ok=True)
        config.write()
        write_json(config.out / "plan.json", described | {"code": code_revision()})
        checkpoints = Checkpoints(config.out / "checkpoints", config.checkpoints)
        tracker = Tracker(config.out, tracking.wandb, state.step)
        progress = tqdm(
            initial=state.step, total=plan.steps, desc=arrays.spec, unit="step", disable=None, leave=False
        )
        if not state.finished:
            tqdm.write(banner(config, arrays, plan, ranks))
        if not state.finished and described["compiled"]:
            tqdm.write(
                "codebook: compiling the model: the first step of each batch size takes up to a minute"
            )

    val_sequences, val_chars = validation_subset(val_split, tracking.val_chars)

    def micro_batches(step: int) -> list[Batch]:
        """This rank's part of global batch `step`, counted from 0, ready to be copied to the device."""
        mine = rank_slice(plan.sequences_in(step), ranks.rank, ranks.world_size)
        starts = crop_starts(train_split, plan, config.seed, step)[mine]
        size = int(execution.micro_batch)  # resolved
        parts = [starts[at : at + size] for at in range(0, len(starts), size)]
        made = [make_batch(train_split, part, plan, described["compiled"]) for part in parts]
        if ranks.device == "cpu":
            return made
        torch.cuda.set_device(ranks.device)  # per thread: the default is the first GPU
        return [batch.pin_memory() for batch in made]

    profile = Profile(config.out / "profile.json", enabled=execution.profile and ranks.main)
    batches = prefetch(micro_batches, itertools.count(state.step))
    logged, waited, nonfinite, asked = state, 0.0, 0, ""
    # A signal before the first step: there is nothing to save. Several ranks agree on a stop within a step
    stopped = stop.asked() if ranks.world_size == 1 else ""

    def begin(number: int) -> Step:
        """Begin step `number`, counted from 1."""
        nonlocal waited, asked
        ranks.beat(f"in step {number}")
        begun = time.perf_counter()
        with ranks.alone("reading its batch"):
            batch = next(batches)
        waited += time.perf_counter() - begun
        lr = learning_rate(plan.progress(number - 0.5, state.train_seconds), config.optimizer)  # mid-step
        asked = asked or (stop.asked(execution.max_seconds, look=True) if ranks.main else stop.asked())
        sequences, due = plan.sequences_in(number - 1), ranks.main and checkpoints.due()
        with profile.step():
            return training_step(learner, ranks, batch, sequences, lr, bool(asked), due)

    def pauses(number: int) -> bool:
        """True if the weights after step `number` are validated, compared or the last."""
        before, after = replace(state, step=number - 1), replace(state, step=number)
        validates = plan.passes(tracking.validations, before, after)
        return validates or number % COMPARE_RANKS == 0 or plan.parts_done(1, after) == 1

    distance = steps_ahead(ranks.device, execution.precision, plan)
    steps = RunAhead(begin, state.step, distance, pauses)
    while not (state.finished or (stopped and steps.idle)):
        before, done = state, state.step + 1
        step, seconds = steps.read()
        if plan.seconds:
            seconds = ranks.first(seconds)  # one clock for all, so that all ranks end after the same step
        nonfinite = 0 if step.finite else nonfinite + 1
        if not step.finite:  # the weights have not changed
            problem = keep_for_replay(config, ranks, learner, before, plan.sequences_in(before.step), step)
            if execution.on_nonfinite == "stop" or nonfinite > MAX_NONFINITE:
                raise Failed(f"{problem}, lower optimizer.lr, or set execution.on_nonfinite to skip")
            if ranks.main:
                tqdm.write(f"codebook: batch skipped: {problem}")
            learner.resume()
            steps.forget(done)
            batches.close()
            batches = prefetch(micro_batches, itertools.count(done))

        state = replace(before, step=done, train_seconds=before.train_seconds + seconds)
        state.skipped_steps += not step.finite
        state.finished = plan.parts_done(1, state) == 1
        if step.stop and not state.finished:
            stopped = asked or "a signal to another rank"
        if step.stop or step.save:
            steps.drain()  # so that the weights match `state`
        if done % COMPARE_RANKS == 0 or state.finished:
            ranks.check_equal(model, done)

        metrics = {}
        validates = plan.passes(tracking.validations, before, state)
        if validates or plan.passes(LOGS, before, state):
            metrics = measure(described, plan, logged, state, waited, peak_memory(ranks.device))
            metrics |= {"train_bpc": bits_per_char(step.loss, plan) if step.finite else None, "lr": step.lr}
            logged, waited = state, 0.0
        if validates:
            ranks.beat(f"validating after step {done}")
            began = time.perf_counter()
            metrics["val_bpc"] = validate(model, val_sequences, val_chars, ranks, config.scoring)
            metrics["val_seconds"] = time.perf_counter() - began
            if state.best_val_bpc is None or metrics["val_bpc"] < state.best_val_bpc:
                state.best_val_bpc, state.best_step = metrics["val_bpc"], done
        if ranks.main:
            if metrics:
                tracker.log(metrics)
                shown = metrics.get("val_bpc", metrics["train_bpc"] or math.nan)
                progress.set_postfix(bpc=f"{shown:.3f}")
            progress.update()
            if validates and progress.disable:
                print(report(arrays.spec, metrics), flush=True)
            best = config.checkpoints.keep_best and state.best_step == done
            if steps.idle and (stopped or state.finished or best or checkpoints.due()):
                arrays.check_unchanged()  # a checkpoint must not name data that it was not trained on
                checkpoints.save(model, learner.optimizer_state(), state, before=tracker.sync)
    batches.close()
    if state.finished:
        stopped = ""  # the stop was requested during the last step
    ranks.beat("ending")

    if ranks.main:
        with ranks.alone("writing the last checkpoint"):
            checkpoints.wait()
        progress.close()
        if not progress.disable:
            print("\x1b[K", end="", file=sys.stderr, flush=True)  # erase the ^C that the terminal printed
        tracker.close()
        profile.close()
        if stopped:
            write_json(config.out / "stopped.json", {"step": state.step, "why": stopped})
            share = plan.progress(state.step, state.train_seconds)
            where = f"step {state.step}, {share:.0%} ({stopped})"
            print(f"codebook: stopped after {where}; the same command resumes")
    return stop.STOPPED if stopped else 0


def resolve(config: TrainConfig, plan: Plan, model: LanguageModel, ranks: Ranks, began: dict) -> TrainConfig:
    """The configuration with every `auto` replaced.

    A resumed run keeps the values of `began`, the identity in its checkpoint, also on another machine.
    """
    execution = config.execution
    if execution.precision == "auto":
        precision = began.get("precision") or best_precision(ranks.device)
        execution = replace(execution, precision=precision)
    if execution.micro_batch == "auto":
        rows = per_rank(plan, ranks)
        fits = began.get("micro_batch") or fit_micro_batch(
            model, rows, ranks, execution.precision, config.documents == "alone"
        )
        execution = replace(execution, micro_batch=fits)
    return replace(config, execution=execution)


def per_rank(plan: Plan, ranks: Ranks) -> int:
    """The largest number of sequences per step on one rank."""
    return math.ceil(plan.most_sequences / ranks.world_size)


def parallelise(
    model: LanguageModel, config: TrainConfig, plan: Plan, ranks: Ranks
) -> Callable[..., torch.Tensor]:
    """The model as training calls it: compiled if configured, wrapped in DDP if there are several ranks.

    Validation calls the plain model, because its batches come in many shapes.
    """
    execution = config.execution
    whole = per_rank(plan, ranks) <= int(execution.micro_batch)
    if execution.compile == "graphs" and not (whole and ranks.world_size == 1):
        raise ValueError(
            "execution.compile: graphs needs one process and a single micro-batch per step: set it to true"
        )
    compiles = plan.compiles(execution.compile, ranks.device)
    forward = compile_model(model, graphs=execution.compile == "graphs") if compiles else model
    if ranks.world_size == 1:
        return forward
    # With a static graph the first backward pass must not be under `no_sync`: torch's reducer asserts that
    # its hooks have run
    parallel = DistributedDataParallel(
        forward,
        bucket_cap_mb=execution.bucket_mb,
        gradient_as_bucket_view=True,
        static_graph=whole,
    )
    if execution.compress_gradients:
        parallel.register_comm_hook(None, bf16_compress_hook)
    return parallel


def steps_ahead(device: str, precision: str, plan: Plan) -> int:
    """The number of steps that the host may begin before it reads their results from a GPU.

    It is 0 on a CPU, and where a step depends on the one before: with fp16 (its scaler) and with a budget in
    seconds.
    """
    return 0 if device == "cpu" or precision == "fp16" or plan.seconds else AHEAD


def describe(
    config: TrainConfig, arrays: TokenArrays, plan: Plan, model: LanguageModel, ranks: Ranks
) -> dict:
    """The run in numbers: the content of plan.json."""
    peak, peak_source = peak_flops(ranks.device, config.execution.precision)
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
        "precision": config.execution.precision,
        "micro_batch": config.execution.micro_batch,
        "world_size": ranks.world_size,
        **arrays.fingerprints,
        "compiled": plan.compiles(config.execution.compile, ranks.device),
        "peak_flops": peak,
        "peak_flops_source": peak_source,
    }


def banner(config: TrainConfig, arrays: TokenArrays, plan: Plan, ranks: Ranks) -> str:
    """The first line that a run prints."""
    execution = config.execution
    devices = f"{ranks.world_size} x {ranks.device.split(':')[0]}"
    batch = f"{plan.sequences:.4g} x {plan.block_size} tokens per step, micro-batch {execution.micro_batch}"
    return f"{arrays.spec}: {config.model.kind}, {execution.precision} on {devices}, {batch}"


def bits_per_char(loss: float, plan: Plan) -> float:
    """Convert a loss in nats per token to bits per character of the training stream."""
    return loss / math.log(2) / plan.chars_per_token


def measure(
    described: dict, plan: Plan, logged: TrainState, state: TrainState, waited: float, memory: float
) -> dict:
    """Progress, and speed since the state `logged`; `waited` are the seconds spent waiting for data."""
    tokens = plan.sequences_before(state.step) * plan.block_size
    flops_per_token = sum(described["flops_per_token"].values())
    seconds = state.train_seconds - logged.train_seconds
    speed = (state.step - logged.step) * plan.tokens_per_step / seconds  # tokens/s
    peak = described["peak_flops"]
    return {
        "step": state.step,
        "progress": plan.progress(state.step, state.train_seconds),
        "chars": round(tokens * plan.chars_per_token),
        "tokens": tokens,
        "flops": tokens * flops_per_token,
        "skipped_steps": state.skipped_steps,
        "tokens_per_second": speed,
        "chars_per_second": speed * plan.chars_per_token,
        "mfu": speed * flops_per_token / (peak * described["world_size"]) if peak else None,
        "data_wait": waited / seconds,
        "memory_gb": memory / 1e9,
        "train_seconds": state.train_seconds,
    }


def report(tokenizer: str, metrics: dict) -> str:
    """The line that is printed to a log file after each validation."""
    left = metrics["train_seconds"] * (1 / metrics["progress"] - 1)
    share = f"{metrics['mfu']:.0%} of peak" if metrics["mfu"] is not None else "peak unknown"
    return (
        f"{tokenizer}: step {metrics['step']}, {metrics['progress']:.0%}, val bpc {metrics['val_bpc']:.4f}, "
        f"{metrics['tokens_per_second']:,.0f} tokens/s, {share}, {left:,.0f} s left"
    )


def validation_subset(val: Split, chars: int) -> tuple[list[np.ndarray], int]:
    """Every k-th validation document, about `chars` characters in all: the same text for every tokenizer.

    Returns the token sequences and their number of characters.
    """
    every = max(1, val.chars // chars)
    return val.sequences()[::every], int(val.document_chars()[::every].sum())


def validate(
    model: LanguageModel, sequences: list[np.ndarray], chars: int, ranks: Ranks, scoring: Scoring
) -> float:
    """Bits per character of the validation subset; the ranks share its batches."""
    stride = max(1, model.block_size // 2)
    part = (ranks.rank, ranks.world_size)
    bits = ranks.sum_array(score(model, sequences, stride, ranks.device, part=part, scoring=scoring))
    return float(document_bits(bits, sequences)[0].sum()) / chars


if __name__ == "__main__":
    run_command(main, TrainConfig, "Train one model on the token arrays of one tokenizer.", end)
