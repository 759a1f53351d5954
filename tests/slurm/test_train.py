"""slurm/train.sbatch on a real cluster: nodes train what one machine trains, whatever happens to them."""

import pytest

from training.checkpoint import newest_checkpoint

from .toy import call, wait_for

pytestmark = pytest.mark.extended

TRAIN = "slurm/train.sbatch"
TWO = ("--nodes=2", "--gpus-per-node=1")


def test_two_nodes_train_what_one_machine_trains_to_the_last_bit(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).ends()
    assert run.result() == local_result
    assert "2 x cpu" in job.text()
    assert not list(run.folder.glob("stop*"))


def test_a_process_for_every_gpu_of_every_node(sbatch, new_run):
    run = new_run(budget={"steps": 20}, tracking={"validations": 1, "wandb": "disabled"})
    job = sbatch("--nodes=2", "--gpus-per-node=h100:2", TRAIN, run.folder).ends()
    assert "4 x cpu" in job.text()


def test_the_warning_before_the_time_limit_saves_and_queues_again(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.ends()
    assert job.get("Restarts") == "1"
    assert "stopped on request: queued again" in job.text()
    assert run.result() == local_result


def test_a_signal_before_training_has_begun_is_not_lost(sbatch, new_run, local_result):
    run = new_run()
    job = sbatch(*TWO, TRAIN, run.folder).wait("RUNNING")
    wait_for(lambda: run.folder.joinpath(".lock").exists() or job.text() != "no output", "the script")
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.ends()
    assert job.get("Restarts") == "1"
    assert run.result() == local_result


def test_a_run_that_fails_for_its_own_reasons_does_not_queue_again(sbatch, new_run):
    run = new_run(context={"chars": 0})
    job = sbatch(*TWO, TRAIN, run.folder)
    follower = sbatch(f"--dependency=afterok:{job.id}", "--kill-on-invalid-dep=yes", TRAIN, run.folder)
    job.wait("FAILED")
    follower.wait("CANCELLED")
    assert job.get("Restarts") == "0"
    assert "codebook: " in job.text()


def test_a_job_begins_again_only_so_often(sbatch, new_run, tmp_path):
    run = new_run()
    environment = tmp_path / "environment.sh"
    environment.write_text(environment.read_text() + "requeues=0\n")
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", "--batch", "--signal=USR1", job.id)
    job.wait("FAILED")
    assert job.get("ExitCode") == "75:0"
    assert "submit it again to go on" in job.text()
    sbatch(*TWO, TRAIN, run.folder).ends()


def test_a_job_that_is_cancelled_stays_so_and_has_saved(sbatch, new_run):
    run = new_run(budget={"steps": 100_000}, checkpoints={"seconds": 1000.0})
    job = sbatch(*TWO, TRAIN, run.folder).trains(run)
    call("scancel", job.id)
    job.wait("CANCELLED")
    wait_for(lambda: "COMPLETING" not in call("squeue", "--noheader", "--format=%T").stdout, "its end")
    assert job.get("JobState") == "CANCELLED"
    assert newest_checkpoint(run.folder / "checkpoints")[1]["step"] > 0
