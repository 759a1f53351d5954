"""The files of a report.

    report/results.json  results.csv  table.tex  report.md  report.html  figures/*.json *.svg *.png

report.html is report.md with interactive figures, more samples, and a section that compares two tokenizers.
It is one file and needs no network. The JSON of a figure is its Vega-Lite specification. While runs are
missing, the report covers those that are finished.
"""

import json
import textwrap

import numpy as np

from common.files import new_folder
from comparison import Comparison, RunSpec, protocol
from comparison.warnings import comparison_warnings
from data_prep.arrays import TokenArrays
from data_prep.contamination import known_contamination
from data_prep.corpus import Corpus
from tokenizers import load_tokenizer

from ..breakdown import break_down_bits, character_bits, read_test_text
from ..intrinsic import measure_tokenizers
from ..recommend import recommend
from ..results import collect_results, evaluated_part, first_runs, partial_sentences, validations
from ..texts import collect_texts
from . import tables
from .answer import answer
from .figures import main_rows, make_figures, save_figures
from .latex import as_latex
from .other_texts import text_sentences
from .page import make_page
from .passages import choose_passages
from .pieces import collect_samples, samples_in_html, samples_in_markdown
from .summary import summarize
from .text import compared, page_text
from .wandb_report import log_report

COMPARED = 8  # passages of this many best tokenizers can be compared; each pair has its own


def make_report(comparison: Comparison) -> dict:
    """Write the comparison's `report` from the runs evaluated so far; return the content of results.json.

    Raises:
        ValueError: as `collect_results` and `measure_tokenizers`. An earlier report is unchanged.
    """
    results, errors = collect_results(comparison)
    rows, part = results["rows"], evaluated_part(comparison, results)
    results["warnings"] = comparison_warnings(part)
    results["recommendation"] = recommend(comparison, results, errors)
    results["contamination"] = known_contamination(comparison.folder / "corpus")
    results["texts"] = collect_texts(comparison, (results, errors))
    results["intrinsic"] = measure_tokenizers(part)
    first, main = first_runs(comparison, [*rows, *results["lossy_rows"]]), main_rows(rows)
    curves = [(row, validations(first[row["tokenizer"], row["model"]])) for row in rows]
    lossy = [row for row in results["lossy_rows"] if row["model"] == main[0]["model"]]
    results["where"], results["where_unknown"], passages = _look_closer(comparison, main + lossy, first)
    samples = collect_samples(comparison, main, first)
    with new_folder(comparison.folder / "report") as report:
        (report / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (report / "results.csv").write_text(tables.as_csv(rows))
        about = _about(part, results)
        (report / "table.tex").write_text(as_latex(rows, comparison.name, about))
        figures, styles = make_figures(results, curves)
        save_figures(figures, report / "figures", f"{comparison.name}. {about}")
        summary = summarize(results, part, figures[0])
        text = page_text(results, part, figures[1:], samples_in_markdown(samples))
        (report / "report.md").write_text(summary.markdown() + text)
        page = page_text(results, part, figures[1:], samples_in_html(samples))
        choice = compared(rows, passages["names"])
        (report / "report.html").write_text(make_page(summary, page, figures, styles, passages, choice))
    return results


def _about(part: Comparison, results: dict) -> str:
    """The protocol and the progress of the comparison, for a caption."""
    return " ".join([protocol.in_words(part), *partial_sentences(results["partial"])[:1]])


def _look_closer(
    comparison: Comparison, rows: list[dict], first: dict[tuple[str, str], RunSpec]
) -> tuple[dict[str, dict], dict[str, str], dict]:
    """The breakdown of each tokenizer's bits under one model, and the passages on which they differ most.

    In between, the reason for each tokenizer of which neither is known.
    """
    splits = {
        row["tokenizer"]: TokenArrays(first[row["tokenizer"], row["model"]].config.data).split(
            "test", comparison.test_chars
        )
        for row in rows
    }
    text = read_test_text(Corpus(comparison.folder / "corpus"), splits[rows[0]["tokenizer"]].chosen)
    where: dict[str, dict] = {}
    unknown: dict[str, str] = {}
    bits: dict[str, np.ndarray] = {}
    for row in rows:
        name, run = row["tokenizer"], first[row["tokenizer"], row["model"]]
        split = splits[name]
        tokenizer = load_tokenizer(run.config.data / "tokenizer")
        token_bits = np.load(run.folder / "token_bits.npy")
        try:
            of_char, token = character_bits(text, split, tokenizer, token_bits)
        except ValueError as error:
            unknown[name] = str(error)
            continue
        where[name] = break_down_bits(text, split, of_char, token, row["block_size"], row["stride"])
        if len(bits) < COMPARED:
            bits[name] = of_char
    return where, unknown, choose_passages(text.texts, bits)


def publish_report(comparison: Comparison) -> list[str]:
    """Write the report, log it to wandb, and return the lines to print.

    A partial report is not logged.
    """
    results = make_report(comparison)
    if not results["partial"]:
        log_report(comparison, results, comparison.tracking.wandb)
    lossy = [
        f"{row['tokenizer']} {row['model']}: loses text of {row['lossy_documents']:,} documents{of}, "
        "not ranked"
        for of, rows in {
            "": results["lossy_rows"],
            **{f" of {name}": text.get("lossy_rows", []) for name, text in results["texts"].items()},
        }.items()
        for row in rows
    ]
    skipped = [
        f"{run['tokenizer']} {run['model']} seed {run['seed']}: skipped {run['skipped_steps']:,} batches "
        "that other runs saw"
        for run in results["runs"]
        if run["skipped_steps"]
    ]
    partial = partial_sentences(results["partial"])
    page = comparison.folder / "report" / "report.html"
    table = f"\n{tables.terminal(results['rows'])}\n"
    warnings = [f"Warning: {warning}" for warning in results["warnings"]]
    told = [
        textwrap.fill(line, tables.WIDTH) for line in [*answer(results), *text_sentences(results), *warnings]
    ]
    return [*partial, *lossy, *skipped, table, "\n\n".join(told), f"\n{page}"]
