"""compare.py as a command: one comparison file in, one report out."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest
import sentencepiece
import yaml

from common.files import sha256_file
from data_prep.arrays import TokenArrays
from tests.tokenizers.families import other_file, plugin
from tokenizers import folder_name, save_tokenizer, train_tokenizer

COMPARE = [sys.executable, "compare.py"]
ROW = """tokenizer model seeds vocab_size chars_per_token block_size context_chars params_total
  params_embedding flops_per_char train_chars train_seconds test_bpc test_bpc_low test_bpc_high
  test_bpb train_flops memory_gb train_chars_per_second generation_chars_per_second cache_bytes_per_char
  distinguishable""".split()


BIGRAM = {"bigram": {"model": {"kind": "bigram"}, "optimizer": {"lr": 0.03}}}
SILENT = {"tracking": {"val_chars": 500, "validations": 2, "wandb": "disabled"}}
NARROW = {"gpt": {"model": {"n_layer": 1, "n_embd": 8, "preset": "modern"}}}


def comparison_of(source: Path, out: Path) -> dict:
    return {
        "name": "tiny",
        "out": str(out),
        "corpus": {"source": f"jsonl:{source}", "val_fraction": 0.08, "test_fraction": 0.08},
        "tokenizers": ["char", "bpe-300"],
        "models": {
            "gpt": {"model": {"n_layer": 1, "n_embd": 32, "preset": "modern"}, "optimizer": {"lr": 0.003}},
            **BIGRAM,
        },
        "context": {"chars": 40},
        "batch": {"chars": 700},
        "budget": {"chars": 15_000},
        "seeds": [0],
        "execution": {"precision": "fp32"},
        "tracking": {"val_chars": 500, "validations": 2},
    }


def compare(path: Path, *options: str, command: str = "run") -> subprocess.CompletedProcess:
    words = [*COMPARE, command, str(path), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=900)


def prepare(path: Path, *options: str) -> subprocess.CompletedProcess:
    """The first job on a cluster, before runs are trained there."""
    words = [sys.executable, "-m", "slurm.prepare", str(path), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=900)


def write(path: Path, comparison: dict) -> Path:
    path.write_text(yaml.safe_dump(comparison))
    return path


@pytest.fixture(scope="module")
def finished(tiny_source, tmp_path_factory) -> tuple[Path, str]:
    """The folder of a finished comparison, and its output."""
    folder = tmp_path_factory.mktemp("compare")
    result = compare(write(folder / "tiny.yaml", comparison_of(tiny_source, folder)))
    assert result.returncode == 0, result.stderr
    return folder / "tiny", result.stdout


def snapshot(folder: Path) -> dict[str, str]:
    """Content of every file below a folder, except those of the report and wandb, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for path in files
        if not {"report", "wandb"} & set(path.relative_to(folder).parts)
    }


def test_the_folder_is_laid_out_as_documented(finished):
    folder, _ = finished
    for name in """comparison.yaml corpus/manifest.json corpus/test/00000.parquet data/char/manifest.json
      data/bpe-300/tokenizer/tokenizer.json data/bpe-300/train-00000.tokens.npy
      data/bpe-300/test-00000.documents.npy report/report.md report/report.html report/results.csv
      report/results.json report/figures/bpc_by_vocabulary.svg report/figures/learning_curves.png
      report/figures/pareto.json""".split():
        assert (folder / name).is_file(), name
    run = folder / "runs" / "bpe-300" / "gpt" / "seed0"
    found = {path.name for path in run.iterdir()}
    assert found >= {"config.yaml", "metrics.jsonl", "checkpoints", "result.json", "documents.parquet"}
    assert "token_bits.npy" in found
    assert not list(folder.rglob("*.tmp")), "a temporary file was left"


def test_results_json_has_a_row_for_every_run_best_first(finished):
    results = json.loads((finished[0] / "report" / "results.json").read_text())
    rows = results["rows"]
    assert {(row["tokenizer"], row["model"]) for row in rows} == {
        (tokenizer, model) for tokenizer in ("char", "bpe-300") for model in ("gpt", "bigram")
    }
    assert all(set(ROW) <= set(row) for row in rows)
    bpc = [(row["model"], row["test_bpc"]) for row in rows]
    best = {model: min(value for name, value in bpc if name == model) for model, _ in bpc}
    assert bpc == sorted(bpc, key=lambda pair: (best[pair[0]], pair[1])), "by model, the best model first"
    assert all(row["test_bpc_low"] < row["test_bpc"] < row["test_bpc_high"] for row in rows)


def test_the_tokenizers_are_also_measured_without_a_model(finished):
    folder, _ = finished
    results = json.loads((folder / "report" / "results.json").read_text())
    assert list(results["intrinsic"]) == ["char", "bpe-300"]
    for spec, splits in results["intrinsic"].items():
        assert json.loads((folder / "intrinsic" / f"{spec}.json").read_text())["splits"] == splits
        rows = [row for row in results["rows"] if row["tokenizer"] == spec]
        assert {row["chars_per_token"] for row in rows} == {splits["test"]["chars_per_token"]}
    page = (folder / "report" / "report.md").read_text()
    assert page.index("## Figures") < page.index("## Tokenizers") < page.index("## How it was measured")


def test_every_row_scored_the_whole_test_text(finished):
    folder, _ = finished
    results = json.loads((folder / "report" / "results.json").read_text())
    corpus = json.loads((folder / "corpus" / "manifest.json").read_text())["splits"]["test"]
    assert results["corpus"]["test_chars"] == corpus["chars"]
    assert results["corpus"]["test_sha256"] == corpus["sha256"]
    for row in results["rows"]:
        run = folder / "runs" / row["tokenizer"] / row["model"] / "seed0"
        documents = pyarrow.parquet.read_table(run / "documents.parquet").to_pydict()
        arrays = TokenArrays(folder / "data" / row["tokenizer"]).split("test")
        assert sum(documents["chars"]) == corpus["chars"]
        assert sum(documents["tokens"]) == arrays.tokens
        assert row["test_bpc"] == pytest.approx(sum(documents["bits"]) / corpus["chars"])
        assert row["test_bpb"] == pytest.approx(sum(documents["bits"]) / corpus["bytes"])
        assert row["chars_per_token"] == pytest.approx(corpus["chars"] / arrays.tokens)


def test_budgets_are_matched_in_characters(finished):
    rows = json.loads((finished[0] / "report" / "results.json").read_text())["rows"]
    for row in rows:
        assert 15_000 <= row["train_chars"] <= 15_000 + 1.2 * 700
        assert row["context_chars"] == pytest.approx(40, rel=0.1)
        assert row["batch_chars"] == pytest.approx(700, rel=0.05)


def test_results_csv_matches_results_json(finished):
    report = finished[0] / "report"
    rows = json.loads((report / "results.json").read_text())["rows"]
    with open(report / "results.csv", newline="") as file:
        table = list(csv.DictReader(file))
    for row, line in zip(rows, table, strict=True):
        assert row.keys() <= line.keys()
        for key, field in line.items():
            value = row.get(key)
            if isinstance(value, float):
                assert float(field) == value
            elif isinstance(value, list):
                assert field == " ".join(map(str, value))
            else:
                assert field == (
                    "" if value is None else str(value).lower() if value in (True, False) else str(value)
                )


@pytest.mark.extended
def test_runs_of_two_processes_are_evaluated_by_two(tiny_source, tmp_path):
    content = comparison_of(tiny_source, tmp_path) | SILENT | {"processes": 2, "tokenizers": ["char"]}
    result = compare(write(tmp_path / "tiny.yaml", content))
    assert result.returncode == 0, result.stderr
    run = tmp_path / "tiny" / "runs" / "char" / "gpt" / "seed0"
    assert json.loads((run / "plan.json").read_text())["world_size"] == 2
    (evaluated,) = (json.loads(file.read_text())["test_bpc"] for file in [run / "result.json"])
    assert f"char/gpt/seed0: {evaluated:.4f} bits per character on the test split" in result.stdout
    options = ["--run", str(run), "--stride", "20"]
    (run / "result.json").unlink()
    subprocess.run([sys.executable, "-m", "eval.evaluate", *options], check=True, capture_output=True)
    assert json.loads((run / "result.json").read_text())["test_bpc"] == evaluated


def test_report_html_is_self_contained(finished):
    page = (finished[0] / "report" / "report.html").read_text()
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    assert text.count('<div class="chart"') >= 10 and 'id="compare"' in text
    assert "bits per character" in text


def test_the_terminal_ends_with_the_table_and_the_path_in_80_columns(finished):
    folder, output = finished
    *_, path = output.rstrip("\n").split("\n\n")
    assert path == str(folder / "report" / "report.html")
    (table,) = (part for part in output.split("\n\n") if part.startswith("tokenizer "))
    lines = table.splitlines()
    assert len(lines) == 7 and {"gpt:", "bigram:"} <= set(lines)  # with a heading, four rows
    assert max(map(len, output[output.index(table) :].splitlines()[:-1])) <= 80


def test_the_terminal_and_the_report_warn_of_one_seed_and_little_text(finished):
    folder, output = finished
    warnings = json.loads((folder / "report" / "results.json").read_text())["warnings"]
    assert any(line.startswith("One seed (gpt)") for line in warnings)
    page = (folder / "report" / "report.md").read_text()
    for line in warnings:
        assert f"Warning: {line}" in " ".join(output.split()) and re.split("[:;]", line)[0] in page


def test_the_report_shows_a_sample_of_each_model(finished):
    folder, _ = finished
    for tokenizer in ("char", "bpe-300"):
        content = json.loads((folder / "runs" / tokenizer / "gpt" / "seed0" / "samples.json").read_text())
        assert len(content["samples"]) == 3 and all(sample["ids"] for sample in content["samples"])
    page = (folder / "report" / "report.html").read_text()
    assert page.count('class="card') == 3 * 3 + 2 * 3 and page.count("<details") == 6
    assert "## Samples" in (folder / "report" / "report.md").read_text()


@pytest.mark.extended
def test_a_report_of_the_finished_runs_can_be_written_at_any_time(finished, tiny_source, tmp_path):
    """With the comparison file, before the folder has its own, and without the arrays of a tokenizer."""
    shutil.copytree(finished[0], tmp_path / "tiny")
    (tmp_path / "tiny" / "comparison.yaml").unlink()
    shutil.rmtree(tmp_path / "tiny" / "report")
    (tmp_path / "tiny" / "runs" / "char" / "bigram" / "seed0" / "result.json").unlink()
    content = comparison_of(tiny_source, tmp_path) | {"tokenizers": ["char", "bpe-300", "bpe-400"]}
    file = write(tmp_path / "tiny.yaml", content)
    result = compare(file, command="report")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Partial: 3 of 6 runs are evaluated.\n")
    report = tmp_path / "tiny" / "report"
    assert json.loads((report / "results.json").read_text())["partial"]["evaluated"] == 3
    for name in ("report.md", "report.html", "table.tex"):
        text = (report / name).read_text().replace("**", "")
        assert "Partial: 3 of 6 runs are evaluated." in text.replace("<strong>", "").replace("</strong>", "")
    for evaluated in tmp_path.glob("tiny/runs/*/*/*/result.json"):
        evaluated.unlink()
    result = compare(file, command="report")
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2 and "none of its 6 runs is evaluated" in line


def test_the_comparison_is_frozen_with_the_revision_of_the_code(finished):
    text = (finished[0] / "comparison.yaml").read_text()
    assert re.match(r"# code: git revision ([0-9a-f]{40}|unknown)", text)
    frozen = yaml.safe_load(text)
    assert frozen["overlap"] == 0.5  # defaults are resolved
    assert frozen["tokenizers"] == ["char", "bpe-300"]


def test_the_frozen_comparison_is_a_comparison_file_of_the_same_comparison(finished):
    folder, _ = finished
    before = snapshot(folder)
    result = compare(folder / "comparison.yaml")
    assert result.returncode == 0, result.stderr
    assert "4 of 4 runs are done\n" in result.stdout
    assert snapshot(folder) == before


def test_the_report_is_a_wandb_run_with_table_and_figures(finished):
    folder, _ = finished
    (run,) = (folder / "wandb").glob("offline-run-*")
    rows = json.loads((folder / "report" / "results.json").read_text())["rows"]
    (table,) = run.glob("files/media/table/*.table.json")
    content = json.loads(table.read_text())
    column = content["columns"].index("test_bpc")
    assert [row[column] for row in content["data"]] == [row["test_bpc"] for row in rows]
    names = {path.stem for path in (folder / "report" / "figures").glob("*.json")}
    assert len(list(run.glob("files/media/images/*.png"))) == len(names) >= 6
    assert len(list(run.glob("files/media/html/charts/*.html"))) == len(names)
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    records = subprocess.run([*command, str(*run.glob("run-*.wandb"))], capture_output=True, text=True)
    assert '"job_type":"report"' in records.stdout
    assert '"run_group":"tiny"' in records.stdout


def test_a_model_of_the_comparison_writes_text_from_one_character(finished):
    run = finished[0] / "runs" / "bpe-300" / "gpt" / "seed0"
    command = [sys.executable, "-m", "eval.sample", "--run", str(run), "--prompt", "T", "--tokens", "30"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("T")
    assert len(result.stdout) > 5


def test_a_second_call_skips_everything(finished, tiny_source):
    folder, _ = finished
    before = snapshot(folder)
    result = compare(folder.parent / "tiny.yaml")
    assert "4 of 4 runs are done\n" in result.stdout
    assert "bits per character on the test split" not in result.stdout
    assert snapshot(folder) == before


@pytest.fixture
def change(finished, tmp_path, tiny_source) -> Callable[..., tuple[subprocess.CompletedProcess, Path]]:
    """A function: compare a copy of the finished folder again, with some settings changed."""

    def run(
        *options: str, by: Callable = compare, **settings: object
    ) -> tuple[subprocess.CompletedProcess, Path]:
        subprocess.run(["cp", "-a", str(finished[0]), str(tmp_path / "tiny")], check=True)
        comparison = {**comparison_of(tiny_source, tmp_path), **SILENT, **settings}
        # The copied runs still name the original arrays, which are the same.
        return by(write(tmp_path / "tiny.yaml", comparison), *options), tmp_path / "tiny"

    return run


@pytest.mark.extended
def test_an_additional_tokenizer_adds_its_runs_and_keeps_the_others(change):
    result, folder = change(tokenizers=["char", "bpe-300", "spbpe-420"], models=BIGRAM)
    assert result.returncode == 0, result.stderr
    assert "2 of 3 runs are done\n" in result.stdout
    assert result.stdout.count("bits per character on the test split") == 1
    assert len(json.loads((folder / "report" / "results.json").read_text())["rows"]) == 3


@pytest.mark.extended
def test_one_tokenizer_under_two_labels_counts_as_two(change):
    labelled = [{"a": "bpe-300:gpt2"}, {"b": "bpe-300:gpt2"}]
    result, folder = change(tokenizers=["bpe-300", *labelled], models=BIGRAM, seeds=[0])
    assert result.returncode == 0, result.stderr
    assert "1 of 3 runs are done\n" in result.stdout  # without a label, the folder is unchanged
    results, labels = json.loads((folder / "report" / "results.json").read_text()), ["bpe-300", "a", "b"]
    specs = {"bpe-300": "bpe-300", "a": "bpe-300:gpt2", "b": "bpe-300:gpt2"}
    for part in ("rows", "runs"):
        assert {row["tokenizer"]: row["spec"] for row in results[part]} == specs
    one, other = (row["test_bpc"] for row in results["rows"] if row["tokenizer"] != "bpe-300")
    assert one == pytest.approx(other, rel=0.05)
    assert list(results["intrinsic"]) == labels and set(results["where"]) == set(labels)
    for label in labels:
        assert (folder / "data" / label / "tokenizer" / "tokenizer.json").is_file()
        assert (folder / "runs" / label / "bigram" / "seed0" / "result.json").is_file()
        assert (folder / "intrinsic" / f"{label}.json").is_file()
    page = (folder / "report" / "report.md").read_text()
    assert "**Labels**: `a` is `bpe-300:gpt2`; `b` is `bpe-300:gpt2`." in page
    assert yaml.safe_load((folder / "comparison.yaml").read_text())["tokenizers"] == ["bpe-300", *labelled]
    assert "3 of 3 runs are done\n" in compare(folder / "comparison.yaml").stdout


NARROWER = {"gpt": {"model": {"n_layer": 1, "n_embd": 16}, "optimizer": {"lr": 0.003}}}


def test_a_run_whose_options_changed_is_listed_and_kept(change):
    result, folder = change(models=NARROWER, tokenizers=["char"])
    assert result.returncode == 2
    assert re.search(r"^  1 run, evaluated \(model\.n_embd.*\)$", result.stdout, re.MULTILINE)
    assert result.stderr.startswith("codebook: tiny has changed since it was made: give --replace")
    assert (folder / "runs/char/gpt/seed0/result.json").exists()


def test_with_replace_a_run_whose_options_changed_is_trained_again(change):
    result, folder = change("--replace", models=NARROWER, tokenizers=["char"])
    assert re.search(r"char/gpt/seed0: discarded, its model\..* changed", result.stdout)
    (row,) = json.loads((folder / "report" / "results.json").read_text())["rows"]
    assert row["params_total"] < 20_000


@pytest.mark.extended
def test_a_changed_corpus_is_never_silently_reused(change, tiny_source, tmp_path):
    lines = tiny_source.read_text().splitlines(keepends=True)
    (tmp_path / "other.jsonl").write_text("".join(lines[:-30]))
    corpus = {"source": f"jsonl:{tmp_path}/other.jsonl", "val_fraction": 0.08, "test_fraction": 0.08}
    result, folder = change(tokenizers=["char"], models=BIGRAM, corpus=corpus)
    assert result.returncode == 2
    assert "  the corpus (corpus.source)\n  1 run, evaluated (corpus.source)\n" in result.stdout
    before = (folder / "corpus" / "manifest.json").read_bytes()
    shutil.rmtree(folder)
    result, folder = change("--replace", tokenizers=["char"], models=BIGRAM, corpus=corpus)
    assert result.returncode == 0, result.stderr
    assert (folder / "corpus" / "manifest.json").read_bytes() != before
    results = json.loads((folder / "report" / "results.json").read_text())
    manifest = json.loads((folder / "corpus" / "manifest.json").read_text())
    assert results["corpus"]["test_sha256"] == manifest["splits"]["test"]["sha256"]


@pytest.mark.extended
def test_a_source_with_changed_text_is_refused_and_one_with_a_new_time_is_not(change, tmp_path):
    source = tmp_path / "source.jsonl"
    corpus = {"source": f"jsonl:{source}", "val_fraction": 0.08, "test_fraction": 0.08}
    text = [json.dumps({"text": f"Number {i} of the lines. " * 9}) + "\n" for i in range(200)]
    source.write_text("".join(text))
    settings = {"tokenizers": ["byte"], "models": BIGRAM, "corpus": corpus}
    result, folder = change("--replace", **settings)
    assert result.returncode == 0, result.stderr
    os.utime(source, (1, 1))
    assert "1 of 1 runs are done\n" in compare(tmp_path / "tiny.yaml").stdout
    source.write_text("".join(text[:-1]))
    result = compare(tmp_path / "tiny.yaml")
    assert result.returncode == 2
    assert "holds a corpus of other text" in result.stderr and "--replace" in result.stderr
    assert (folder / "runs/byte/bigram/seed0/result.json").exists()


def inventory(folder: Path) -> bytes:
    """Names, times and inodes of everything in a folder."""
    return subprocess.check_output(["find", str(folder), "-printf", "%P %T@ %i\n"])


def test_plan_prints_the_cost_of_a_run_and_changes_nothing(change, tmp_path):
    def plan(path: Path) -> subprocess.CompletedProcess:
        before = inventory(path.with_suffix(""))
        result = compare(path, command="plan")
        assert inventory(path.with_suffix("")) == before
        return result

    result, folder = change(by=plan, tokenizers=["char", "bpe-320"], models=BIGRAM)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^bpe-320 +bigram +\d+ .* s$", result.stdout, re.MULTILINE)
    assert "done      1 run\n" in result.stdout and "to do     1 run, 2 at a time" in result.stdout
    assert re.search(r"^in all    about \d+ s, and then the report$", result.stdout, re.MULTILINE)
    assert max(map(len, result.stdout.splitlines())) <= 80
    shutil.rmtree(folder)
    assert compare(tmp_path / "tiny.yaml", command="plan").returncode == 0
    assert not folder.exists()


@pytest.mark.extended
def test_a_limited_test_is_the_same_documents_for_every_tokenizer(change):
    result, folder = change(test_chars=2_000, models=BIGRAM)
    assert result.returncode == 2
    assert "  2 evaluations (test_chars)\n" in result.stdout
    shutil.rmtree(folder)
    result, folder = change("--replace", test_chars=2_000, models=BIGRAM)
    assert result.returncode == 0, result.stderr
    results = json.loads((folder / "report" / "results.json").read_text())
    whole = json.loads((folder / "corpus" / "manifest.json").read_text())["splits"]["test"]
    assert 2_000 <= results["corpus"]["test_chars"] < whole["chars"]
    one, other = (
        pyarrow.parquet.read_table(folder / f"runs/{label}/bigram/seed0/documents.parquet").to_pydict()
        for label in ("char", "bpe-300")
    )
    assert one["chars"] == other["chars"] and sum(one["chars"]) == results["corpus"]["test_chars"]
    assert one["bits"] != other["bits"]


def test_ctrl_c_loses_nothing_and_the_same_command_resumes(tiny_source, tmp_path):
    """The terminal sends SIGINT to the whole process group, as here."""
    comparison = comparison_of(tiny_source, tmp_path)
    comparison |= {"tokenizers": ["char"], "budget": {"steps": 400}} | SILENT
    del comparison["models"]["bigram"]
    log = tmp_path / "tiny/runs/char/gpt/seed0/train.log"
    path = write(tmp_path / "tiny.yaml", comparison)
    process = subprocess.Popen(
        [*COMPARE, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    metrics = tmp_path / "tiny/runs/char/gpt/seed0/metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") > 5):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert errors == "codebook: interrupted; the same command resumes\n"
    assert 5 < int(re.search(r"stopped after step (\d+), ", log.read_text())[1]) < 400
    result = compare(path)
    assert result.returncode == 0, result.stderr
    assert log.read_text().count("step 200, 50%") == 1  # not trained twice


REFUSED = [
    ({"tokenizers": ["char", "bpf-300"]}, "unknown tokenizer 'bpf-300' (did you mean 'bpe-300'?)"),
    ({"tokenizers": ["bpe-60000"]}, "bpe-60000: the training text is enough for a vocabulary of at most"),
    ({"budgets": {"chars": 5}}, "unknown key 'budgets' (did you mean 'budget'?)"),
    ({"models": {"gpt": {"model": {"n_layers": 3}}}}, "did you mean 'n_layer'"),
    ({"context": {"chars": 400_000}}, "shorter than one context"),
    ({"context": {"chars": 30_000}}, "the test split is shorter than one context"),
    ({"corpus": {"source": "jsonl:/nowhere/*.jsonl"}}, "no jsonl file at /nowhere"),
    ({"budget": {}}, "budget: give exactly one of chars, tokens, flops, steps, seconds"),
    ({"tokenizers": []}, "tokenizers is empty"),
    (
        {"tokenizers": ["char", "char"]},
        "have the same label 'char': give one another label, {LABEL: char}",
    ),
    ({"tokenizers": ["char", {"char": "bpe-300"}]}, "'char' and 'bpe-300' have the same label 'char'"),
    ({"tokenizers": [{"a/b": "char"}]}, "the label 'a/b' names a folder"),
    ({"tokenizers": [{"a" * 65: "char"}]}, "has 65 characters: use at most 64"),
    ({"tokenizers": [{"a": "char", "b": "byte"}]}, "neither a spec nor one label with its spec"),
    ({"seeds": [1, 1]}, "seeds [1, 1]: give at least one, none below 0, each once"),
    ({"budget": {"flops": 1e9}}, "a bigram model computes no FLOPs: set budget.chars"),
    ({"processes": 50}, "too small for 50 processes"),
    ({"processes": 0}, "must be at least 1"),
    ({"jobs": 2}, "'jobs' does not belong in the file: give it as --jobs"),
    ({"plan": True}, "unknown key 'plan'"),
    ({"precision": "fp32"}, "did you mean 'execution.precision'"),
    ({"models": {"a/b": {}}}, "'a/b' names a folder"),
    ({"models": {"a": {"lr": [0.1, 0.1]}}}, "give learning rates above 0, each once"),
    (
        {"params": "same_total", "tokenizers": ["bpe-900"], "models": NARROW},
        "set a larger model or params: same_body",
    ),
    (None, "line 3"),  # not YAML
]
ONE_PROCESS = """
import contextlib, io, json, runpy, sys
for path in sys.argv[1:]:
    sys.argv, code, said = ["compare.py", path, "--replace"], None, io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            runpy.run_path("compare.py", run_name="__main__")
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, said.getvalue()]))
"""


@pytest.fixture(scope="module")
def refused(finished, tiny_source, tmp_path_factory) -> list[tuple[int, str, Path]]:
    """Exit code, stderr and folder for each of REFUSED, all in one process for speed."""
    files = []
    for settings, _ in REFUSED:
        folder = tmp_path_factory.mktemp("refused")
        subprocess.run(["cp", "-a", str(finished[0]), str(folder / "tiny")], check=True)
        comparison = {**comparison_of(tiny_source, folder), **SILENT, **(settings or {})}
        files.append(write(folder / "tiny.yaml", comparison))
        if settings is None:
            files[-1].write_text("name: x\ntokenizers: [a\nmodels: {")
    command = [sys.executable, "-c", ONE_PROCESS, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    return [(code, said, file.parent / "tiny") for (code, said), file in zip(ends, files, strict=True)]


@pytest.mark.parametrize("case", range(len(REFUSED)), ids=[says for _, says in REFUSED])
def test_bad_input_is_one_line_and_leaves_earlier_results_untouched(refused, finished, case):
    code, said, folder = refused[case]
    assert code == 2
    assert said.startswith("codebook: ") and REFUSED[case][1] in said
    assert said.count("\n") == 1
    before, after = snapshot(finished[0]), snapshot(folder)
    assert {name: after.get(name) for name in before} == before
    assert (folder / "report" / "results.json").exists()


@pytest.mark.extended
def test_a_run_trained_elsewhere_is_evaluated_unchanged(tiny_source, tmp_path):
    """As on a cluster: prepared here, trained elsewhere in another precision, reported here."""
    models = {"gpt": {"model": {"n_layer": 1, "n_embd": 16}}}
    comparison = comparison_of(tiny_source, tmp_path) | {"tokenizers": ["char"], "models": models}
    path = write(tmp_path / "tiny.yaml", comparison | {"execution": {"precision": "auto"}} | SILENT)
    config = tmp_path / "tiny/runs/char/gpt/seed0/config.yaml"
    assert str(config) in prepare(path).stdout
    subprocess.run([sys.executable, "train_ddp.py", str(config), "--execution.precision", "fp16"], check=True)
    result = compare(path)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads((tmp_path / "tiny/report/results.json").read_text())["rows"]
    assert row["precision"] == "fp16"


def test_prepare_discards_changed_runs_only_when_told_to(change):
    result, folder = change(by=prepare, budget={"steps": 99})
    assert result.returncode == 2
    assert "give --replace to discard it" in result.stderr
    assert (folder / "runs/char/bigram/seed0/result.json").exists()
    shutil.rmtree(folder)
    result, folder = change("--replace", by=prepare, budget={"steps": 99})
    assert result.returncode == 0, result.stderr
    assert re.search(r"char/bigram/seed0: discarded, its .*budget.steps.* changed", result.stdout)
    assert [path.name for path in (folder / "runs/char/bigram/seed0").iterdir()] == ["config.yaml"]


def test_a_report_refuses_rows_of_other_options(finished, tmp_path):
    folder = tmp_path / "tiny"
    subprocess.run(["cp", "-a", str(finished[0]), str(folder)], check=True)
    frozen = yaml.safe_load((folder / "comparison.yaml").read_text())
    for recipe in frozen["models"].values():
        recipe["budget"] = {"steps": 99}
    (folder / "comparison.yaml").write_text(yaml.safe_dump(frozen))
    command = [sys.executable, "-m", "eval.report", "--folder", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "trained with a different budget.chars, budget.steps from" in result.stderr


def test_text_is_generated_only_with_the_tokenizer_of_the_run(finished, tmp_path):
    run = tmp_path / "run"
    subprocess.run(["cp", "-a", str(finished[0] / "runs/char/gpt/seed0"), str(run)], check=True)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("data/char", "data/bpe-300"))
    command = [sys.executable, "-m", "eval.sample", "--run", str(run)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "has changed since" in result.stderr


def test_rows_that_scored_different_texts_are_refused(finished, tmp_path):
    folder = tmp_path / "tiny"
    subprocess.run(["cp", "-a", str(finished[0]), str(folder)], check=True)
    file = folder / "runs/char/gpt/seed0/result.json"
    file.write_text(file.read_text().replace('"test_sha256": "', '"test_sha256": "f'))
    before = (folder / "report" / "report.md").read_text()
    command = [sys.executable, "-m", "eval.report", "--folder", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "scored different test texts" in result.stderr
    assert (folder / "report" / "report.md").read_text() == before


@pytest.mark.extended
def test_published_tokenizers_are_ranked_with_trained_ones_and_lossy_ones_are_separate(tiny_source, tmp_path):
    """A SentencePiece model with default options loses double spaces and line ends."""
    lines = [json.loads(line)["text"] for line in tiny_source.read_text().splitlines()]
    prefix = str(tmp_path / "nfkc")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=prefix, vocab_size=150, minloglevel=2
    )
    ranks = tmp_path / "own.tiktoken"
    tokenizer = train_tokenizer("bpe-300", lines)
    folder = tmp_path / "bpe"
    folder.mkdir()
    save_tokenizer(tokenizer, folder)
    (folder / "bpe.tiktoken").rename(ranks)
    lossy, published = f"sentencepiece:{prefix}.model", f"tiktoken:{ranks}:gpt4"
    tokenizers = ["bpe-300:gpt2", published, lossy]
    comparison = comparison_of(tiny_source, tmp_path) | {"tokenizers": tokenizers, "models": BIGRAM}
    comparison |= SILENT
    path = write(tmp_path / "tiny.yaml", comparison)

    refused = compare(path)
    assert refused.returncode == 2 and not (tmp_path / "tiny" / "runs").exists()
    (line,) = refused.stderr.splitlines()
    assert "loses text" in line and "row" in line and "allow_lossy" in line

    done = compare(path, "--allow_lossy", "true")
    assert done.returncode == 0, done.stderr
    label, published_label = folder_name(lossy), folder_name(published)
    assert f"{label} bigram: loses text of" in done.stdout
    report = tmp_path / "tiny" / "report"
    results = json.loads((report / "results.json").read_text())
    named = {row["tokenizer"]: row["spec"] for row in results["rows"]}
    assert named == {"bpe-300-gpt2": "bpe-300:gpt2", published_label: published}
    (row,) = results["lossy_rows"]
    assert (row["tokenizer"], row["spec"]) == (label, lossy)
    assert row["lossy_documents"] > 0 and "behind_best" not in row
    ranked, apart = (report / "report.md").read_text().split("Not ranked")
    assert label not in ranked and label in apart.partition("## Figures")[0]
    assert label not in (report / "results.csv").read_text()
    assert results["intrinsic"][label]["test"]["words_one_token"] is None
    assert "3 of 3 runs are done\n" in compare(path, "--allow_lossy", "true").stdout


def test_where_the_bits_go_adds_up_for_a_tokenizer_that_loses_text(tiny_source, tmp_path):
    texts = [json.loads(line)["text"] for line in tiny_source.read_text().splitlines()]
    other_file("wordpiece", texts, tmp_path / "wordpiece")
    unknown = plugin("Unknown", tmp_path).spec
    lossy = f"file:{tmp_path / 'wordpiece' / 'tokenizer.json'}"
    comparison = comparison_of(tiny_source, tmp_path) | {"models": BIGRAM, "budget": {"chars": 3000}} | SILENT
    comparison |= {"tokenizers": ["byte", lossy, {"unknown": unknown}], "allow_lossy": True}
    done = compare(write(tmp_path / "tiny.yaml", comparison))
    assert done.returncode == 0, done.stderr
    report = tmp_path / "tiny" / "report"
    results = json.loads((report / "results.json").read_text())
    (row,) = results["lossy_rows"]
    assert row["tokenizer"] == "wordpiece" and row["lossy_documents"] > 0
    for answers in results["where"]["wordpiece"].values():
        assert sum(part["chars"] for part in answers.values()) == row["test_chars"]
        bits = sum(part["bits"] for part in answers.values())
        assert bits / row["test_chars"] == pytest.approx(row["test_bpc"], rel=1e-3)  # stored in float16
    assert results["where"]["wordpiece"]["kind of character"]["space"]["bits"] == 0
    assert set(results["where"]) == {"byte", "wordpiece"} and set(results["where_unknown"]) == {"unknown"}
    text = (report / "report.md").read_text()
    apart = text.partition("Not ranked")[2].partition("## Figures")[0]
    assert "Bits per character by kind of character, of bigram with the first seed." in apart
    assert "Where the bits of `unknown` go is not shown. python:" in text
    page = (report / "report.html").read_text()
    assert "You can choose from the best 1 of 2 tokenizers" in page
    assert "Also shown, though they lose text: wordpiece." in page


# ---- budgets, sweeps, seeds

WIDE = {"n_layer": 1, "n_embd": 64, "preset": "modern"}
WIDER = {
    "tokenizers": ["char", "bpe-900"],
    "models": {
        "swept": {"model": WIDE, "lr": [1.0e-6, 0.003], "budget": {"flops": 3.0e9}},
        "timed": {"model": WIDE, "budget": {"seconds": 1.0}},
    },
    "context": {"tokens": 32},
    "params": "same_total",
    "seeds": [0, 1],
    **SILENT,
}


@pytest.fixture(scope="module")
def wider(tiny_source, tmp_path_factory) -> tuple[Path, str]:
    """A finished comparison with sweeps and seeds, and its output."""
    folder = tmp_path_factory.mktemp("wider")
    result = compare(write(folder / "tiny.yaml", comparison_of(tiny_source, folder) | WIDER))
    assert result.returncode == 0, result.stderr
    return folder / "tiny", result.stdout


def results_of(folder: Path) -> dict:
    return json.loads((folder / "report" / "results.json").read_text())


@pytest.mark.extended
def test_the_learning_rate_is_chosen_on_validation_text_for_every_tokenizer(wider):
    folder, output = wider
    for tokenizer in ("char", "bpe-900"):
        assert f"{tokenizer} swept: learning rate 0.003, the best on validation text, at the end" in output
    assert {row["lr"] for row in results_of(folder)["rows"] if row["model"] == "swept"} == {0.003}
    left = folder / "runs" / "char" / "swept" / "lr1e-06" / "seed0"
    assert not (left / "result.json").exists()  # the test text is never used


@pytest.mark.extended
def test_a_learning_rate_that_diverges_is_not_the_best(tiny_source, tmp_path):
    swept = {"gpt": {"model": {"n_layer": 1, "n_embd": 16}, "lr": [0.003, 1.0e30]}}
    comparison = comparison_of(tiny_source, tmp_path) | {"tokenizers": ["char"], "models": swept}
    path = write(tmp_path / "tiny.yaml", comparison | {"budget": {"steps": 20}} | SILENT)
    first, second = compare(path), compare(path)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "char/gpt/lr1e+30/seed0: diverges" in first.stdout and "diverges" not in second.stdout
    assert "char gpt: learning rate 0.003" in first.stdout
    swept["gpt"]["lr"] = [1.0e29, 1.0e30]
    result = compare(write(path, comparison | {"models": swept, "budget": {"steps": 20}}))
    assert result.returncode == 2
    assert "every learning rate of [1e+29, 1e+30] diverges: try lower ones" in result.stderr


@pytest.mark.extended
def test_rows_are_the_means_of_their_seeds(wider):
    results = results_of(wider[0])
    assert len(results["rows"]) == 4 and len(results["runs"]) == 8
    for row in results["rows"]:
        of_row = [
            run
            for run in results["runs"]
            if (run["tokenizer"], run["model"]) == (row["tokenizer"], row["model"])
        ]
        assert [run["seed"] for run in of_row] == row["seeds"] == [0, 1]
        assert row["test_bpc"] == pytest.approx(sum(run["test_bpc"] for run in of_row) / 2)
        assert row["test_bpc_seed_sd"] > 0


@pytest.mark.extended
def test_every_recipe_keeps_its_own_budget(wider):
    rows = results_of(wider[0])["rows"]
    for row in rows:
        if row["model"] == "swept":
            assert 3e9 <= row["train_flops"] < 3.6e9
        else:
            assert 1.0 <= row["train_seconds"] < 2.0


@pytest.mark.extended
def test_models_of_equal_size_are_narrower_with_a_larger_vocabulary(wider):
    rows = {row["tokenizer"]: row for row in results_of(wider[0])["rows"] if row["model"] == "timed"}
    assert rows["bpe-900"]["n_embd"] < rows["char"]["n_embd"] == 64
    assert rows["bpe-900"]["params_total"] == pytest.approx(rows["char"]["params_total"], rel=0.1)
    assert rows["bpe-900"]["params_embedding"] > rows["char"]["params_embedding"]


@pytest.mark.extended
def test_contexts_equal_in_tokens_are_also_scored_at_equal_characters(wider):
    rows = results_of(wider[0])["rows"]
    for row in rows:
        assert row["block_size"] == 32
        assert row["matched_context_chars"] == pytest.approx(31, rel=0.1)
        assert row["test_bpc_matched"] == pytest.approx(row["test_bpc"], rel=0.02)
        assert row["test_bpc_matched"] != row["test_bpc"]


@pytest.mark.extended
def test_a_second_call_with_sweeps_and_seeds_skips_everything(wider):
    folder, _ = wider
    before = snapshot(folder)
    assert "8 of 8 runs are done\n" in compare(folder.parent / "tiny.yaml").stdout
    assert snapshot(folder) == before


@pytest.mark.extended
def test_the_plan_is_printed_before_anything_runs(tiny_source, tmp_path):
    comparison = comparison_of(tiny_source, tmp_path) | WIDER
    comparison["tokenizers"] = ["char", {"mine": "bpe-900"}]
    result = compare(write(tmp_path / "tiny.yaml", comparison), command="plan")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines if line.startswith(("char", "mine", "tokenizer  "))) <= 80
    assert len([line for line in lines if line.startswith("mine ")]) == 2  # a model each
    (char,) = [line.split() for line in lines if line.startswith("char ") and "swept" in line]
    block, batch, steps, params, flops, memory, *time = char[2:]
    assert (block, batch) == ("32", "21.9")
    assert params.endswith("M") and float(flops) == pytest.approx(3e9, rel=0.2)
    assert int(steps) > 0 and float(memory) > 0.1 and time[1] == "s"
    assert "to do     10 runs, 2 at a time, " in result.stdout, "seeds and learning rates are counted"
    assert not (tmp_path / "tiny").exists()
