"""What the real client of wandb sends is what the server of these tests has."""

import json
import math
import threading

import pytest

from .server import KEY, WandbServer, environment, nobody

RUN = """
import sys, wandb
mode, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = {"lr": 0.1, f"from-{first}": True}
settings = wandb.Settings(init_timeout=1)
with wandb.init(project="codebook", id="run-1", mode=mode, resume="allow", name="a run", group="a group",
                job_type="train", tags=["bpe"], config=config, settings=settings) as run:
    run.define_metric("loss", step_metric="tokens", summary="min")
    for step in range(first, last + 1):
        run.log({"loss": 1 / step, "tokens": 100 * step, "from": first}, step=step, commit=True)
    run.summary["last"] = last
"""

MAKE = """
import sys, wandb
from pathlib import Path
folder = Path(sys.argv[1])
with wandb.init(project="codebook", id="maker", resume="allow", job_type="tokenizer") as run:
    for merges in ["a b", "a b", "a b c"]:
        (folder / "merges.txt").write_text(merges)
        run.log_artifact(folder / "merges.txt", name="bpe", type="tokenizer").wait()
    run.log({"trade-off": wandb.Table(columns=["vocabulary", "bpc"], data=[[300, 2.5], [600, 2.25]])})
    run.log({"page": wandb.Html("<p>a page</p>")})
"""

USE = """
import sys, wandb
with wandb.init(project="codebook", id="user", resume="allow", job_type="train") as run:
    print(open(run.use_artifact("bpe:latest").download(sys.argv[1]) + "/merges.txt").read())
"""

REPORT = """
import sys
import wandb_workspaces.reports.v2 as wr
runs = wr.Runset(project="codebook", entity="someone", filters="Config('group') = 'a group'")
grid = wr.PanelGrid(runsets=[runs], panels=[wr.LinePlot(x="tokens", y=["loss"])])
blocks = [wr.MarkdownBlock(sys.argv[1]), grid]
if len(sys.argv) > 2:
    report = wr.Report.from_url(sys.argv[2])
    report.blocks = blocks
else:
    report = wr.Report(project="codebook", entity="someone", title="A comparison", blocks=blocks)
print(report.save().url)
"""


@pytest.fixture
def server():
    with WandbServer() as server:
        yield server
    assert server.unknown == []


@pytest.fixture
def python(run_python, server, tmp_path):
    """A function that runs Python where wandb speaks to the server; returns what was printed."""

    def run(*arguments):
        done = run_python(*arguments, **environment(server.url, tmp_path))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def steps(run):
    """Each row of a run's history: its step, and the first step of the process that logged it."""
    return [(row["_step"], row["from"]) for row in run.rows]


def test_a_run(python, server):
    python("-c", RUN, "online", 1, 3)
    run = server.runs["run-1"]
    assert (run.project, run.name, run.group, run.job_type) == ("codebook", "a run", "a group", "train")
    assert (run.tags, run.config) == (["bpe"], {"lr": 0.1, "from-1": True})
    assert run.history[2].items() >= {"loss": 0.5, "tokens": 200}.items()
    assert run.metrics["loss"] == {"step_metric": "tokens", "summary": ["min"], "hidden": False}
    assert run.summary.items() >= {"loss": {"min": 1 / 3}, "last": 3}.items()
    assert (run.state, run.exit_code) == ("finished", 0)
    assert {"config.yaml", "wandb-metadata.json"} <= set(run.files)


@pytest.mark.extended
def test_a_resumed_run_goes_on_after_its_last_step(python, server):
    python("-c", RUN, "online", 1, 3)
    python("-c", RUN, "online", 2, 5)
    run = server.runs["run-1"]
    assert steps(run) == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2)]
    assert run.config == {"lr": 0.1, "from-1": True, "from-2": True}
    assert run.summary["last"] == 5


@pytest.mark.extended
def test_a_failed_run(python, server):
    with pytest.raises(AssertionError):
        python("-c", RUN, "online", 0, 3)  # 1 / 0
    assert (server.runs["run-1"].state, server.runs["run-1"].exit_code) == ("failed", 1)
    assert "ZeroDivisionError" in server.runs["run-1"].output


@pytest.mark.extended
def test_artifacts_with_their_lineage(python, server, tmp_path):
    python("-c", MAKE, tmp_path)
    assert python("-c", USE, tmp_path / "used") == "a b c\n"
    first, second = server.artifact("bpe:v0"), server.artifact("bpe:latest")
    assert (first.files, first.aliases) == ({"merges.txt": b"a b"}, [])
    assert (second.files, second.version) == ({"merges.txt": b"a b c"}, "v1")
    assert (second.type, second.created_by, second.used_by) == ("tokenizer", "maker", ["user"])
    keys = {(request.path.split("/")[1], request.key) for request in server.requests}
    assert keys == {("graphql", KEY), ("files", KEY), ("storage", "")}  # storage may be another's


@pytest.mark.extended
def test_tables_and_media(python, server, tmp_path):
    python("-c", MAKE, tmp_path)
    logged, media = server.runs["maker"].rows, server.runs["maker"].files
    table = json.loads(media[logged[0]["trade-off"]["path"]])
    assert table == {"columns": ["vocabulary", "bpc"], "data": [[300, 2.5], [600, 2.25]]}
    assert b"<p>a page</p>" in media[logged[1]["page"]["path"]]
    assert set(server.artifact("run-maker-trade-off:latest").files) == {"trade-off.table.json"}


@pytest.mark.extended
def test_offline_segments_sync_to_one_run_once(python, server, tmp_path):
    python("-c", RUN, "offline", 1, 3)
    python("-c", RUN, "offline", 4, 5)
    assert server.requests == []
    segments = sorted((tmp_path / "dir" / "wandb").glob("offline-run-*"))
    once = [(1, 1), (2, 1), (3, 1), (4, 4), (5, 4)]
    for _ in range(2):  # the second time, there is nothing to do
        python("-m", "wandb", "sync", *reversed(segments))
        assert steps(server.runs["run-1"]) == once
    assert server.runs["run-1"].config == {"lr": 0.1, "from-1": True, "from-4": True}
    assert server.runs["run-1"].state == "finished"
    python("-m", "wandb", "sync", "--include-synced", *segments)
    assert [(step, row["from"]) for step, row in server.runs["run-1"].history.items()] == once


@pytest.mark.extended
def test_a_report_is_saved_and_then_updated(python, server):
    server.projects.append("codebook")  # a set of runs has to be of a project that is there
    url = python("-c", REPORT, "first").strip()
    assert python("-c", REPORT, "second", url).strip() == url
    (report,) = server.reports.values()
    assert (report.title, report.type, report.saves) == ("A comparison", "runs", 2)
    assert [block["content"] for block in report.spec["blocks"] if "content" in block] == ["second"]
    assert '"metrics": ["loss"]' in json.dumps(report.spec)


BAD = {
    "slow": {"delay": 2},
    "silent": {"delay": math.inf},
    "broken": {"status": 500},
    "refusing": {"status": 403},
}


@pytest.mark.extended
@pytest.mark.parametrize("how", BAD)
def test_a_bad_server(how, run_python, tmp_path):
    with WandbServer(**BAD[how]) as server:
        done = run_python("-c", RUN, "online", 1, 3, **environment(server.url, tmp_path))
    assert "CommError" in done.stderr
    assert server.requests and not server.runs


@pytest.mark.extended
def test_no_server(run_python, tmp_path):
    with nobody() as url:
        done = run_python("-c", RUN, "online", 1, 3, **environment(url, tmp_path))
    assert "connection refused" in done.stderr


@pytest.mark.extended
def test_a_server_that_breaks_and_recovers_has_it_all(run_python, tmp_path):
    with WandbServer(status=500, after=2) as server:  # the two requests of wandb.init
        threading.Timer(2, setattr, [server, "status", 200]).start()
        done = run_python("-c", RUN, "online", 1, 3, **environment(server.url, tmp_path))
    assert done.returncode == 0, done.stderr
    assert steps(server.runs["run-1"]) == [(1, 1), (2, 1), (3, 1)]
    assert server.runs["run-1"].state == "finished"
