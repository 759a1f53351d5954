"""What a person sees in wandb of a comparison: its runs and artifacts, and a document."""

import json
import math
import re
import subprocess
import time

import pytest
import yaml

from common.files import read_json, sha256_file

from .server import WandbServer, environment

pytestmark = pytest.mark.extended

COMPARISON = {
    "name": "tiny",
    "tokenizers": ["char", {"mine": "bpe-300"}],
    "seeds": [0],
    "models": {"gpt": {"model": {"n_layer": 1, "n_embd": 32}, "optimizer": {"lr": 0.003}}},
    "context": {"chars": 40},
    "batch": {"chars": 700},
    "budget": {"steps": 6},
    "execution": {"precision": "fp32"},
    "tracking": {"val_chars": 500, "validations": 2, "wandb": "disabled"},
}
LOG = """
import sys
from pathlib import Path
from common.files import read_json
from comparison import load_comparison
from eval.report.wandb_report import log_report
folder = Path(sys.argv[1])
log_report(load_comparison(folder), read_json(folder / "report" / "results.json"), sys.argv[2])
"""
LABELS = ("char", "mine")
RUNS = ("char-gpt-seed0", "mine-gpt-seed0")


@pytest.fixture(scope="module")
def finished(tiny_source, tmp_path_factory, run_python):
    """The folder of a finished comparison that wandb knows nothing of."""
    out = tmp_path_factory.mktemp("comparison")
    corpus = {"source": f"jsonl:{tiny_source}", "val_fraction": 0.08, "test_fraction": 0.08}
    (out / "tiny.yaml").write_text(yaml.safe_dump({**COMPARISON, "out": str(out), "corpus": corpus}))
    done = run_python("compare.py", out / "tiny.yaml")
    assert done.returncode == 0, done.stderr
    return out / "tiny"


@pytest.fixture
def server():
    with WandbServer() as server:
        yield server
    assert server.unknown == []


class Comparison:
    """A copy of the finished comparison, and what is done with it where wandb speaks to a server."""

    def __init__(self, folder, url, run_python):
        self.folder, self.run_python = folder / "tiny", run_python
        self.environment = environment(url, folder)
        del self.environment["WANDB_DIR"]  # beside the runs, as for everybody

    def log(self, mode="online"):
        done = self.run_python("-c", LOG, self.folder, mode, **self.environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def document(self, *options):
        command = ("-m", "eval.report.wandb_report", "--folder", self.folder, *options)
        return self.run_python(*command, **self.environment)


@pytest.fixture
def comparison(finished, server, tmp_path, run_python):
    subprocess.run(["cp", "-a", finished, tmp_path / "tiny"], check=True)
    return Comparison(tmp_path, server.url, run_python)


def the_run(server, job):
    (run,) = [run for run in server.runs.values() if run.job_type == job]
    return run


def everything(server):
    """The runs and the artifacts' versions that a server has."""
    return sorted(server.runs), sorted((a.name, a.version, a.digest) for a in server.artifacts)


def test_a_comparison_is_runs_and_artifacts_with_their_lineage_once(comparison, server):
    assert comparison.log() == ""
    results = read_json(comparison.folder / "report" / "results.json")
    run = the_run(server, "report")
    assert (run.name, run.group, run.state) == ("tiny report", "tiny", "finished")
    (row,) = run.rows
    table = json.loads(run.files[row["trade-off"]["path"]])
    column = table["columns"].index("test_bpc")
    assert [line[column] for line in table["data"]] == [r["test_bpc"] for r in results["rows"]]
    assert run.files[row["report"]["path"]] == (comparison.folder / "report" / "report.html").read_bytes()
    for figure in (comparison.folder / "report" / "figures").glob("*.png"):
        assert run.files[row[figure.stem]["path"]] == figure.read_bytes()
    for figure in (comparison.folder / "report" / "figures").glob("*.json"):
        page = run.files[row[f"charts/{figure.stem}"]["path"]].decode()
        assert json.loads(figure.read_text()) == json.loads(
            re.search(r"vegaEmbed\('#chart', (.*), {", page)[1]
        )
    table = the_run(server, "eval").rows[0]["results"]
    assert table["nrows"] == 2

    prep, evaluation = the_run(server, "prep").id, the_run(server, "eval").id
    assert server.artifact("tiny-corpus:latest").used_by == [prep]
    trained = {run.name: run for run in server.runs.values() if run.job_type == "train"}
    for tokenizer, spec, of_run in zip(LABELS, ("char", "bpe-300"), RUNS, strict=True):
        training = trained[f"{tokenizer} gpt seed 0"]
        assert (training.config["tokenizer"], training.config["spec"]) == (tokenizer, spec)
        assert len(training.rows) == 6 and training.metrics["val_bpc"]["step_metric"] == "chars"
        arrays = server.artifact(f"tiny-arrays-{tokenizer}:latest")
        assert (arrays.created_by, arrays.used_by) == (prep, [training.id])
        assert set(arrays.files) == {"manifest.json"}
        checkpoint = server.artifact(f"tiny-checkpoint-{of_run}:latest")
        assert (checkpoint.created_by, checkpoint.used_by) == (training.id, [evaluation, run.id])
        assert set(checkpoint.files) == {"state.json", "plan.json", "config.yaml"}
        (weights,) = comparison.folder.glob(f"runs/{tokenizer}/gpt/seed0/checkpoints/*/model.safetensors")
        assert checkpoint.metadata == {"weights_sha256": sha256_file(weights)}
        assert server.artifact(f"tiny-tokenizer-{tokenizer}:latest").used_by == [run.id]
    assert server.artifact("tiny-results:latest").created_by == run.id

    before, asked = everything(server), len(server.requests)
    comparison.log()
    assert len(server.requests) == asked  # it is known here that wandb has it all
    (comparison.folder / "wandb" / "logged.json").unlink()
    comparison.log()
    assert everything(server) == before  # and if it is not, nothing comes twice


def test_offline_it_is_recorded_once_and_logged_when_there_is_a_server(comparison, server):
    def segments():
        return sorted(comparison.folder.rglob("offline-run-*"))

    comparison.log("offline")
    recorded = segments()
    comparison.log("offline")
    assert len(recorded) == 3 and segments() == recorded
    assert not server.requests
    comparison.log()
    assert server.artifact("tiny-checkpoint-char-gpt-seed0:latest").used_by
    assert not segments()


def markdown_and_panels(spec):
    """What the blocks of a document say: Markdown, headings, and the configurations of panels."""
    said = []
    for block in spec["blocks"]:
        if block["type"] == "panel-grid":
            panels = block["metadata"]["panelBankSectionConfig"]["panels"]
            runs = [{**runs, "id": "", "project": ""} for runs in block["metadata"]["runSets"]]
            said.append([runs, *(panel["config"] for panel in panels)])
        else:
            said.append((block["type"], block.get("content"), block["children"]))
    return said


def test_the_document_is_saved_then_updated_and_offline_a_file_with_the_same_blocks(comparison, server):
    for _ in range(2):
        done = comparison.document()
        assert done.returncode == 0, done.stderr
    (document,) = server.reports.values()
    assert (document.saves, document.project) == (2, "codebook")
    assert document.id in done.stdout or "/reports/tiny" in done.stdout
    text = json.dumps(document.spec, ensure_ascii=False)
    for part in (
        "Not tested: each tokenizer has one run",
        "| `char` | gpt |",
        "window overlap 50 %",
        '"xAxis": "flops"',
    ):
        assert part in text
    assert '"name": "tokenizer.value"' in text

    asked = len(server.requests)
    del comparison.environment["WANDB_API_KEY"]
    done = comparison.document()
    path = comparison.folder / "report" / "wandb-report.json"
    assert done.returncode == 0 and str(path) in done.stdout
    assert markdown_and_panels(read_json(path)["spec"]) == markdown_and_panels(document.spec)
    assert len(server.requests) == asked


def refused(done):
    """Whether the document was not saved, and one line says why."""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line.startswith("codebook: wandb failed (") and line.endswith("tiny/report")


def test_a_server_that_refuses_costs_lines_and_not_the_report(comparison, server):
    server.status = 403
    begun = time.monotonic()
    assert "this run is recorded offline" in comparison.log()
    assert time.monotonic() - begun < 60
    assert refused(comparison.document()) and not server.runs


def test_so_does_a_slow_or_silent_one_and_the_next_time_it_has_all_of_it(comparison, server):
    server.delay = 3  # to each request: a run starts in time, its first artifact does not arrive in time
    begun = time.monotonic()
    said = comparison.log()
    assert time.monotonic() - begun < 60
    assert "wandb failed" in said or "this run is recorded offline" in said
    assert "Traceback" not in said
    server.delay = math.inf
    assert refused(comparison.document())
    server.delay = 0
    assert comparison.log() == ""
    assert the_run(server, "report").state == "finished"
    assert server.artifact("tiny-results:latest")


def test_one_that_turns_bad_costs_lines_as_well(comparison, server):
    server.after, server.status = 60, 500
    said = comparison.log()  # before its last line there may be that a run is recorded offline
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("codebook: wandb failed (") and line.endswith("tiny/report")
    server.status = 200
    assert comparison.log() == ""
    assert the_run(server, "report").state == "finished"


def test_without_a_report_there_is_nothing_to_tell(comparison):
    (comparison.folder / "report" / "results.json").unlink()
    done = comparison.document()
    assert done.returncode == 2 and "has no report: run compare.py" in done.stderr
