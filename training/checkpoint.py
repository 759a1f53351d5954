"""Checkpoints: a folder each, published by rename, the newest intact one found by its content.

checkpoints/step-00000400/model.safetensors    weights and shape, enough for evaluation
                          optimizer.pt         optimizers and gradient scaler
                          state.json           step, seconds, identity of the run, SHA-256 of the others
"""

import shutil
import sys
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from model import save_model
from publish import new_folder, read_json, sha256_file, write_json

KEEP = 2  # the newest, and one more in case it is damaged


def save_checkpoint(folder: Path, model: nn.Module, optimizer: dict, state: dict) -> Path:
    """Publish `folder/step-N`, N from `state["step"]`, then remove all but the newest."""
    target = folder / f"step-{state['step']:08}"
    with new_folder(target) as temporary:
        save_model(model, temporary / "model.safetensors")
        torch.save(optimizer, temporary / "optimizer.pt")
        files = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        write_json(temporary / "state.json", {**state, "files": files})
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return target


def newest_checkpoint(folder: Path, speak: bool = True) -> tuple[Path, dict] | None:
    """The newest checkpoint whose files are all there and unchanged, with its state; None: there is none."""
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            state = read_json(path / "state.json")
        except ValueError:
            state = None
        if state and all(
            (path / name).exists() and sha256_file(path / name) == sha256
            for name, sha256 in state["files"].items()
        ):
            return path, state
        if speak:
            print(f"codebook: {path} is damaged: passed over", file=sys.stderr)
    return None


def differences(state: dict, identity: dict) -> list[str]:
    """In what a run of `identity` differs from the one that a checkpoint's state is of; `auto` never does."""
    return [key for key in identity if identity[key] not in ("auto", state["identity"].get(key))]


def restore_checkpoint(
    path: Path,
    state: dict,
    identity: dict,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
) -> dict:
    """Load weights, optimizers and scaler, and return the state.

    Raises:
        ValueError: the checkpoint is of a run with another `identity`; says what differs.
    """
    if differs := differences(state, identity):
        raise ValueError(
            f"{path} is of a run with another {', '.join(differs)}: "
            "give another --out, or remove the run to have it redone"
        )
    safetensors.torch.load_model(model, path / "model.safetensors")
    saved = torch.load(path / "optimizer.pt", map_location="cpu", weights_only=True)
    for optimizer, saved_state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(saved_state)
    scaler.load_state_dict(saved["scaler"])
    return state
