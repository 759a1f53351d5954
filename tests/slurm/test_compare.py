"""`compare.py submit FILE` on a real cluster: a whole comparison with one command."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from common.files import read_json
from training.tracking import read_metrics

from ..tokenizers.test_tokenizers_plugin import WORDS
from ..wandb.server import KEY, WandbServer, environment
from .conftest import ROOT
from .toy import call, wait_for

pytestmark = pytest.mark.extended


def copy_of_the_code(checkout):
    """A folder with the files of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, text=True, capture_output=True).stdout.split():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, checkout / name)
    return checkout


@pytest.fixture
def wandb_server():
    with WandbServer() as server:
        yield server
    assert server.unknown == []


def bpc(folder):
    """The bits per character of each row of the report."""
    rows = read_json(folder / "report" / "results.json")["rows"]
    return {(row["tokenizer"], row["model"]): row["test_bpc"] for row in rows}


def test_one_command_runs_a_whole_comparison_with_the_submitted_code(compared, tmp_path, wandb_server):
    checkout = copy_of_the_code(tmp_path / "checkout")
    login = environment(wandb_server.url, tmp_path / "home")
    del login["WANDB_DIR"]  # in the folders of the runs, the default
    compared.content["tracking"]["wandb"] = "auto"
    compared.cluster_content |= {
        "corpus_parts": "2",
        "encode_parts": "2",
        "runs_at_once": "1",
        "all": {"begin": "now+5"},
    }
    compared.content["budget"] = {"steps": 400}
    jobs = compared.submit(checkout=checkout, environment=login)
    ids = {what.split(",")[0]: id_ for id_, what in jobs.items()}
    assert list(ids) == [
        "corpus (2 jobs)",
        *("tokenizer byte", "encode byte (2 jobs)", "tokenizer bpe-300", "encode bpe-300 (2 jobs)"),
        *("prepare", "train (2 jobs)", "evaluate (2 jobs)", "report"),
    ]
    train, prepare = ids["train (2 jobs)"], ids["prepare"]
    assert jobs[ids["evaluate (2 jobs)"]].endswith(f"afterok:{prepare},aftercorr:{train}")
    assert call("squeue", "--noheader", f"--jobs={train}", "--format=%K").stdout.strip() == "1-2%1"
    assert compared.submit(checkout=checkout, environment=login) == {}  # everything is waiting or running
    for part in checkout.iterdir():
        shutil.rmtree(part) if part.is_dir() else part.unlink()

    # One of the runs is warned of its time limit: it is requeued, and the evaluation waits for it
    wait_for((compared.folder / "runs/byte/gpt/seed0/.lock").exists, "the first run")
    call("scancel", "--batch", "--signal=USR1", f"{train}_1")
    compared.ends()
    assert re.findall(r"^\w+ +(.*)$", compared.status(), re.M) == [
        *("2 done", "2 done", "4 done", "1 done", "2 done", "2 done", "1 done")
    ]
    found = bpc(compared.folder)
    assert len(found) == 2
    shown = [call("scontrol", "show", "job", f"{train}_{task}").stdout for task in (1, 2)]
    assert [re.search(r"Restarts=(\d)", text)[1] for text in shown] == ["1", "0"]

    # Each run is one in wandb, with each step once; the key is in no file of the comparison
    trained = {run.name: run for run in wandb_server.runs.values() if run.job_type == "train"}
    assert set(trained) == {"byte gpt seed 0", "bpe-300 gpt seed 0"}
    for tokenizer in ("byte", "bpe-300"):
        run, record = trained[f"{tokenizer} gpt seed 0"], compared.folder / f"runs/{tokenizer}/gpt/seed0"
        steps = [line["step"] for line in read_metrics(record / "metrics.jsonl")]
        assert sorted(run.history) == steps and len(run.rows) == len(steps)
    assert any(run.job_type == "report" for run in wandb_server.runs.values())
    assert any(request.key == KEY for request in wandb_server.requests)
    files = [path for path in compared.folder.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []

    # A lost result, and everything that depends on it, is made again with the same code
    (compared.folder / "runs/byte/gpt/seed0/result.json").unlink()
    checkout.mkdir(exist_ok=True)
    (frozen,) = compared.folder.glob("slurm/*/submit.sh")
    variables = {**os.environ, **login}
    done = subprocess.run(["bash", frozen], env=variables, capture_output=True, text=True)
    assert re.findall(r"^ +\d+  (\w+)", done.stdout, re.M) == ["prepare", "evaluate", "report"], done.stderr
    compared.ends()
    assert bpc(compared.folder) == found

    # The same comparison on this machine gives the same up to rounding: two nodes there, one process here
    compared.content["out"], compared.content["tracking"]["wandb"] = str(tmp_path / "here"), "disabled"
    done = compared.call("run")
    assert done.returncode == 0, done.stderr
    here = bpc(tmp_path / "here" / "tiny")
    assert all(abs(value - found[row]) < 1e-3 for row, value in here.items())


def test_learning_rates_are_tried_on_the_cluster_and_divergence_is_a_result(compared):
    compared.content["models"]["gpt"]["lr"] = [3e-3, 1e6]
    compared.content["tokenizers"] = ["byte"]
    compared.cluster_content["train"] = {"nodes": "1"}
    jobs = [what.split(",")[0] for what in compared.submit().values()]
    assert jobs[3:] == [
        "prepare",
        "trials (2 jobs)",
        "rates",
        "train (1 job)",
        "evaluate (1 job)",
        "report",
    ]
    compared.ends()
    assert re.search(r"^trials +2 done$", compared.status(), re.M)
    (row,) = read_json(compared.folder / "report" / "results.json")["rows"]
    assert row["lr"] == 3e-3


def test_a_tokenizer_of_the_users_and_a_ladder_go_through_a_whole_comparison(compared, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(WORDS)
    compared.content["tokenizers"] = [f"python:{mine}:Words-300", "bpe-280", "bpe-300", "superbpe-300"]
    compared.content["budget"] = {"steps": 20}
    compared.cluster_content["train"] = {"nodes": "1"}
    jobs = {what.split(",")[0]: (id_, what) for id_, what in compared.submit().items()}
    corpus, large = jobs["corpus"][0], jobs["tokenizer bpe-300"][0]
    assert jobs["tokenizer bpe-280"][1].endswith(f", afterok:{corpus},afterok:{large}")  # cut from the larger
    compared.ends()
    assert set(bpc(compared.folder)) == {
        (name, "gpt") for name in ("Words-300", "bpe-280", "bpe-300", "superbpe-300")
    }, compared.status()
    kept = compared.folder / "data" / "Words-300" / "tokenizer" / "plugin.py"
    assert kept.read_text() == WORDS
    assert re.search(r"^report +1 done$", compared.status(), re.M)
    mine.write_text(WORDS.replace("most frequent", "commonest"))
    done = compared.call("submit")
    assert done.returncode == 2 and "its file has changed" in done.stdout + done.stderr


def test_a_failure_is_named_with_its_reason_and_only_failed_jobs_are_submitted_again(compared):
    compared.content["tokenizers"] = ["byte", "bpe-60000"]  # too large for the corpus
    compared.submit()
    compared.ends()
    status = compared.status()
    failed = r"tokenizer +1 done, 1 failed\n +bpe-60000: failed, job \d+ FAILED\n +.*bpe.*\n +\S+\.log\n"
    assert re.search(failed, status), status
    assert re.search(r"^train +2 cancelled", status, re.M), status

    compared.content["tokenizers"] = ["byte", "bpe-300"]
    jobs = [what.split(",")[0] for what in compared.submit().values()]
    assert jobs[:3] == ["tokenizer bpe-300", "encode bpe-300 (1 job)", "prepare"]


def test_a_text_that_is_added_to_a_finished_comparison_is_scored_without_training(compared, tmp_path):
    compared.content["tokenizers"] = ["byte"]
    compared.cluster_content["train"] = {"nodes": "1"}
    (tmp_path / "poems.txt").write_text("The moon is white above the sea.\n\n" * 100)
    compared.content["evaluate"] = {"first": f"text:{tmp_path}/poems.txt"}
    compared.submit()
    compared.ends()
    assert list(read_json(compared.folder / "report" / "results.json")["texts"]) == ["first"]
    compared.content["evaluate"]["poems"] = f"text:{tmp_path}/poems.txt"
    assert re.search(r"^text +1 done, 1 not submitted$", compared.status(), re.M)
    jobs = [what.split(",")[0] for what in compared.submit().values()]
    assert jobs == ["text poems", "prepare", "evaluate (1 job)", "report"]
    compared.ends()
    assert re.search(r"^evaluate +1 done$", compared.status(), re.M), compared.status()
    texts = read_json(compared.folder / "report" / "results.json")["texts"]
    assert [row["tokenizer"] for row in texts["poems"]["rows"]] == ["byte"]


def test_cancel_ends_the_jobs_of_this_comparison_and_no_others(compared, sbatch):
    other = sbatch("--job-name=tiny.train", "--wrap=sleep 100").wait("RUNNING")
    compared.submit()
    done = compared.call("cancel")
    assert done.returncode == 0, done.stderr
    left = call("squeue", "--noheader", "--format=%i", "--states=PENDING,RUNNING").stdout.split()
    assert left == [other.id]
    assert re.search(r"^report +1 cancelled", compared.status(), re.M)


def test_a_changed_comparison_is_refused_while_its_old_jobs_are_active(compared):
    compared.cluster_content["all"] = {"begin": "now+1hour"}
    compared.submit()
    compared.content["seeds"] = [0, 1]
    for command in ("submit", "run", "report"):
        done = compared.call(command)
        assert done.returncode == 2
        assert re.fullmatch(
            r"codebook: tiny has changed, and jobs .* are active .*compare.py cancel\n", done.stderr
        )
    assert "the file has changed since it was last run or submitted (seeds)\n" in compared.status()
    assert compared.call("cancel").returncode == 0
    compared.ends()
    assert re.search(r"^train +4 not submitted$", compared.status(), re.M)


def test_sbatch_accepts_every_generated_command(compared):
    compared.content["models"]["gpt"]["lr"] = [1e-3, 3e-3]
    compared.content["tokenizers"] = ["byte", {"mine": "bpe-300:gpt2"}]
    compared.cluster_content |= {
        "all": {"account": "lab", "qos": "normal", "time": "2:00:00"},
        "prep": {"cpus-per-task": "4", "mem": "16G"},
        "train": {"nodes": "2", "gpus-per-node": "h100:4", "exclusive": "true", "signal": "B:USR1@300"},
        "evaluate": {"gpus-per-node": "1"},
        "encode_parts": "8",
    }
    commands = [shlex.split(line) for line in compared.call("submit", "--dry-run").stdout.splitlines()]
    assert len(commands) == 11
    made = [
        [word for word in command if re.match("--(spec|tokenizer|out)=", word)] for command in commands[3:5]
    ]
    folder = f"{compared.folder}/data/mine"
    assert made == [
        ["--spec=bpe-300:gpt2", f"--out={folder}/tokenizer"],
        [f"--tokenizer={folder}/tokenizer", f"--out={folder}"],
    ]
    for command in commands:
        words = [word for word in command if not word.startswith("--dependency")]
        words = ["slurm/" + word.rpartition("/")[2] if word.endswith(".sbatch") else word for word in words]
        accepted = call("sbatch", "--test-only", *words[3:])
        assert accepted.returncode == 0, f"{words}: {accepted.stderr}"
    assert not compared.folder.exists()  # a dry run writes nothing


def test_a_job_that_the_cluster_refuses_gives_a_one_line_error(compared):
    # The jobs before it wait, so that all of them are still in the queue when the rest is submitted
    compared.cluster_content = {"all": {"begin": "now+1hour"}, "train": {"partition": "nowhere"}}
    done = compared.call("submit")
    assert done.returncode == 2
    assert done.stderr.startswith("codebook: sbatch: ") and "nowhere" not in done.stdout
    assert done.stderr.count("\n") == 1 and done.stderr.count("sbatch: ") == 1
    # The jobs before it are in the queue, and are not submitted twice
    compared.cluster_content = {}
    again = [what.split()[0].strip(",") for what in compared.submit().values()]
    assert again == ["train", "evaluate", "report"]


def test_without_slurm_or_a_cluster_file_there_is_a_one_line_error(compared):
    compared.cluster_content["all"] = {"begin": "now+1hour"}
    compared.submit()
    done = compared.call("status", environment={"PATH": "/nowhere"})
    assert done.stderr == "codebook: squeue is not installed: run this on a machine that submits jobs\n"
    done = compared.call("submit", "--cluster=nowhere.yaml")
    assert done.stderr.startswith("codebook: nowhere.yaml does not exist: copy slurm/example-gpu.yaml")
