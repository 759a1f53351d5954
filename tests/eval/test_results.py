"""The rows of a comparison: which runs may stand in one report, and what their intervals hold."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import yaml

from eval.protocol import window_stride
from eval.results import collect_results

DOCUMENTS, CHARS, BLOCK = 200, 100, 10
AMOUNTS = {"context": {"chars": 20, "tokens": None}, "batch": {"chars": 100, "tokens": None}}
RECIPE = {"model": {}, "params": None, "budget": {}, "optimizer": {"lr": 0.1}, "lr": None}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two tokenizers, two models that are alike to the last bit, three seeds."""
    comparison = AMOUNTS | {
        "tokenizers": ["byte", "char"],
        "models": {"one": RECIPE, "other": RECIPE},
        "overlap": 0.5,
        "seeds": [0, 1, 2],
    }
    (tmp_path / "comparison.yaml").write_text(yaml.safe_dump(comparison))
    draw = np.random.default_rng(0)
    for tokenizer in comparison["tokenizers"]:
        for seed in comparison["seeds"]:
            bits = CHARS * (2 + 0.001 * draw.standard_normal(DOCUMENTS) + 0.1 * draw.standard_normal())
            for model in comparison["models"]:
                write_run(tmp_path / "runs" / tokenizer / model / f"seed{seed}", tokenizer, seed, bits)
    return tmp_path


def write_run(run: Path, tokenizer: str, seed: int, bits: np.ndarray) -> None:
    run.mkdir(parents=True)
    identity = AMOUNTS | {key: RECIPE[key] for key in ("model", "params", "budget", "optimizer")}
    result = {
        "made_from": {
            "identity": identity,
            "stride": BLOCK // 2,
            "context_chars": None,
            "checkpoint": {"model.safetensors": f"{tokenizer} {seed}"},
        },
        "tokenizer": tokenizer,
        "seed": seed,
        "block_size": BLOCK,
        "test_sha256": "0",
        "test_chars": DOCUMENTS * CHARS,
        "test_documents": DOCUMENTS,
        "test_bpc": float(bits.sum() / (DOCUMENTS * CHARS)),
        "lossy_documents": 0,
    } | dict.fromkeys(("lr", "steps", "train_seconds", "test_bpb"), 1.0)
    (run / "result.json").write_text(json.dumps(result))
    table = pyarrow.table({"bits": bits, "chars": np.full(DOCUMENTS, CHARS)})
    pyarrow.parquet.write_table(table, run / "documents.parquet")


def test_a_window_moves_on_by_what_is_not_overlap():
    assert [window_stride(40, overlap) for overlap in (0, 0.5, 0.75, 0.99)] == [40, 20, 10, 1]
    assert window_stride(43) == window_stride(43, 0.5) == 22


@pytest.mark.parametrize(("key", "value"), [("stride", 2), ("context_chars", 20)])
def test_a_report_never_mixes_protocols(folder, key, value):
    file = folder / "runs" / "byte" / "other" / "seed1" / "result.json"
    result = json.loads(file.read_text())
    result["made_from"][key] = value
    file.write_text(json.dumps(result))
    says = f"byte/other/seed1 was evaluated with {key} {value}, not (5|None) .* run compare.py"
    with pytest.raises(ValueError, match=says):
        collect_results(folder)


def test_a_comparison_with_another_overlap_does_not_take_what_was_evaluated_before(folder):
    file = folder / "comparison.yaml"
    file.write_text(file.read_text().replace("overlap: 0.5", "overlap: 0.7"))
    with pytest.raises(ValueError, match="evaluated with stride 5, not 3"):
        collect_results(folder)


def test_the_seeds_of_one_model_err_apart_from_those_of_another(folder):
    """Two models whose numbers are alike: were their errors the same draws, a difference would be certain."""
    results, samples = collect_results(folder)
    rows = results["rows"]
    columns = [i for i, row in enumerate(rows) if row["tokenizer"] == "byte"]
    assert {rows[i]["model"] for i in columns} == {"one", "other"}
    spread = samples.std(axis=0)[columns]
    assert spread[0] == pytest.approx(spread[1], rel=0.05)
    difference = samples[:, columns[0]] - samples[:, columns[1]]
    assert difference.std() == pytest.approx(np.sqrt(2) * spread[0], rel=0.05)
    _, again = collect_results(folder)
    assert np.array_equal(again, samples)


def test_a_row_has_the_ambiguity_that_was_estimated_of_its_present_checkpoint(folder):
    def estimated(tokenizer: str, seed: int, checkpoint: str) -> None:
        asked = {"texts": 5, "chars": 90, "samples": 32}
        found = {"made_from": {"checkpoint": {"model.safetensors": checkpoint}, **asked}}
        found |= {"bits_per_char": 0.02, "bits_per_char_se": 0.001, "texts": 4, "chars": 300}
        (folder / "runs" / tokenizer / "one" / f"seed{seed}" / "marginal.json").write_text(json.dumps(found))

    estimated("byte", 1, "byte 1")
    estimated("char", 0, "an earlier one")
    rows = {(row["tokenizer"], row["model"]): row for row in collect_results(folder)[0]["rows"]}
    assert rows["byte", "one"]["ambiguity_bits_per_char"] == 0.02
    assert rows["byte", "one"]["ambiguity_bits_per_char_se"] == 0.001
    assert rows["byte", "one"]["ambiguity_of"] == "300 characters of 4 texts, 32 draws each"
    for other in (("byte", "other"), ("char", "one")):
        assert rows[other]["ambiguity_bits_per_char"] is rows[other]["ambiguity_of"] is None
