"""Checkpoints: published complete; the newest intact one is found; one of another run is refused."""

import os
import shutil
import time
from dataclasses import asdict

import pytest
import torch

from common.files import write_json
from model import ModelConfig, build_model
from training.checkpoint import Checkpoints, newest_checkpoint, restore_checkpoint, write_checkpoint
from training.config import CheckpointConfig
from training.optimizer import OptimizerConfig, make_optimizers
from training.precision import grad_scaler
from training.state import TrainState

MUON = OptimizerConfig(name="muon")
IDENTITY = {"seed": 0, "precision": "fp32", "optimizer": {"lr": 0.1}}


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


def state(step, best=None):
    return TrainState(IDENTITY, step, best_step=best)


def optimizer_state(parts):
    _, optimizers, scaler = parts
    return {"optimizers": [o.state_dict() for o in optimizers], "scaler": scaler.state_dict()}


def save(folder, parts, step):
    write_checkpoint(folder, parts[0].weights(), optimizer_state(parts), asdict(state(step)))
    return folder / f"step-{step:08}"


@pytest.fixture
def checkpoints(tmp_path):
    """A function that opens the checkpoints below `tmp_path` with the given options."""
    return lambda **options: Checkpoints(tmp_path / "checkpoints", CheckpointConfig(**options))


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "checkpoints").iterdir())


def test_restoring_gives_back_everything_that_was_saved(tmp_path, parts):
    save(tmp_path, parts, 5)
    model, optimizers, scaler = parts
    torch.manual_seed(1)
    other = build_model(model.config, 20, 8)
    others, other_scaler = make_optimizers(other, MUON), grad_scaler("cpu", "fp16")
    state = restore_checkpoint(*newest_checkpoint(tmp_path), IDENTITY, other, others, other_scaler)
    assert state.step == 5
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for name, saved, loaded in zip(("momentum", "exp_avg_sq"), optimizers, others, strict=True):
        saved, loaded = saved.state_dict()["state"], loaded.state_dict()["state"]
        assert saved and all(torch.equal(saved[i][name], loaded[i][name]) for i in saved)
    assert other_scaler.state_dict()["scale"] == scaler.state_dict()["scale"] == 2.0


def test_the_newest_are_kept(tmp_path, parts, checkpoints):
    made = checkpoints(keep_last=2)
    for step in (1, 2, 4, 30):
        made.save(parts[0], optimizer_state(parts), state(step))
    made.wait()
    assert kept(tmp_path) == ["step-00000004", "step-00000030"]
    assert newest_checkpoint(tmp_path / "checkpoints")[1]["step"] == 30


def test_the_best_is_kept_too(tmp_path, parts, checkpoints):
    made = checkpoints(keep_last=1, keep_best=True)
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 2)):
        made.save(parts[0], optimizer_state(parts), state(step, best))
    made.wait()
    assert kept(tmp_path) == ["step-00000002", "step-00000004"]


def test_a_checkpoint_holds_the_state_at_the_time_of_the_call(tmp_path, parts, checkpoints):
    """Training continues while it is written."""
    made, model = checkpoints(), parts[0]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    momentum = parts[1][0].state_dict()["state"][0]["momentum"].clone()

    def continue_training():
        time.sleep(0.1)
        with torch.no_grad():
            for tensor in (*model.parameters(), parts[1][0].state_dict()["state"][0]["momentum"]):
                tensor.zero_()

    made.save(model, optimizer_state(parts), state(1))
    continue_training()
    made.wait()
    path, found = newest_checkpoint(tmp_path / "checkpoints")
    restore_checkpoint(path, found, IDENTITY, *parts)
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(parts[1][0].state_dict()["state"][0]["momentum"], momentum)


def test_without_space_for_a_new_one_the_others_are_kept(tmp_path, parts, checkpoints, monkeypatch):
    made = checkpoints(keep_last=1)
    made.save(parts[0], optimizer_state(parts), state(1))
    made.wait()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    made.save(parts[0], optimizer_state(parts), state(2))
    with pytest.raises(OSError, match=r"0\.0 MB of free space, but a checkpoint needs .* free some"):
        made.wait()
    assert kept(tmp_path) == ["step-00000001"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path, parts, checkpoints):
    (tmp_path / "checkpoints" / ".step-00000007.123.tmp").mkdir(parents=True)
    checkpoints().save(parts[0], optimizer_state(parts), state(1))
    assert ".step-00000007.123.tmp" not in kept(tmp_path)


def test_the_newest_is_found_by_the_step_in_its_state(tmp_path, parts):
    """Names and times of files are not trusted."""
    save(tmp_path, parts, 5).rename(tmp_path / "step-00000001")
    older = save(tmp_path, parts, 3)
    os.utime(older, (2e9, 2e9))
    older.rename(tmp_path / "step-99999999")
    assert newest_checkpoint(tmp_path)[1]["step"] == 5


def test_a_process_killed_while_saving_leaves_a_checkpoint_that_can_be_loaded(tmp_path, run_killing):
    """Whether it is killed before the rename, after it, or during the clean-up."""
    script = """
import shutil
from pathlib import Path
import torch
from model import ModelConfig, build_model
from training.checkpoint import Checkpoints, newest_checkpoint
from training.config import CheckpointConfig
folder = Path(sys.argv[1])
torch.set_num_threads(1)
model = build_model(ModelConfig(n_layer=1, n_embd=8, n_head=2), 20, 8)
config = CheckpointConfig(keep_last=1)

def save(step):
    Checkpoints(folder, config)._write(model.weights(), {}, {"step": step, "best_step": None}, lambda: None)

save(1)
seen = set()
for _ in killed_at_every_step(lambda: save(2)):
    path, state = newest_checkpoint(folder)
    there = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    seen.add((state["step"], len(there)))
    shutil.rmtree(folder)
    save(1)
assert seen == {(1, 1), (2, 2), (2, 1)}, seen
"""
    run_killing(script, tmp_path / "checkpoints")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed"])
def test_a_damaged_one_is_skipped(tmp_path, parts, name, damage, capsys):
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


def test_one_of_another_run_is_refused_and_the_differences_are_named(tmp_path, parts):
    save(tmp_path, parts, 1)
    wanted = {**IDENTITY, "precision": "bf16", "optimizer": {"lr": 0.2}}
    with pytest.raises(ValueError, match=r"a different precision, optimizer\.lr"):
        restore_checkpoint(*newest_checkpoint(tmp_path), wanted, *parts)


def test_one_of_a_run_that_skipped_batches_which_other_runs_saw_is_refused(tmp_path, parts):
    """Earlier versions could go back to a checkpoint and skip all batches since."""
    content = asdict(state(1)) | {"batches_passed": 12}
    write_checkpoint(tmp_path, parts[0].weights(), optimizer_state(parts), content)
    with pytest.raises(ValueError, match=r"a different batches_passed: .* delete the run"):
        restore_checkpoint(*newest_checkpoint(tmp_path), IDENTITY, *parts)
    write_checkpoint(tmp_path, parts[0].weights(), optimizer_state(parts), content | {"batches_passed": 0})
    assert restore_checkpoint(*newest_checkpoint(tmp_path), IDENTITY, *parts).step == 1


def test_loading_one_runs_no_code_from_it(tmp_path, parts):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "attacked"),)

    path = save(tmp_path, parts, 1)
    torch.save({"optimizers": [Attack()], "scaler": {}}, path / "optimizer.pt")
    with pytest.raises(Exception, match="weights_only"):
        restore_checkpoint(path, asdict(state(1)), IDENTITY, *parts)
    assert not (tmp_path / "attacked").exists()


def test_a_folder_that_is_not_a_checkpoint_is_skipped(tmp_path, parts, capsys):
    save(tmp_path, parts, 1)
    for content in ([], {"step": "two"}, {"step": 3}):
        (tmp_path / "step-00000009").mkdir(exist_ok=True)
        write_json(tmp_path / "step-00000009" / "state.json", content)
        assert newest_checkpoint(tmp_path)[1]["step"] == 1
        assert "step-00000009 is damaged" in capsys.readouterr().err
