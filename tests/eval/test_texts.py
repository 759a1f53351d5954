"""The results on further texts: who may be the best on each, and which tokenizers change places."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from comparison import Comparison, Recipe, RunSpec, load_comparison
from comparison.config import TEST
from data_prep.arrays import TokenArrays
from eval.report.other_texts import summary_sentence, text_sentences, texts_section
from eval.results import NoResults, collect_results
from eval.statistics import estimate_errors
from eval.texts import collect_texts, compare_rankings, ranks, shown_better
from model import ModelConfig
from training.budget import Budget, TextAmount
from training.config import TrackingConfig

DOCUMENTS, CHARS, BLOCK, SEEDS = 200, 100, 10, [0, 1, 2]
LABELS = ["a", "b", "c"]


def write_scores(run: RunSpec, comparison: Comparison, text: str, bits: np.ndarray, **more: object) -> None:
    """Write the scores of a run on a text, as `evaluate_run` does."""
    arrays = TokenArrays(comparison.data(run.tokenizer, text))
    made_from = {
        "identity": run.config.identity() | TokenArrays(run.config.data).fingerprints,
        "stride": BLOCK // 2,
        "scoring": "tf32",
        "context_chars": None,
        "checkpoint": {"model.safetensors": f"{run.tokenizer} {run.seed}"},
        **({} if text == TEST else {"text": arrays.fingerprints}),
    }
    result = {
        "made_from": made_from,
        "tokenizer": run.spec,
        "kind": "gpt",
        "vocab_size": 257,
        "seed": run.seed,
        "block_size": BLOCK,
        "context_chars": 10.0,
        "chars_per_token": 1.0,
        "params_total": 1,
        "params_embedding": 1,
        "train_chars": 1,
        "test_sha256": text * 16,
        "scoring": "fp32",
        "test_chars": DOCUMENTS * CHARS,
        "test_documents": DOCUMENTS,
        "test_bpc": float(bits.sum() / (DOCUMENTS * CHARS)),
        "lossy_documents": 0,
    } | dict.fromkeys(("lr", "steps", "train_seconds", "test_bpb"), 1.0)
    folder = run.scores(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result | more))
    table = pyarrow.table({"bits": bits, "chars": np.full(DOCUMENTS, CHARS)})
    pyarrow.parquet.write_table(table, folder / "documents.parquet")


def noise(draw: np.random.Generator) -> np.ndarray:
    """The bits of a run: documents and seeds vary."""
    return CHARS * (2 + 0.002 * draw.standard_normal() + 0.05 * draw.standard_normal(DOCUMENTS))


@pytest.fixture
def comparison(tiny_arrays, tmp_path, monkeypatch) -> Comparison:
    """Three tokenizers with three seeds: `a` is the best on the test split, `b` on poems, none on news."""
    comparison = Comparison(
        name="tiny",
        out=tmp_path,
        tokenizers=[{label: "byte"} for label in LABELS],
        models={"gpt": Recipe(model=ModelConfig(n_layer=1, n_embd=16))},
        evaluate={"poems": "text:poems.txt", "news": "text:news.txt"},
        context=TextAmount(chars=BLOCK),
        batch=TextAmount(chars=100),
        budget=Budget(steps=9),
        seeds=SEEDS,
        tracking=TrackingConfig(wandb="disabled"),
    )
    comparison.folder.mkdir()
    comparison.freeze("0")
    monkeypatch.setattr("eval.results.test_clusters", lambda *_: None)  # the documents are artificial
    planted = {TEST: {"a": -0.1}, "poems": {"b": -0.1}, "news": {}}
    draw = np.random.default_rng(0)
    for text, gains in planted.items():
        for label in LABELS:
            shutil.copytree(tiny_arrays("byte"), comparison.data(label, text))
        for run in comparison.runs({}):
            write_scores(run, comparison, text, noise(draw) + CHARS * gains.get(run.tokenizer, 0))
    return comparison


def results_of(comparison: Comparison) -> dict:
    """The results on the test split and on further texts, as a report has them."""
    results, errors = collect_results(comparison)
    return results | {"texts": collect_texts(comparison, (results, errors))}


def test_the_same_tokenizers_are_ranked_on_each_text(comparison):
    texts = results_of(comparison)["texts"]
    assert list(texts) == ["poems", "news"]
    assert texts["poems"]["source"] == "text:poems.txt"
    assert {row["tokenizer"] for row in texts["poems"]["rows"]} == set(LABELS)
    best = {name: of["recommendation"]["models"][0]["may_be_best"] for name, of in texts.items()}
    assert best["poems"] == ["b"] and set(best["news"]) == set(LABELS)


def test_a_change_of_the_ranking_is_reported_and_noise_is_not(comparison):
    texts = results_of(comparison)["texts"]
    (poems,), (news,) = texts["poems"]["ranking"], texts["news"]["ranking"]
    assert poems["tested"] and poems["reversed"] == [["b", "a"]]
    assert poems["kendall_tau"] < 1 and poems["tokenizers"] == 3
    assert news["tested"] and news["reversed"] == []


def rows_of(bits: np.ndarray, chars: np.ndarray, seeds: list[int] = SEEDS) -> tuple[list[dict], object]:
    """Rows as in a report, best first, with their errors; `bits` is (rows, seeds, documents)."""
    bpc = bits.sum(axis=2).mean(axis=1) / chars.sum()
    order = np.argsort(bpc)
    rows = [
        {
            "tokenizer": str(i),
            "test_bpc": bpc[i],
            "seeds": seeds,
            "test_documents": len(chars),
            "compared": True,
        }
        for i in order
    ]
    return rows, estimate_errors(bits[order], chars)[0]


def test_equal_tokenizers_seldom_seem_to_change_places():
    """On one text they differ much, on the other one not at all: half of the claim is true already."""
    draw, chars, false = np.random.default_rng(0), np.full(60, CHARS), 0
    for _ in range(100):
        hard = 0.1 * draw.standard_normal(60)  # documents that are hard for all
        one, other = (
            CHARS
            * (2 + hard + 0.01 * draw.standard_normal((4, 3, 1)) + 0.02 * draw.standard_normal((4, 3, 60)))
            for _ in range(2)
        )
        one += CHARS * np.linspace(0, 1, 4)[:, None, None]
        false += bool(compare_rankings(rows_of(one, chars), rows_of(other, chars))["reversed"])
    assert false <= 8  # of 100, where 5 are allowed


def test_equal_rows_are_equal_on_every_text():
    chars = np.full(60, CHARS)
    bits = CHARS * (2 + 0.1 * np.random.default_rng(0).standard_normal((1, 3, 60))).repeat(4, axis=0)
    rows = rows_of(bits, chars)
    assert set(ranks(rows[0]).values()) == {1}
    assert shown_better(*rows) == set()
    found = compare_rankings(rows, rows)
    assert found == {"tokenizers": 4, "kendall_tau": None, "tested": True, "reversed": []}


def test_with_one_seed_no_tokenizer_changes_places():
    draw, chars = np.random.default_rng(0), np.full(60, CHARS)
    one = CHARS * (2 + np.array([0, 1])[:, None, None] + 0.01 * draw.standard_normal((2, 1, 60)))
    found = compare_rankings(rows_of(one, chars, [0]), rows_of(one[::-1], chars, [0]))
    assert found == {"tokenizers": 2, "kendall_tau": -1, "tested": False, "reversed": []}


def test_ranks_count_from_the_fewest_bits_and_ties_share_one():
    rows = [
        {"tokenizer": name, "test_bpc": bpc, "compared": name != "d"}
        for name, bpc in (("a", 1.0), ("b", 1.0), ("c", 2.0), ("d", 0.5))
    ]
    assert ranks(rows) == {"a": 1, "b": 1, "c": 3}


def test_a_text_without_scores_says_so(comparison):
    for run in comparison.runs({}):
        (run.scores("news") / "result.json").unlink()
    with pytest.raises(NoResults):
        collect_results(comparison, "news")
    results = results_of(comparison)
    assert results["texts"]["news"] == {
        "source": "text:news.txt",
        "missing": "none of 9 runs is scored on it yet: compare.py run scores them",
    }
    assert text_sentences(results)[1].startswith("On news: none of 9 runs is scored on it yet")
    assert "### news" in texts_section(results)


def test_scores_on_another_version_of_a_text_are_left_out(comparison):
    file = comparison.run("a", "gpt", 0).scores("poems") / "result.json"
    content = json.loads(file.read_text())
    content["made_from"]["text"]["corpus_fingerprint"] = "0"
    file.write_text(json.dumps(content))
    partial = results_of(comparison)["texts"]["poems"]["partial"]
    assert (partial["evaluated"], partial["wanted"]) == (8, 9)
    assert "was evaluated on another version of poems" in partial["left_out"][0]


def test_a_tokenizer_may_lose_text_of_one_text_alone(comparison):
    for run in comparison.runs({}):
        if run.tokenizer == "b":
            write_scores(run, comparison, "poems", np.full(DOCUMENTS, 10.0), lossy_documents=3)
    results = results_of(comparison)
    assert {row["tokenizer"] for row in results["rows"]} == set(LABELS)
    poems = results["texts"]["poems"]
    assert {row["tokenizer"] for row in poems["rows"]} == {"a", "c"}
    assert [row["tokenizer"] for row in poems["lossy_rows"]] == ["b"]
    section = texts_section(results)
    assert "Not ranked, because these tokenizers lose text of it" in section and "| loses text |" in section


def test_if_every_tokenizer_loses_text_nothing_is_ranked_on_it(comparison):
    for run in comparison.runs({}):
        write_scores(run, comparison, "poems", np.full(DOCUMENTS, 10.0), lossy_documents=3)
    assert "every tokenizer is lossy" in results_of(comparison)["texts"]["poems"]["missing"]


def test_the_report_has_a_table_of_all_texts_and_a_section_of_each(comparison):
    results = results_of(comparison)
    section = texts_section(results)
    assert section.startswith("## On other texts\n")
    assert "| tokenizer | test | poems | news |" in section
    (line,) = [line for line in section.splitlines() if line.startswith("| `a` |") and "gpt" not in line]
    assert line.startswith("| `a` | **1.898** (1) | 1.998 (2) |")
    assert section.index("### poems") < section.index("### news")
    assert "Source `text:poems.txt`: 20,000 characters of 200 documents" in section
    poems, news = text_sentences(results)
    assert poems.startswith("On poems: b (vocabulary 257) is the best of 3 tokenizers")
    assert poems.endswith("Unlike on the test text, b is better than a.")
    assert news.endswith("No two tokenizers are shown to change places.")
    assert summary_sentence(results) == "On poems, tokenizers are shown to change places: see On other texts."


def test_without_further_texts_there_is_no_section(comparison, tmp_path: Path):
    file = comparison.folder / "comparison.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("\nevaluate:")] + text[text.index("\ntrain_chars:") :])
    results = results_of(load_comparison(comparison.folder))
    assert results["texts"] == {} and texts_section(results) == summary_sentence(results) == ""
