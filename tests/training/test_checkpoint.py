"""Checkpoints: published whole, the newest intact one is found, one of another run is refused."""

import pytest
import torch

from model import ModelConfig, build_model
from training.checkpoint import newest_checkpoint, restore_checkpoint, save_checkpoint
from training.optimizer import OptimizerConfig, make_optimizers
from training.precision import grad_scaler

MUON = OptimizerConfig(name="muon")
IDENTITY = {"seed": 0, "precision": "fp32"}


@pytest.fixture
def parts():
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=1, n_embd=8, n_head=2), 20, 8)
    optimizers = make_optimizers(model, MUON)
    scaler = grad_scaler("cpu", "fp16")
    idx = torch.randint(20, (4, 8))
    scaler.scale(model(idx, idx)).backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update(2.0)
    return model, optimizers, scaler


def save(folder, parts, step):
    model, optimizers, scaler = parts
    states = {"optimizers": [o.state_dict() for o in optimizers], "scaler": scaler.state_dict()}
    return save_checkpoint(folder, model, states, {"step": step, "identity": IDENTITY})


def test_what_is_restored_is_what_was_saved(tmp_path, parts):
    save(tmp_path, parts, 5)
    model, optimizers, scaler = parts
    torch.manual_seed(1)
    other = build_model(model.config, 20, 8)
    others, other_scaler = make_optimizers(other, MUON), grad_scaler("cpu", "fp16")
    state = restore_checkpoint(*newest_checkpoint(tmp_path), IDENTITY, other, others, other_scaler)
    assert state["step"] == 5
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for name, saved, loaded in zip(("momentum", "exp_avg_sq"), optimizers, others, strict=True):
        saved, loaded = saved.state_dict()["state"], loaded.state_dict()["state"]
        assert saved and all(torch.equal(saved[i][name], loaded[i][name]) for i in saved)
    assert other_scaler.state_dict()["scale"] == scaler.state_dict()["scale"] == 2.0


def test_the_newest_two_are_kept(tmp_path, parts):
    for step in (1, 2, 30, 4):
        save(tmp_path, parts, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000004", "step-00000030"]
    assert newest_checkpoint(tmp_path)[1]["step"] == 30


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_one_is_passed_over(tmp_path, parts, name, damage, capsys):
    save(tmp_path, parts, 1)
    file = save(tmp_path, parts, 2) / name
    content = bytearray(file.read_bytes())
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    elif name == "state.json":
        file.write_text("{}garbage")
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert newest_checkpoint(tmp_path)[1]["step"] == 1
    assert "damaged" in capsys.readouterr().err


def test_none_is_found_where_there_is_none(tmp_path):
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_one_of_another_run_is_refused_with_what_differs(tmp_path, parts):
    save(tmp_path, parts, 1)
    with pytest.raises(ValueError, match="another precision"):
        restore_checkpoint(*newest_checkpoint(tmp_path), {**IDENTITY, "precision": "bf16"}, *parts)
