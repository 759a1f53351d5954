"""slurm/train.sbatch on a real cluster: it gives the result of a single machine, whatever happens."""

import pytest

from training.checkpoint import newest_checkpoint

from .toy import call, wait_for

pytestmark = pytest.mark.extended

TRAIN = "slurm/train.sbatch"
TWO = ("--nodes=2", "--gpus-per-node=1")


def test_two_nodes_give_bitwise_the_result_of_one_machine(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).ends()
    assert run.result() == local_result
    assert "2 x cpu" in job.text()
    assert not list(run.folder.glob("stop*"))


def test_there_is_one_process_per_gpu_on_every_node(sbatch, new_run):
    run = new_run(budget={"steps": 20}, tracking={"validations": 1, "wandb": "disabled"})
    job = sbatch("--nodes=2", "--gpus-per-node=h100:2", TRAIN, run.folder).ends()
    assert "4 x cpu" in job.text()


def test_the_warning_before_the_time_limit_saves_and_requeues(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.ends()
    assert job.get("Restarts") == "1"
    assert "stopped on request: requeued" in job.text()
    assert run.result() == local_result


def test_a_signal_before_training_has_begun_is_not_lost(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).wait("RUNNING")
    wait_for(lambda: run.folder.joinpath(".lock").exists() or job.text() != "no output", "the script")
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.ends()
    assert job.get("Restarts") == "1"
    assert run.result() == local_result


def test_a_run_that_fails_by_itself_is_not_requeued(sbatch, new_run):
    run = new_run(context={"chars": 0})
    job = sbatch(*TWO, TRAIN, run.folder)
    follower = sbatch(f"--dependency=afterok:{job.id}", "--kill-on-invalid-dep=yes", TRAIN, run.folder)
    job.wait("FAILED")
    follower.wait("CANCELLED")
    assert job.get("Restarts") == "0"
    assert "codebook: " in job.text()


def test_the_number_of_requeues_is_limited(sbatch, new_run, tmp_path):
    run = new_run()
    environment = tmp_path / "environment.sh"
    environment.write_text(environment.read_text() + "requeues=0\n")
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.wait("FAILED")
    assert job.get("ExitCode") == "75:0"
    assert "submit it again to resume" in job.text()
    sbatch(*TWO, TRAIN, run.folder).ends()


def test_a_cancelled_job_saves_and_is_not_requeued(sbatch, new_run):
    run = new_run(budget={"steps": 100_000}, checkpoints={"seconds": 1000.0})
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", job.id)
    job.wait("CANCELLED")
    wait_for(lambda: "COMPLETING" not in call("squeue", "--noheader", "--format=%T").stdout, "its end")
    assert job.get("JobState") == "CANCELLED"
    assert newest_checkpoint(run.folder / "checkpoints")[1]["step"] > 0
