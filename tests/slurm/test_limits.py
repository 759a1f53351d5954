"""Runs survive time limits, preemption and dead nodes."""

import os
import signal
from pathlib import Path

import pytest

from .toy import call, wait_for

pytestmark = pytest.mark.extended

TRAIN = "slurm/train.sbatch"
TWO = ("--nodes=2", "--gpus-per-node=1")


def processes_of(run):
    """The processes that train a run."""
    lines = [(int(p.parent.name), p.read_bytes()) for p in Path("/proc").glob("[0-9]*/cmdline")]
    return [pid for pid, words in lines if b"train_ddp.py" in words and str(run.folder).encode() in words]


def test_a_run_that_reaches_its_time_limit_is_requeued(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, "--signal=B:USR1@1", TRAIN, run.folder).trains(run)
    call("scontrol", "update", f"jobid={job.id}", "EndTime=now+1")
    for process in processes_of(run):
        os.kill(process, signal.SIGSTOP)  # until Slurm checks the limit, which it does every half minute
    wait_for(lambda: "DUE TO TIME LIMIT" in job.text(), "the time limit")
    for process in processes_of(run):
        os.kill(process, signal.SIGCONT)
    job.ends()
    assert job.get("Restarts") == "1"
    assert run.result() == local_result


def test_a_run_that_cannot_stop_before_its_time_limit_fails_with_a_timeout(sbatch, new_run):
    run = new_run(budget={"steps": 100_000})
    job = sbatch(*TWO, "--signal=B:USR1@1", TRAIN, run.folder).trains(run)
    follower = sbatch(f"--dependency=afterok:{job.id}", "--kill-on-invalid-dep=yes", TRAIN, run.folder)
    for process in processes_of(run):
        os.kill(process, signal.SIGSTOP)
    call("scontrol", "update", f"jobid={job.id}", "EndTime=now+1")
    job.wait("TIMEOUT")
    follower.wait("CANCELLED")


def test_a_preempted_job_resumes_when_nodes_are_free(sbatch, new_run, local_result, toy):
    run = new_run()
    everything = ("--exclusive", f"--nodes={len(toy.nodes)}")
    job = sbatch("--partition=low", *TWO, TRAIN, run.folder).trains(run)
    other = sbatch("--partition=high", *everything, "--wrap=sleep 2")
    other.ends()
    job.ends()
    assert int(job.get("Restarts")) == 1
    assert run.result() == local_result


@pytest.mark.parametrize("which", ["the first node", "the other node"])
def test_a_node_that_dies_is_replaced_by_another(sbatch, new_run, local_result, toy, which):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    name = toy.nodes[0][:-1]
    assert job.get("NodeList") == f"{name}[1-2]"
    lost, left = (1, "[2-3]") if which == "the first node" else (2, "[1,3]")
    lost = toy.nodes[lost - 1]
    toy.power_off(lost)
    try:
        job.ends()
        assert job.get("NodeList") == name + left
        assert run.result() == local_result
    finally:
        toy.start_node(lost)
        wait_for(lambda: set(toy.states()) == {"idle"}, lost)
