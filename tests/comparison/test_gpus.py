"""GPUs of simultaneous runs, by name only: no GPU is needed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from comparison import Comparison, local
from comparison.config import Recipe
from comparison.gpus import assign_gpus, visible_gpus
from comparison.local import environments
from training.budget import Budget, TextAmount


@pytest.mark.parametrize(
    ("gpus", "processes", "jobs", "assigned"),
    [
        ("0", 1, None, ["0"]),
        ("0123", 1, None, ["0", "1", "2", "3"]),
        ("0123", 2, None, ["0,1", "2,3"]),
        ("01234", 2, None, ["0,1", "2,3"]),
        ("0123", 4, None, ["0,1,2,3"]),
        ("0123", 1, 2, ["0", "1"]),
        ("01", 1, 5, ["0", "1", "0", "1", "0"]),
        ("0123", 2, 3, ["0,1", "2,3", "0,1"]),
    ],
)
def test_every_run_has_its_own_gpus_and_additional_runs_share_them(gpus, processes, jobs, assigned):
    assert assign_gpus(gpus, processes, jobs) == assigned


@given(st.integers(1, 16), st.integers(1, 16), st.none() | st.integers(1, 40))
def test_processes_of_a_run_never_share_a_gpu_and_runs_share_gpus_evenly(count, processes, jobs):
    gpus = list(map(str, range(count)))
    if processes > count:
        with pytest.raises(ValueError, match=f"processes is {processes}, but this machine has {count} GPUs"):
            assign_gpus(gpus, processes, jobs)
        return
    assigned = [own.split(",") for own in assign_gpus(gpus, processes, jobs)]
    assert len(assigned) == (jobs or count // processes)
    assert all(len(set(own)) == processes and set(own) <= set(gpus) for own in assigned)
    runs = [sum(gpu in own for own in assigned) for gpu in gpus[: count // processes * processes]]
    assert max(runs) - min(runs) <= 1
    if jobs is None:
        assert runs == [1] * len(runs)


@pytest.mark.parametrize(
    ("inherited", "count", "visible"),
    [
        (None, 3, ["0", "1", "2"]),
        ("2,5", 2, ["2", "5"]),
        ("GPU-8f1c, GPU-77aa", 2, ["GPU-8f1c", "GPU-77aa"]),
        ("3,99,1", 1, ["3"]),  # CUDA sees nothing after a missing GPU
        ("", 0, []),
    ],
)
def test_an_inherited_list_is_respected(monkeypatch, inherited, count, visible):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if inherited is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert visible_gpus() == visible


def comparison(processes: int = 1) -> Comparison:
    return Comparison(
        name="gpus",
        tokenizers=["char"],
        models={"gpt": Recipe()},
        context=TextAmount(chars=64),
        batch=TextAmount(chars=1024),
        budget=Budget(chars=10_000),
        processes=processes,
    )


def test_the_environment_of_a_run_names_its_gpus(monkeypatch):
    monkeypatch.setattr(local, "pick_device", lambda device: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(local.os, "cpu_count", lambda: 16)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = environments(comparison(processes=2), None)
    assert [env["CUDA_VISIBLE_DEVICES"] for env in found] == ["4,5", "6,7"]
    assert {env["OMP_NUM_THREADS"] for env in found} == {"4"}
    assert {env["RUNS_PER_GPU"] for env in found} == {"1"}
    shared = environments(comparison(processes=2), 3)
    assert [env["RUNS_PER_GPU"] for env in shared] == ["2", "1", "2"]  # runs that share its memory


def test_on_a_cpu_there_is_a_run_per_core_and_a_set_number_of_threads_is_kept(monkeypatch):
    monkeypatch.setattr(local, "pick_device", lambda device: "cpu")
    monkeypatch.setattr(local.os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert len(environments(comparison(), None)) == 8
    assert len(environments(comparison(processes=2), None)) == 4
    assert [env["OMP_NUM_THREADS"] for env in environments(comparison(), 2)] == ["3", "3"]
