"""results.csv: its columns are those that are documented."""

import csv
import io
import re
from pathlib import Path

import pytest

from eval.report.columns import COLUMNS, reference
from eval.report.tables import as_csv, main_columns, terminal

from .test_latex import WORSE, row

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "results.md"


def read(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_reference_page_is_current():
    assert PAGE.read_text() == reference(), "run: python -m eval.report.columns > docs/reference/results.md"


def test_every_column_is_documented_with_its_unit():
    for name, column in COLUMNS.items():
        assert re.fullmatch(r"[a-z0-9_]+", name) and column.unit and column.meaning
        assert f"| `{name}` | {column.unit} | " in PAGE.read_text()


def test_the_columns_are_always_the_same_and_documented():
    text = as_csv([row("char")])
    assert text.splitlines()[0].split(",") == list(COLUMNS)
    with pytest.raises(ValueError, match="new_figure"):
        as_csv([row("char") | {"new_figure": 1.0}])


def test_a_program_can_read_every_field():
    (found,) = read(as_csv([row("a,b", test_bpc_seed_sd=None)]))
    assert (found["tokenizer"], found["seeds"], found["seeds_missing"]) == ("a,b", "0 1 2", "")
    assert (found["may_be_best"], found["test_bpc_seed_sd"], found["lr"]) == ("true", "", "")


def test_the_terminal_has_the_numbers_of_the_file_in_fewer_digits():
    third = 2 + 1 / 3
    rows = [row("bpe-512", third), row("char", 2.71828, **WORSE), row("byte", 3.0, "other")]
    shown = [line.split() for line in terminal(rows).splitlines()[1:-1] if not line.endswith(":")]
    for cells, found in zip(shown, read(as_csv(rows)), strict=True):
        assert cells[0] == found["tokenizer"]
        assert int(cells[1].replace(",", "")) == int(found["vocab_size"])
        assert cells[2] == f"{float(found['chars_per_token']):.3f}"
        assert cells[3].rstrip("*") == f"{float(found['test_bpc']):.4f}"
        assert cells[3].endswith("*") == (found["may_be_best"] == "true")
        assert cells[4] == f"{float(found['test_bpc_low']):.3f}"


def test_the_terminal_table_fits_80_columns_whatever_the_names():
    missing = {"seeds": [0], "seeds_missing": [1, 2]}
    wide = row("tiktoken:a/very/long/name/that/goes/on", 12.3456, "a-long-model-name", **WORSE, **missing)
    wide |= {"vocab_size": 200_000}
    for rows in ([wide], [wide, row("b", 1.0, "other")]):
        lines = terminal(rows).splitlines()
        assert max(map(len, lines)) <= 80
        assert "…" in terminal(rows) and "goes/on" in terminal(rows)


def test_models_have_separate_parts():
    text = terminal([row("char"), row("byte", 2.1, **WORSE), row("byte", 3.0, "bigram")])
    lines = text.splitlines()
    assert lines[1] == "gpt:" and lines[4] == "bigram:"
    assert lines[-1] == "* may be the best of its model"
    assert ":" not in terminal([row("char")])


def test_seeds_are_a_column_only_if_some_are_missing():
    assert "seeds" not in main_columns([row("char")])
    (show,) = [main_columns([r])["seeds"](r) for r in [row("char", seeds=[1], seeds_missing=[0, 2])]]
    assert show == "1/3"
