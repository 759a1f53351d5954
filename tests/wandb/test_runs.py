"""What a person sees in wandb of training runs: one run for each, with every line of metrics.jsonl, once."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.files import read_json, sha256_file
from training.checkpoint import newest_checkpoint
from training.tracking import read_metrics

from ..program import Program
from .server import KEY, WandbServer, environment, nobody

ROOT = Path(__file__).parents[2]
SMALL = """--model.n_layer 2 --model.n_embd 32 --context.chars 40 --batch.chars 700 --budget.steps 400
  --tracking.validations 3 --tracking.val_chars 500
  --execution.precision fp32 --checkpoints.seconds 0.2 --group a-comparison""".split()
NOT_SENT = {"_step", "_runtime", "_timestamp"}


@pytest.fixture
def server():
    with WandbServer() as server:
        yield server
    assert server.unknown == []


class Training:
    """A run in a folder, and where its wandb speaks to."""

    def __init__(self, folder, data, url):
        self.folder, self.data = folder / "run", data
        self.environment = {**os.environ, **environment(url, folder), "PYTHONPATH": str(ROOT)}
        del self.environment["WANDB_DIR"]  # beside the run, as for everybody

    def start(self, *options):
        words = ["train_ddp.py", f"--data={self.data}", f"--out={self.folder}", *SMALL, *options]
        return self.call(*words)

    def call(self, *words):
        return Program(list(words), self.folder.with_suffix(".log"), self.environment)

    def finish(self, *options):
        return self.end(self.start(*options))

    def end(self, process):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        return output

    def kill(self, *options, step):
        """Start, and kill when that step is on record, offline also in wandb's own record."""
        process, offline = self.start(*options), "--tracking.wandb=offline" in options
        while not any(line["step"] >= step for line in self.metrics()) or (
            offline and not list(self.folder.glob("wandb/offline-run-*/run-*.wandb"))
        ):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def replay(self, *options):
        return self.end(self.call("-m", "training.wandb_sync", f"--run={self.folder}", *options))

    def metrics(self):
        return read_metrics(self.folder / "metrics.jsonl")

    def sync(self):
        for segment in sorted(self.folder.glob("wandb/offline-run-*")):
            self.end(self.call("-m", "wandb", "sync", "--include-synced", str(segment)))


@pytest.fixture
def training(tiny_arrays, server, tmp_path):
    return Training(tmp_path, tiny_arrays("bpe-300"), server.url)


def sent(run):
    """The rows of a run, without what wandb adds; each step is there once."""
    assert len(run.rows) == len(run.history)
    return [{k: v for k, v in row.items() if k not in NOT_SENT} for _, row in sorted(run.history.items())]


def same(run, metrics, but=()):
    """Whether wandb has every line with every value."""
    mine = [{k: v for k, v in line.items() if k not in but} for line in metrics]
    return [{k: v for k, v in row.items() if k not in but} for row in sent(run)] == mine


def test_a_run_says_what_it_is_and_has_every_value_of_the_record(training, server):
    training.finish("--tracking.wandb=online", "--model_name=text-1x")
    (run,) = server.runs.values()
    assert same(run, training.metrics())
    assert (run.project, run.group, run.job_type) == ("codebook", "a-comparison", "train")
    assert (run.name, run.tags) == ("bpe-300 text-1x seed 0", ["bpe", "text-1x", "seed 0"])
    assert (run.config["kind"], run.config["model_name"]) == ("gpt", "text-1x")
    plan = read_json(training.folder / "plan.json")
    assert run.config["corpus_fingerprint"] == plan["corpus_fingerprint"]
    assert run.config["tokenizer_fingerprint"] == plan["tokenizer_fingerprint"]
    assert run.config["optimizer"]["lr"] > 0 and run.config["vocab_size"] == 300 and run.config["code"]
    assert str(training.folder) not in str(run.config)
    assert run.metrics["val_bpc"] == {"step_metric": "chars", "summary": ["min", "last"], "hidden": False}
    assert {"chars", "tokens", "flops", "train_seconds", "step"} <= set(run.metrics)
    values = [line["val_bpc"] for line in training.metrics() if "val_bpc" in line]
    assert run.summary["val_bpc"] == {"min": min(values), "last": values[-1]}
    assert run.state == "finished"


@pytest.mark.extended
def test_a_run_that_was_killed_and_goes_on_is_one_run_with_each_step_once(training, server):
    training.kill("--tracking.wandb=online", step=60)
    training.finish("--tracking.wandb=online")
    (run,) = server.runs.values()
    assert same(run, training.metrics(), but=TIMES)


@pytest.mark.extended
def test_so_it_is_when_its_segments_were_offline(training, server):
    training.kill("--tracking.wandb=offline", step=60)
    training.finish("--tracking.wandb=offline")
    assert len(list(training.folder.glob("wandb/offline-run-*"))) > 1
    training.sync()
    (run,) = server.runs.values()
    assert same(run, training.metrics(), but=TIMES)


@pytest.mark.extended
def test_a_segment_without_a_step_is_no_hindrance(training, server):
    training.finish("--tracking.wandb=disabled", "--budget.steps=3", "--tracking.validations=1")
    start = "import sys; from pathlib import Path; from training.wandb_runs import start_wandb\n"
    start += "start_wandb('offline', Path(sys.argv[1]))[0].finish()"
    for _ in range(2):
        command = [sys.executable, "-c", start, training.folder]
        subprocess.run(command, cwd=ROOT, env=training.environment, check=True)
    assert len(list(training.folder.glob("wandb/offline-run-*"))) == 2


@pytest.mark.extended
def test_a_run_that_was_offline_at_first_has_all_of_it_when_it_is_online(training, server):
    training.kill("--tracking.wandb=offline", step=60)
    training.finish("--tracking.wandb=online")
    (run,) = server.runs.values()
    assert same(run, training.metrics(), but=TIMES)
    (segment,) = training.folder.glob("wandb/offline-run-*/run-*.wandb")
    assert segment.with_name(segment.name + ".synced").exists()  # its steps are there already


@pytest.mark.extended
def test_a_record_can_be_replayed_and_again_without_duplicates(training, server):
    training.finish("--tracking.wandb=disabled")
    lines = len(training.metrics())
    assert f"{lines} of {lines} lines sent, online" in training.replay()
    assert f"0 of {lines} lines sent" in training.replay()
    (run,) = server.runs.values()
    assert same(run, training.metrics())


@pytest.mark.extended
def test_a_cluster_whose_nodes_have_no_network_is_followed_from_one_that_has(training, server, tmp_path):
    training.folder = tmp_path / "out" / "runs" / "first"
    process = training.start("--tracking.wandb=offline", "--budget.steps=1500")
    while len(training.metrics()) < 20:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    environment_file = tmp_path / "environment.sh"
    environment_file.write_text(f"export PATH={sys.prefix}/bin:$PATH\n")
    training.environment["CODEBOOK_ENVIRONMENT"] = str(environment_file)

    def sync():
        subprocess.run(["slurm/sync.sh", tmp_path / "out"], cwd=ROOT, env=training.environment, check=True)

    sync()  # while it is being trained
    (run,) = server.runs.values()
    assert 20 <= len(sent(run)) <= len(training.metrics())
    assert process.wait(timeout=120) == 0
    sync()
    sync()
    assert same(run, training.metrics())


@pytest.mark.extended
def test_an_offline_replay_is_one_segment_with_all_of_it(training, server):
    training.kill("--tracking.wandb=offline", step=60)
    training.finish("--tracking.wandb=disabled")
    training.replay("--wandb=offline")
    (_,) = training.folder.glob("wandb/offline-run-*")
    training.sync()
    (run,) = server.runs.values()
    assert same(run, training.metrics())


@pytest.mark.extended
@pytest.mark.parametrize("bad", [{"status": 500}, {"delay": 20}, None])
def test_a_bad_server_or_none_makes_it_an_offline_run_within_ten_seconds(training, server, bad):
    if bad is None:
        with nobody() as url:
            training.environment["WANDB_BASE_URL"] = url
    else:
        server.status, server.delay = bad.get("status", 200), bad.get("delay", 0)
    process = training.start("--tracking.wandb=online", "--budget.steps=3000")
    while not (training.folder / "plan.json").exists():  # what it does before it speaks to wandb
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    before = time.monotonic()
    while not list(training.folder.glob("wandb/offline-run-*")):
        assert time.monotonic() - before < 15, "ten seconds, and the import of wandb"
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert "recorded offline" in output
    server.status, server.delay = 200, 0


def weights(folder):
    """SHA-256 of those at the end of a run."""
    path, state = newest_checkpoint(folder / "checkpoints")
    assert state["finished"]
    return sha256_file(path / "model.safetensors")


@pytest.mark.extended
def test_a_server_that_falls_silent_costs_nothing_but_ten_seconds_at_the_end(training, server, tmp_path):
    server.after, server.delay = 2, math.inf
    process = training.start("--tracking.wandb=online")
    while not training.metrics() or training.metrics()[-1]["step"] < 200:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    recorded = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert time.monotonic() - recorded < 15  # 10 seconds for wandb, and the test's own steps
    assert all(line["train_seconds"] / line["step"] < 1 for line in training.metrics())
    assert "metrics.jsonl has the complete record" in output
    server.after, server.delay = 0, 0
    training.replay()
    (run,) = server.runs.values()
    assert same(run, training.metrics())
    without = Training(tmp_path / "without", training.data, server.url)
    without.finish("--tracking.wandb=disabled")
    assert same(run, without.metrics(), but=TIMES)
    assert weights(training.folder) == weights(without.folder)


@pytest.mark.extended
def test_without_a_login_it_is_offline_and_with_one_online(training, server):
    key = training.environment.pop("WANDB_API_KEY")
    training.environment["WANDB_MODE"] = ""  # as if it were not there
    training.finish("--budget.steps=3", "--tracking.validations=1")
    assert not server.runs and list(training.folder.glob("wandb/offline-run-*"))
    training.environment |= {"WANDB_MODE": "disabled", "WANDB_API_KEY": key}
    training.finish("--budget.steps=3", "--tracking.validations=1", f"--out={training.folder}-2")
    assert not server.runs and not Path(f"{training.folder}-2/wandb").exists()
    del training.environment["WANDB_MODE"]
    training.finish("--budget.steps=3", "--tracking.validations=1", f"--out={training.folder}-3")
    assert len(server.runs) == 1


@pytest.mark.extended
def test_the_key_goes_to_the_server_and_nowhere_else(training, server, tmp_path):
    output = training.finish("--tracking.wandb=online", "--budget.steps=3", "--tracking.validations=1")
    assert KEY not in output
    assert any(request.key == KEY for request in server.requests)
    holding = [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert holding == []


TIMES = "train_seconds val_seconds tokens_per_second chars_per_second mfu data_wait memory_gb".split()
