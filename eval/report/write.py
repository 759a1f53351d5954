"""The files of a report.

    report/results.json  results.csv  table.tex  report.md  report.html  figures/*.json *.svg *.png

report.html is report.md rendered, with the figures to touch and a section that compares two tokenizers: one
file, readable without a network. A figure's JSON is its Vega-Lite specification.
"""

import json
import textwrap

import numpy as np

from common.files import new_folder
from comparison import Comparison, RunSpec, protocol
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from tokenizers import load_tokenizer

from ..breakdown import break_down_bits, character_bits, read_test_text
from ..intrinsic import measure_tokenizers
from ..recommend import recommend
from ..results import collect_results, first_runs, validations
from . import tables
from .answer import answer
from .figures import main_rows, make_figures, save_figures
from .page import make_page
from .passages import choose_passages
from .summary import summarize
from .text import compared, page_text
from .wandb_report import log_report

COMPARED = 8  # tokenizers, the best ones, whose passages can be compared: each pair has its own


def make_report(comparison: Comparison) -> dict:
    """Write the comparison's `report` from the results of every run and return the content of results.json.

    Raises:
        ValueError: what `collect_results` and `measure_tokenizers` raise. An earlier report is then as it
            was.
    """
    results, errors = collect_results(comparison)
    rows = results["rows"]
    results["recommendation"] = recommend(comparison, results, errors)
    results["intrinsic"] = measure_tokenizers(comparison)
    first = first_runs(comparison)
    curves = [(row, validations(first[row["tokenizer"], row["model"]])) for row in rows]
    results["where"], passages = _look_closer(comparison, main_rows(rows), first)
    with new_folder(comparison.folder / "report") as report:
        (report / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (report / "results.csv").write_text(tables.as_csv(rows))
        (report / "table.tex").write_text(tables.as_latex(rows))
        figures, styles = make_figures(results, curves)
        save_figures(figures, report / "figures", f"{comparison.name}. {protocol.in_words(comparison)}")
        summary = summarize(results, comparison, figures[0])
        page = page_text(results, comparison, figures[1:])
        (report / "report.md").write_text(summary.markdown() + page)
        about = compared(rows, passages["names"])
        (report / "report.html").write_text(make_page(summary, page, figures, styles, passages, about))
    return results


def _look_closer(
    comparison: Comparison, rows: list[dict], first: dict[tuple[str, str], RunSpec]
) -> tuple[dict[str, dict], dict]:
    """Where the bits of each tokenizer go under one model, and the passages on which they differ most."""
    splits = {
        row["tokenizer"]: TokenArrays(first[row["tokenizer"], row["model"]].config.data).split(
            "test", comparison.test_chars
        )
        for row in rows
    }
    text = read_test_text(Corpus(comparison.folder / "corpus"), splits[rows[0]["tokenizer"]].chosen)
    where: dict[str, dict] = {}
    bits: dict[str, np.ndarray] = {}
    for row in rows:
        name, run = row["tokenizer"], first[row["tokenizer"], row["model"]]
        split = splits[name]
        tokenizer = load_tokenizer(run.config.data / "tokenizer")
        token_bits = np.load(run.folder / "token_bits.npy")
        of_char, token = character_bits(text, split, tokenizer.token_bytes(), tokenizer.prefix, token_bits)
        where[name] = break_down_bits(text, split, of_char, token, row["block_size"], row["stride"])
        if len(bits) < COMPARED:
            bits[name] = of_char
    return where, choose_passages(text.texts, bits)


def publish_report(comparison: Comparison) -> list[str]:
    """Write the report, log it where the comparison says, and return what a terminal shows of it."""
    results = make_report(comparison)
    log_report(comparison, results, comparison.tracking.wandb)
    lossy = [
        f"{row['tokenizer']} {row['model']}: loses text of {row['lossy_documents']:,} documents: not ranked"
        for row in results["lossy_rows"]
    ]
    skipped = [
        f"{run['tokenizer']} {run['model']} seed {run['seed']}: passed over {run['skipped_steps']:,} batches "
        "that other runs saw"
        for run in results["runs"]
        if run["skipped_steps"]
    ]
    answers = [textwrap.fill(line, 80) for line in answer(results)]
    page = comparison.folder / "report" / "report.html"
    return [*lossy, *skipped, f"\n{tables.terminal(results['rows'])}\n", *answers, f"\n{page}"]
