"""Checkpoints: a folder each, published by rename, the newest intact one found by its content.

checkpoints/step-00000400/model.safetensors    weights and shape, enough for evaluation
                          optimizer.pt         optimizers and gradient scaler
                          state.json           step, seconds, identity of the run, SHA-256 of the others

Nothing in them runs code when it is loaded. Training goes on while one is written, from a copy.
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

SPACING = 400  # a checkpoint is made that many times as rarely as it takes: a quarter of a per cent


class Checkpoints:
    """The checkpoints of a run, written by a thread; of one process alone, the one that holds the folder.

    Keeps the newest `config.keep_last`, and with `keep_best` the one of `state.best_step` too.
    One that cannot be written leaves the others as they are; the error is raised by the next call.
    """

    def __init__(self, folder: Path, config: CheckpointConfig) -> None:
        self.folder, self.config = folder, config
        self.thread = ThreadPoolExecutor(1)
        self.writing: Future | None = None
        self.last, self.cost = time.perf_counter(), 0.0
        self.saved: int | None = None  # the newest step
        for left in folder.glob(".step-*"):  # by a process that was killed
            shutil.rmtree(left)

    def due(self) -> bool:
        """Whether it is time for another one: after `config.seconds`, or later if making one takes long."""
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
        """Write one of `state.step` from a copy; `before` is called when all but the rename is done.

        Raises:
            OSError: this one would not fit, or an earlier one could not be written.
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
        """Return when nothing is being written any more; raises what that has raised."""
        if self.writing:
            writing, self.writing = self.writing, None
            self.cost += writing.result()

    def _write(self, weights: Weights, optimizer: dict, state: dict, before: Callable[[], None]) -> float:
        begun = time.thread_time()
        needed = sum(t.nbytes for t in tensors((weights.tensors, optimizer)))
        free = shutil.disk_usage(self.folder.parent).free
        if free < 1.01 * needed + 65536:
            raise OSError(
                f"{self.folder} has {free / 1e6:,.1f} MB of free space, a checkpoint takes "
                f"{needed / 1e6:,.1f} MB: make room; the same command resumes from the last checkpoint"
            )
        try:
            write_checkpoint(self.folder, weights, optimizer, state, before)
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have their own
            raise OSError(
                f"{self.folder}: the checkpoint of step {state['step']} could not be written ({error}): "
                "mend that; the same command resumes from the last one"
            ) from error
        found = [path for path, _ in list_checkpoints(self.folder)]
        best = self.folder / name(state["best_step"] or 0) if self.config.keep_best else None
        for old in found[self.config.keep_last :]:
            if old != best:
                going = old.with_name(f".{old.name}.old")  # so that none is ever there in part
                old.rename(going)
                shutil.rmtree(going)
        return time.thread_time() - begun


def copied(value: Any) -> Any:
    """The same with a copy of each tensor in it, in the machine's memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list | tuple) else value


def tensors(value: object) -> list[Tensor]:
    """All tensors in dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for inner in value for tensor in tensors(inner)]
    return [value] if isinstance(value, Tensor) else []


def name(step: int) -> str:
    """The name of the folder of a step's checkpoint."""
    return f"step-{step:08}"


def write_checkpoint(
    folder: Path,
    weights: Weights,
    optimizer: dict,
    state: dict,
    before: Callable[[], None] = lambda: None,
) -> None:
    """Publish `folder/step-N`, N from `state["step"]`; `before` is called when all but the rename is done."""
    with new_folder(folder / name(state["step"])) as temporary:
        save_model(weights, temporary / "model.safetensors")
        torch.save(optimizer, temporary / "optimizer.pt")
        files = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / "state.json", {**state, "files": files})
        before()


def list_checkpoints(
    folder: Path, damaged: Callable[[Path], None] = lambda path: None
) -> list[tuple[Path, dict]]:
    """Every checkpoint whose state can be read, with it, newest first by what the state says."""
    found = []
    for path in sorted(folder.glob("[!.]*")):
        try:
            state = read_json(path / "state.json") or {}
            found.append((int(state["step"]), path, {**state, "files": dict(state["files"])}))
        except (ValueError, TypeError, KeyError, OSError, AttributeError):
            damaged(path)
    return [(path, state) for _, path, state in sorted(found, key=lambda one: one[0], reverse=True)]


def newest_checkpoint(folder: Path, speak: bool = True) -> tuple[Path, dict] | None:
    """The newest checkpoint whose files are all there and unchanged, with its state; None: there is none."""

    def warn(path: Path) -> None:
        if speak:
            print(f"codebook: {path} is damaged: passed over", file=sys.stderr)

    for path, state in list_checkpoints(folder, warn):
        if all(
            (path / file).exists() and sha256_file(path / file) == sha256
            for file, sha256 in state["files"].items()
        ):
            return path, state
        warn(path)
    return None


def differences(state: dict, identity: dict) -> list[str]:
    """Options in which a run of `identity` differs from the one that a checkpoint's state is of, such as
    optimizer.lr; a wanted `auto` never does.
    """

    def leaves(value: object, path: str) -> dict[str, object]:
        if not isinstance(value, dict):
            return {path: value}
        return {k: v for key in value for k, v in leaves(value[key], f"{path}.{key}".strip(".")).items()}

    wanted = leaves(identity, "")
    began = leaves({key: value for key, value in state["identity"].items() if key in identity}, "")
    differs = [key for key in {**wanted, **began} if wanted.get(key) not in ("auto", began.get(key))]
    # Batches that the run went back over, as earlier versions could
    return differs + ["batches_passed"] * bool(state.get("batches_passed"))


def restore_checkpoint(
    path: Path,
    state: dict,
    identity: dict,
    model: LanguageModel,
    optimizers: list[torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
) -> TrainState:
    """Load weights, optimizers and scaler, and return the state.

    Raises:
        ValueError: the checkpoint is of a run with another `identity`; says what differs.
    """
    if differs := differences(state, identity):
        raise ValueError(
            f"{path} is of a run with another {', '.join(differs)}: "
            "give another --out, or remove the run to have it redone"
        )
    restored = TrainState.from_json(state)
    safetensors.torch.load_model(model, path / "model.safetensors")
    saved = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
    for optimizer, saved_state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(saved_state)
    scaler.load_state_dict(saved["scaler"])
    return restored
