"""The rows of a comparison: which runs may stand in one report, and what their intervals hold."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from benchmarks.claims import false_claims_of_same
from comparison import Comparison, Recipe, load_comparison
from comparison.config import RunSpec
from comparison.protocol import window_stride
from data_prep.arrays import TokenArrays
from eval.results import collect_results
from model import ModelConfig
from training.budget import Budget, TextAmount
from training.config import TrackingConfig

DOCUMENTS, CHARS, BLOCK = 200, 100, 10


@pytest.fixture
def folder(tiny_arrays, tmp_path, monkeypatch) -> Path:
    """Two tokenizers, two models that are alike to the last bit, three seeds."""
    recipe = Recipe(model=ModelConfig(n_layer=1, n_embd=16))
    comparison = Comparison(
        name="tiny",
        out=tmp_path,
        tokenizers=["byte", "char"],
        models={"one": recipe, "other": recipe},
        context=TextAmount(chars=BLOCK),
        batch=TextAmount(chars=100),
        budget=Budget(steps=9),
        seeds=[0, 1, 2],
        tracking=TrackingConfig(wandb="disabled"),
    )
    comparison.folder.mkdir()
    comparison.freeze("0")
    for place in ("eval.results", "benchmarks.claims"):  # these documents are made up
        monkeypatch.setattr(f"{place}.test_clusters", lambda comparison: None)
    draw = np.random.default_rng(0)
    for tokenizer, spec in comparison.specs.items():
        shutil.copytree(tiny_arrays(spec), comparison.data(tokenizer))
        for seed in comparison.seeds:
            bits = CHARS * (2 + 0.001 * draw.standard_normal(DOCUMENTS) + 0.1 * draw.standard_normal())
            for model in comparison.models:
                write_run(comparison.run(tokenizer, model, seed), bits)
    return comparison.folder


def write_run(run: RunSpec, bits: np.ndarray) -> None:
    run.folder.mkdir(parents=True)
    result = {
        "made_from": {
            "identity": run.config.identity() | TokenArrays(run.config.data).fingerprints,
            "stride": BLOCK // 2,
            "scoring": "tf32",
            "context_chars": None,
            "checkpoint": {"model.safetensors": f"{run.tokenizer} {run.seed}"},
        },
        "tokenizer": run.spec,
        "seed": run.seed,
        "block_size": BLOCK,
        "test_sha256": "0",
        "scoring": "fp32",
        "test_chars": DOCUMENTS * CHARS,
        "test_documents": DOCUMENTS,
        "test_bpc": float(bits.sum() / (DOCUMENTS * CHARS)),
        "lossy_documents": 0,
    } | dict.fromkeys(("lr", "steps", "train_seconds", "test_bpb"), 1.0)
    (run.folder / "result.json").write_text(json.dumps(result))
    table = pyarrow.table({"bits": bits, "chars": np.full(DOCUMENTS, CHARS)})
    pyarrow.parquet.write_table(table, run.folder / "documents.parquet")


def test_a_window_moves_on_by_what_is_not_overlap():
    assert [window_stride(40, overlap) for overlap in (0, 0.5, 0.75, 0.99)] == [40, 20, 10, 1]
    assert window_stride(43) == window_stride(43, 0.5) == 22


@pytest.mark.parametrize(("key", "value"), [("stride", 2), ("context_chars", 20), ("scoring", "bf16")])
def test_a_report_never_mixes_protocols(folder, key, value):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    result = json.loads(file.read_text())
    result["made_from"][key] = value
    file.write_text(json.dumps(result))
    says = f"byte/other/seed1 was evaluated with {key} {value}, not (5|None|tf32) .* run compare.py"
    with pytest.raises(ValueError, match=says):
        collect_results(load_comparison(folder))


def test_a_report_never_mixes_the_precisions_of_a_gpu_and_a_cpu(folder):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    file.write_text(file.read_text().replace('"scoring": "fp32"', '"scoring": "tf32"'))
    says = "byte/other/seed1 was scored in tf32 and .* in fp32: .* set scoring: fp32"
    with pytest.raises(ValueError, match=says):
        collect_results(load_comparison(folder))


def test_a_comparison_with_another_overlap_does_not_take_what_was_evaluated_before(folder):
    file = folder / "comparison.yaml"
    file.write_text(file.read_text().replace("overlap: 0.5", "overlap: 0.7"))
    with pytest.raises(ValueError, match="evaluated with stride 5, not 3"):
        collect_results(load_comparison(folder))


@pytest.mark.parametrize(
    ("key", "value", "named"), [("seed", 7, "seed"), ("corpus_fingerprint", "f", "corpus_fingerprint")]
)
def test_a_report_holds_only_runs_that_the_comparison_asks_for(folder, key, value, named):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    result = json.loads(file.read_text())
    result["made_from"]["identity"][key] = value
    file.write_text(json.dumps(result))
    with pytest.raises(ValueError, match=f"byte/other/seed1 was trained with another {named} than"):
        collect_results(load_comparison(folder))


def test_a_folder_may_be_moved(folder, tmp_path):
    before, _ = collect_results(load_comparison(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    after, _ = collect_results(load_comparison(moved))
    assert after == before | {"comparison": "elsewhere"}


def test_runs_that_passed_over_batches_are_counted(folder):
    run = folder / "runs" / "char" / "one" / "seed2"
    (run / "metrics.jsonl").write_text('{"step": 9, "skipped_steps": 2}\n')
    results, _ = collect_results(load_comparison(folder))
    skipped = {(r["tokenizer"], r["model"], r["seed"]): r["skipped_steps"] for r in results["runs"]}
    assert skipped.pop(("char", "one", 2)) == 2 and set(skipped.values()) == {0}


def test_the_errors_of_one_model_are_drawn_apart_from_those_of_another(folder):
    """Two models whose numbers are alike: were their errors the same draws, a difference would be certain."""
    _, errors = collect_results(load_comparison(folder))
    one, other = (errors[model].draws[:, 0] for model in ("one", "other"))
    assert abs(np.corrcoef(one.clip(-1, 1), other.clip(-1, 1))[0, 1]) < 0.1
    _, again = collect_results(load_comparison(folder))
    assert np.array_equal(again["one"].draws, errors["one"].draws)


def test_one_seed_tests_nothing(folder):
    comparison = replace(load_comparison(folder), seeds=[0])
    rows = collect_results(comparison)[0]["rows"]
    assert not any(row["distinguishable"] for row in rows)
    assert {row["behind_best_low"] for row in rows} == {None}


def test_models_may_have_seeds_of_their_own(folder):
    comparison = load_comparison(folder)
    other = replace(comparison.models["other"], seeds=[1])
    rows = collect_results(replace(comparison, models=comparison.models | {"other": other}))[0]["rows"]
    assert {row["model"]: row["seeds"] for row in rows} == {"one": [0, 1, 2], "other": [1]}


def test_documents_of_a_group_are_counted_by_group(folder, monkeypatch):
    clusters = np.arange(DOCUMENTS) // 50
    before, alone = collect_results(load_comparison(folder))
    monkeypatch.setattr("eval.results.test_clusters", lambda comparison: clusters)
    after, grouped = collect_results(load_comparison(folder))
    assert (before["corpus"]["test_groups"], after["corpus"]["test_groups"]) == (None, 4)
    assert not np.array_equal(alone["one"].covariance, grouped["one"].covariance)


def test_a_row_has_the_ambiguity_that_was_estimated_of_its_present_checkpoint(folder):
    def estimated(tokenizer: str, seed: int, checkpoint: str) -> None:
        asked = {"texts": 5, "chars": 90, "samples": 32}
        found = {"made_from": {"checkpoint": {"model.safetensors": checkpoint}, **asked}}
        found |= {"bits_per_char": 0.02, "bits_per_char_se": 0.001, "texts": 4, "chars": 300}
        (folder / "runs" / tokenizer / "one" / f"seed{seed}" / "ambiguity.json").write_text(json.dumps(found))

    estimated("byte", 1, "byte 1")
    estimated("char", 0, "an earlier one")
    rows = {
        (row["tokenizer"], row["model"]): row for row in collect_results(load_comparison(folder))[0]["rows"]
    }
    assert rows["byte", "one"]["ambiguity_bits_per_char"] == 0.02
    assert rows["byte", "one"]["ambiguity_bits_per_char_se"] == 0.001
    assert rows["byte", "one"]["ambiguity_of"] == "300 characters of 4 texts, 32 draws each"
    for other in (("byte", "other"), ("char", "one")):
        assert rows[other]["ambiguity_bits_per_char"] is rows[other]["ambiguity_of"] is None


def test_runs_that_are_equal_but_for_chance_are_not_told_apart(folder, tiny_arrays):
    """As `python -m benchmarks.claims --same` has it of real runs of one tokenizer."""
    same = replace(load_comparison(folder), name="same", tokenizers=[{label: "byte"} for label in "abcdef"])
    same.folder.mkdir()
    same.freeze("0")
    draw = np.random.default_rng(1)
    for run in same.runs({}):
        if not run.config.data.exists():
            shutil.copytree(tiny_arrays("byte"), run.config.data)
        of_run = 2 + 0.003 * draw.standard_normal() + 0.01 * draw.standard_normal(DOCUMENTS)
        write_run(run, CHARS * of_run)
    assert false_claims_of_same(same.folder, repeats=60) <= 0.15
