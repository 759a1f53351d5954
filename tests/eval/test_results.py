"""The rows of a comparison: the runs that may be in one report, and their intervals."""

import json
import re
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
from eval.recommend import recommend, sentences
from eval.results import (
    collect_results,
    comparable_seeds,
    evaluated_part,
    first_runs,
    partial_sentences,
)
from model import ModelConfig
from training.budget import Budget, TextAmount
from training.config import TrackingConfig

DOCUMENTS, CHARS, BLOCK = 200, 100, 10


@pytest.fixture
def folder(tiny_arrays, tmp_path, monkeypatch) -> Path:
    """Two tokenizers, two identical models, three seeds."""
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
    for place in ("eval.results", "benchmarks.claims"):  # the documents are artificial
        monkeypatch.setattr(f"{place}.test_clusters", lambda *_: None)
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
        "kind": "gpt",
        "vocab_size": 257,
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


def test_windows_advance_by_the_part_that_does_not_overlap():
    assert [window_stride(40, overlap) for overlap in (0, 0.5, 0.75, 0.99)] == [40, 20, 10, 1]
    assert window_stride(43) == window_stride(43, 0.5) == 22


def left_out(folder: Path) -> str:
    """The reason why the one run of other options is left out."""
    partial = collect_results(load_comparison(folder))[0]["partial"]
    assert (partial["evaluated"], partial["wanted"]) == (11, 12)
    (reason,) = partial["left_out"]
    return reason


@pytest.mark.parametrize(("key", "value"), [("stride", 2), ("context_chars", 20), ("scoring", "bf16")])
def test_runs_of_another_protocol_are_left_out(folder, key, value):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    result = json.loads(file.read_text())
    result["made_from"][key] = value
    file.write_text(json.dumps(result))
    says = f"byte/other/seed1 was evaluated with {key} {value}, but the comparison has (5|None|tf32): run"
    assert re.search(says, left_out(folder))


def test_runs_scored_in_different_precisions_are_refused(folder):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    file.write_text(file.read_text().replace('"scoring": "fp32"', '"scoring": "tf32"'))
    says = "byte/other/seed1 was scored in tf32 and .* in fp32, which .* set scoring: fp32"
    with pytest.raises(ValueError, match=says):
        collect_results(load_comparison(folder))


def test_results_of_another_overlap_are_not_used(folder):
    file = folder / "comparison.yaml"
    file.write_text(file.read_text().replace("overlap: 0.5", "overlap: 0.7"))
    with pytest.raises(ValueError, match="evaluated with stride 5, but the comparison has 3"):
        collect_results(load_comparison(folder))


@pytest.mark.parametrize(
    ("key", "value", "named"), [("seed", 7, "seed"), ("corpus_fingerprint", "f", "corpus_fingerprint")]
)
def test_runs_of_other_options_are_left_out(folder, key, value, named):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    result = json.loads(file.read_text())
    result["made_from"]["identity"][key] = value
    file.write_text(json.dumps(result))
    assert f"byte/other/seed1 was trained with a different {named} from" in left_out(folder)


def test_a_folder_may_be_moved(folder, tmp_path):
    before, _ = collect_results(load_comparison(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    after, _ = collect_results(load_comparison(moved))
    assert after == before | {"comparison": "elsewhere"}


def test_skipped_batches_are_counted(folder):
    run = folder / "runs" / "char" / "one" / "seed2"
    (run / "metrics.jsonl").write_text('{"step": 9, "skipped_steps": 2}\n')
    results, _ = collect_results(load_comparison(folder))
    skipped = {(r["tokenizer"], r["model"], r["seed"]): r["skipped_steps"] for r in results["runs"]}
    assert skipped.pop(("char", "one", 2)) == 2 and set(skipped.values()) == {0}


def test_errors_of_different_models_are_independent(folder):
    """Two models with equal numbers: with the same draws of errors, a difference would seem certain."""
    _, errors = collect_results(load_comparison(folder))
    one, other = (errors[model].draws[:, 0] for model in ("one", "other"))
    assert abs(np.corrcoef(one.clip(-1, 1), other.clip(-1, 1))[0, 1]) < 0.1
    _, again = collect_results(load_comparison(folder))
    assert np.array_equal(again["one"].draws, errors["one"].draws)


def test_a_whole_comparison_is_not_partial(folder):
    comparison = load_comparison(folder)
    results, _ = collect_results(comparison)
    assert results["partial"] is None and partial_sentences(None) == []
    assert evaluated_part(comparison, results) is comparison
    assert all(row["compared"] and not row["seeds_missing"] for row in results["rows"])


def test_without_results_the_error_names_the_command(folder):
    for result in folder.glob("runs/*/*/seed*/result.json"):
        result.unlink()
    with pytest.raises(ValueError, match=r"no results yet: none of its 12 runs is evaluated: compare.py run"):
        collect_results(load_comparison(folder))


def forget(folder: Path, *runs: str) -> dict:
    """The results without those of some runs."""
    for run in runs:
        (folder / "runs" / run / "result.json").unlink()
    return collect_results(load_comparison(folder))[0]


def rows_of(results: dict, model: str) -> dict[str, dict]:
    return {row["tokenizer"]: row for row in results["rows"] if row["model"] == model}


def test_a_row_that_lacks_seeds_is_not_compared(folder):
    whole = rows_of(collect_results(load_comparison(folder))[0], "one")
    results = forget(folder, "char/one/seed0", "char/one/seed1", "byte/other/seed0", "char/other/seed0")
    assert results["partial"] == {"evaluated": 8, "wanted": 12, "left_out": []}
    assert partial_sentences(results["partial"]) == ["Partial: 8 of 12 runs are evaluated."]
    one = rows_of(results, "one")
    assert one["char"]["seeds"], one["char"]["seeds_missing"] == ([2], [0, 1])
    result = json.loads((folder / "runs" / "char" / "one" / "seed2" / "result.json").read_text())
    assert one["char"]["test_bpc"] == result["test_bpc"]
    other = rows_of(results, "other")  # its rows have two seeds in common and are compared under these
    assert all(row["seeds"] == [1, 2] and row["seeds_missing"] == [0] for row in other.values())
    assert all(row["compared"] for row in other.values())
    assert {name: row["compared"] for name, row in one.items()}.keys() == whole.keys()


def test_a_row_that_is_not_compared_comes_last_and_is_never_the_best(folder):
    results = forget(folder, "char/one/seed0", "char/one/seed1", "char/other/seed0")
    comparison = load_comparison(folder)
    assert [row["seeds"] for row in rows_of(results, "one").values()] == [[2], [2]]  # one seed of both
    assert not any(row["may_be_best"] for row in rows_of(results, "one").values())
    (folder / "runs" / "char" / "other" / "seed1" / "result.json").unlink()
    third = replace(comparison, name="third", tokenizers=["byte", "char", {"same": "byte"}])
    shutil.copytree(folder, third.folder)
    shutil.copytree(folder / "data" / "byte", third.data("same"))
    third.freeze("0")
    for seed in comparison.seeds:  # a third tokenizer, worse than the others
        run = third.run("same", "other", seed)
        write_run(run, CHARS * (3 + 0.001 * np.random.default_rng(seed).standard_normal(DOCUMENTS)))
    for run in third.runs({}):
        run.folder.mkdir(parents=True, exist_ok=True)
    results, errors = collect_results(third)
    rows = [row for row in results["rows"] if row["model"] == "other"]
    assert [row["compared"] for row in rows] == [True, True, False]
    last = rows[-1]
    assert (last["tokenizer"], last["seeds"]) == ("char", [2])
    assert last["test_bpc"] < rows[1]["test_bpc"] and last["test_bpc_low"] < last["test_bpc"]
    assert last["behind_best"] is last["behind_best_low"] is None
    assert errors["other"].draws.shape[1] == 2
    entry = recommend(third, results, errors)["models"][1]
    assert entry["not_compared"] == ["char"] and "char" not in entry["may_be_best"]
    said = " ".join(sentences(entry))
    assert "best of 2 tokenizers compared so far" in said and "Not compared yet: char." in said


def test_with_one_seed_so_far_no_more_seeds_are_suggested(folder):
    results = forget(
        folder, *(f"{t}/{m}/seed{s}" for t in ("byte", "char") for m in ("one", "other") for s in (1, 2))
    )
    comparison = load_comparison(folder)
    entry = recommend(comparison, results, collect_results(comparison)[1])["models"][0]
    text = sentences(entry)[0]
    assert text.startswith("Not tested") and text.endswith("The runs with other seeds are not evaluated yet.")


def test_a_partial_report_describes_the_protocol_of_its_rows(folder):
    seeds = [f"{tokenizer}/one/seed2" for tokenizer in ("byte", "char")]
    results = forget(
        folder, *seeds, *(f"{tokenizer}/other/seed{i}" for tokenizer in ("byte", "char") for i in range(3))
    )
    part = evaluated_part(load_comparison(folder), results)
    assert list(part.models) == ["one"] and part.seeds_of("one") == [0, 1]
    assert list(part.specs) == ["byte", "char"]


def test_the_first_run_of_a_row_is_evaluated(folder):
    results = forget(folder, "byte/one/seed0", "char/one/seed0")
    comparison = load_comparison(folder)
    first = first_runs(comparison, results["rows"])
    assert first["byte", "one"].seed == 1 and first["byte", "other"].seed == 0
    assert all((run.folder / "result.json").exists() for run in first.values())


def test_rows_whose_learning_rate_is_not_chosen_yet_are_missing(folder):
    comparison = load_comparison(folder)
    other = replace(comparison.models["other"], lr=[0.1, 0.2])
    results, _ = collect_results(replace(comparison, models=comparison.models | {"other": other}))
    assert results["partial"] == {"evaluated": 6, "wanted": 12, "left_out": []}
    assert {row["model"] for row in results["rows"]} == {"one"}


@pytest.mark.parametrize(
    ("rows", "seeds"),
    [
        ([{0, 1, 2}] * 3, {0, 1, 2}),
        ([{0, 1, 2}, {0, 1, 2}, {0}], {0, 1, 2}),  # two rows with three seeds before three with one
        ([{0, 1, 2}] + [{0, 1}] * 4, {0, 1}),
        ([{0, 1}] + [{0}] * 4, {0}),  # nothing can be tested: all rows, at least
        ([{0, 1}, {1, 2}, {0, 2}], {0}),
        ([{3}, {4, 5}], {4, 5}),
    ],
)
def test_rows_are_compared_under_the_seeds_with_the_most_degrees_of_freedom(rows, seeds):
    assert comparable_seeds(rows) == seeds


def test_with_one_seed_nothing_is_tested(folder):
    comparison = replace(load_comparison(folder), seeds=[0])
    rows = collect_results(comparison)[0]["rows"]
    assert not any(row["distinguishable"] for row in rows)
    assert {row["behind_best_low"] for row in rows} == {None}


def test_models_may_have_their_own_seeds(folder):
    comparison = load_comparison(folder)
    other = replace(comparison.models["other"], seeds=[1])
    rows = collect_results(replace(comparison, models=comparison.models | {"other": other}))[0]["rows"]
    assert {row["model"]: row["seeds"] for row in rows} == {"one": [0, 1, 2], "other": [1]}


def test_errors_are_over_groups_if_documents_have_groups(folder, monkeypatch):
    clusters = np.arange(DOCUMENTS) // 50
    before, alone = collect_results(load_comparison(folder))
    monkeypatch.setattr("eval.results.test_clusters", lambda *_: clusters)
    after, grouped = collect_results(load_comparison(folder))
    assert (before["corpus"]["test_groups"], after["corpus"]["test_groups"]) == (None, 4)
    assert not np.array_equal(alone["one"].covariance, grouped["one"].covariance)


def test_a_row_has_the_ambiguity_of_its_current_checkpoint(folder):
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


def test_runs_that_differ_only_by_chance_are_not_distinguished(folder, tiny_arrays):
    """`python -m benchmarks.claims --same` does the same with real runs of one tokenizer."""
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
