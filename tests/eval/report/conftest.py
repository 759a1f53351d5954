"""The results of a made-up comparison: bytes, a published tokenizer with an awkward name, and two ladders."""

import pytest

from eval.report.charts.figure import Figure
from eval.report.charts.style import Style
from eval.report.figures import make_figures

AWKWARD = "tiktoken:a<b&c\"'/tokenizer.json"


def make_row(tokenizer: str, size: int, bpc: float, model: str = "gpt", **more: object) -> dict:
    parts = {
        f"flops_per_char_{part}": 1e6 * share
        for part, share in zip(PARTS, (1, 0.2, size / 4096), strict=True)
    }
    return {
        **parts,
        "tokenizer": tokenizer,
        "spec": tokenizer,
        "model": model,
        "kind": "gpt",
        "seeds": [0, 1, 2],
        "vocab_size": size,
        "chars_per_token": size**0.15,
        "flops_per_char": sum(parts.values()),
        "memory_gb": 0.5 + size / 1e5,
        "generation_chars_per_second": 900.0 + size,
        "test_bpc": bpc,
        "test_bpc_low": bpc - 0.05,
        "test_bpc_high": bpc + 0.05,
        "behind_best": bpc - 2.0,
        "behind_best_low": bpc - 2.02,
        "behind_best_high": bpc - 1.98,
        "distinguishable": bpc > 2.02,
        "compared": True,
        "may_be_best": bpc <= 2.02,
        "seeds_missing": [],
        **more,
    }


PARTS = ("body", "attention", "output")
BPE = [(512, 2.2), (1024, 2.1), (2048, 2.01), (4096, 2.05)]
UNIGRAM = [(512, 2.15), (1024, 2.05), (2048, 2.0), (4096, 2.06)]


def ladder(size: float, low: float, high: float, where: str = "inside", **more: object) -> dict:
    return {
        "rungs": [2048],
        "size": size,
        "size_low": low,
        "size_high": high,
        "open_low": False,
        "open_high": False,
        "where": where,
        **more,
    }


def make_entry(rows: list[dict], ladders: dict[str, dict]) -> dict:
    return {
        "model": rows[0]["model"],
        "kind": rows[0]["kind"],
        "best": rows[0],
        "may_be_best": [row["tokenizer"] for row in rows if not row["distinguishable"]],
        "not_compared": [],
        "tokenizers": len(rows),
        "seeds_outlying": [],
        "ladders": ladders,
        "seeds": 3,
        "seeds_missing": False,
        "to_test": {"option": "seeds: [0, 1, 2]", "runs": 4, "train_seconds": 90.0},
        "documents": 49,
        "groups": 12,
    }


def bands(bpc: float) -> dict[str, dict]:
    """Where the bits of a tokenizer go; parts of 40, of 300 and of many characters."""
    parts = {"0": 40, "1 to 3": 300, "4 to 15": 90_000}
    few = {name: {"chars": chars, "bits": chars * bpc, "bpc": bpc} for name, chars in parts.items()}
    return dict.fromkeys(("context in characters", "kind of character", "frequency of the word"), few)


def make_results() -> dict:
    """Content of results.json, as far as figures and the first screen need it."""
    rows = [make_row(f"unigram-{size}", size, bpc) for size, bpc in UNIGRAM]
    rows += [make_row(f"bpe-{size}", size, bpc) for size, bpc in BPE]
    rows += [make_row("byte", 257, 2.3), make_row(AWKWARD, 50_257, 2.4)]
    rows.sort(key=lambda row: row["test_bpc"])
    ladders = {
        "bpe": ladder(2300.0, 1500.0, 4096.0, open_high=True),
        "unigram": ladder(1900.0, 1300.0, 3000.0),
    }
    return {
        "comparison": "mine",
        "partial": None,
        "warnings": [],
        "corpus": {"test_groups": 12},
        "rows": rows,
        "lossy_rows": [],
        "texts": {},
        "recommendation": {"models": [make_entry(rows, ladders)], "growth": []},
        "where": {row["tokenizer"]: bands(row["test_bpc"]) for row in rows},
    }


def make_curves(results: dict) -> list[tuple[dict, list[dict]]]:
    """Two validations of each row."""
    points = [{"chars": 1e5, "flops": 1e10, "val_bpc": 2.6}, {"chars": 2e5, "flops": 2e10, "val_bpc": 2.2}]
    return [(row, points) for row in results["rows"]]


@pytest.fixture
def results() -> dict:
    """Results that a test may change."""
    return make_results()


@pytest.fixture(scope="session")
def drawing() -> tuple[list[Figure], dict[str, Style]]:
    """The figures and styles of unchanged results."""
    return make_figures(found := make_results(), make_curves(found))


@pytest.fixture(scope="session")
def figures(drawing) -> dict[str, Figure]:
    """The figures by name."""
    return {figure.name: figure for figure in drawing[0]}
