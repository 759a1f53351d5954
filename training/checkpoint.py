"""Checkpoints: one folder each, published by rename. The newest intact one is found by its content.

checkpoints/step-00000400/model.safetensors    weights and shapes, enough for evaluation
                          optimizer.pt         optimizers and gradient scaler
                          state.json           step, seconds, identity of the run, SHA-256 of the other files

Loading a checkpoint cannot run code. A checkpoint is written from a copy while training continues.
"""

import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from common.files import new_folder, read_json, sha256_file, write_json
from model import LanguageModel, Weights, save_model

from .config import CheckpointConfig
from .state import TrainState

SPACING = 400  # the interval is at least this many times the cost, which is thus at most 0.25 % of the time


class Checkpoints:
    """The checkpoints of a run, written in a thread; used only by the process that has locked the folder.

    Keeps the newest `config.keep_last` and, with `keep_best`, the one of `state.best_step`. A failed write
    leaves the other checkpoints unchanged; the next call raises the error.
    """

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self.thread = ThreadPoolExecutor(1)
        self.writing: Future | None = None
        self.last, self.cost = time.perf_counter(), 0.0
        self.saved: int | None = None  # step of the newest checkpoint
        for left in folder.glob(".step-*"):  # left by a process that was killed
            shutil.rmtree(left)

    def due(self) -> bool:
        """True if the next checkpoint is due: after `config.seconds`, or later if writing one takes long."""
        if self.writing and self.writing.done():
            self.wait()
        spacing = max(self.config.seconds, SPACING * self.cost)
        return not self.writing and time.perf_counter() - self.last > spacing

    def save(
        self,
        model: LanguageModel,
        optimizer: dict,
        state: TrainState,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the checkpoint of `state.step` from a copy; `before` is called just before the rename.

        Raises:
            OSError: the previous checkpoint could not be written.
        """
        begun = time.perf_counter()
        self.wait()
        if self.saved == state.step:
            return
        weights = model.weights()
        weights = replace(weights, tensors=copied(weights.tensors))
        copy = (weights, copied(optimizer), asdict(state), before)
        self.last = time.perf_counter()
        self.cost = self.last - begun
        self.saved = state.step
        self.writing = self.thread.submit(self._write, *copy)

    def wait(self) -> None:
        """Wait until the checkpoint under way is written; raise the error if that failed."""
        if self.writing:
            writing, self.writing = self.writing, None
            self.cost += writing.result()

    def _write(self, weights: Weights, optimizer: dict, state: dict, before: Callable[[], None]) -> float:
        begun = time.thread_time()
        needed = sum(t.nbytes for t in tensors((weights.tensors, optimizer)))
        free = shutil.disk_usage(self.folder.parent).free
        if free < 1.01 * needed + 65536:
            raise OSError(
                f"{self.folder} has {free / 1e6:,.1f} MB of free space, but a checkpoint needs "
                f"{needed / 1e6:,.1f} MB: free some; the same command resumes from the last checkpoint"
            )
        try:
            write_checkpoint(self.folder, weights, optimizer, state, before)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors raise their own
            raise OSError(
                f"{self.folder}: the checkpoint of step {state['step']} could not be written ({error}): "
                "fix this; the same command resumes from the last one"
            ) from error
        found = [path for path, _ in list_checkpoints(self.folder)]
        best = self.folder / name(state["best_step"] or 0) if self.config.keep_best else None
        for old in found[self.config.keep_last :]:
            if old != best:
                going = old.with_name(f".{old.name}.old")  # so that no partly deleted one has its name
                old.rename(going)
                shutil.rmtree(going)
        return time.thread_time() - begun


def copied(value: Any) -> Any:
    """The same dicts and lists with every tensor copied to CPU memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def tensors(value: object) -> list[Tensor]:
    """All tensors in nested dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for inner in value for tensor in tensors(inner)]
    return [value] if isinstance(value, Tensor) else []


def name(step: int) -> str:
    """The folder name of the checkpoint of a step."""
    return f"step-{step:08}"


def write_checkpoint(
    folder: Path,
    weights: Weights,
    optimizer: dict,
    state: dict,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Publish `folder/step-N`, where N is `state["step"]`; `before` is called just before the rename."""
    with new_folder(folder / name(state["step"])) as temporary:
        save_model(weights, temporary / "model.safetensors")
        torch.save(optimizer, temporary / "optimizer.pt")
        files = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / "state.json", {**state, "files": files})
        before()


def list_checkpoints(
    folder: Path, damaged: Callable[[Path], None] = lambda path: None
) -> list[tuple[Path, dict]]:
    """The checkpoints whose state.json can be read, each with that state, newest step first.

    `damaged` is called with the folder of every other one.
    """
    found = []
    for path in sorted(folder.glob("[!.]*")):
        try:
            state = read_json(path / "state.json") or {}
            found.append((int(state["step"]), path, {**state, "files": dict(state["files"])}))
        except (ValueError, TypeError, KeyError, OSError, AttributeError):
            damaged(path)
    return [(path, state) for _, path, state in sorted(found, key=lambda one: one[0], reverse=True)]


def newest_checkpoint(folder: Path, speak: bool = True) -> tuple[Path, dict] | None:
    """The newest checkpoint whose files are complete and unchanged, with its state; None if there is none."""

    def warn(path: Path) -> None:
        if speak:
            print(f"codebook: {path} is damaged: skipped", file=sys.stderr)

    for path, state in list_checkpoints(folder, warn):
        if all(
            (path / file).exists() and sha256_file(path / file) == sha256
            for file, sha256 in state["files"].items()
        ):
            return path, state
        warn(path)
    return None


def differences(state: dict, identity: dict) -> list[str]:
    """The options, such as optimizer.lr, in which `identity` differs from that of a checkpoint's state.

    A value of `auto` in `identity` never differs.
    """

    def leaves(value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            return {path: value}
        return {k: v for key in value for k, v in leaves(value[key], f"{path}.{key}".strip(".")).items()}

    wanted = leaves(identity, "")
    began = leaves({key: value for key, value in state["identity"].items() if key in identity}, "")
    differs = [key for key in {**wanted, **began} if wanted.get(key) not in ("auto", began.get(key))]
    # Earlier versions could go back to a checkpoint and skip the batches since
    return differs + ["batches_passed"] * bool(state.get("batches_passed"))


def restore_checkpoint(
    path: Path,
    state: dict,
    identity: dict,
    model: LanguageModel,
    optimizers: list[torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
) -> TrainState:
    """Load weights, optimizers and scaler from a checkpoint, and return the state.

    Raises:
        ValueError: the checkpoint belongs to a run with another `identity`; names the options that differ.
    """
    if differs := differences(state, identity):
        raise ValueError(
            f"{path} belongs to a run with a different {', '.join(differs)}: "
            "choose another --out, or delete the run to train it again"
        )
    restored = TrainState.from_json(state)
    safetensors.torch.load_model(model, path / "model.safetensors")
    saved = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
    for optimizer, saved_state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(saved_state)
    scaler.load_state_dict(saved["scaler"])
    return restored
