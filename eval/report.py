"""The report of a comparison: `python -m eval.report --help`.

    report/results.json  results.csv  table.tex  report.md  report.html  figures/*.svg  figures/*.png

report.html is report.md rendered, with the figures inside and a section that compares two tokenizers: one
file, readable without a network.
"""

import html
import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from command_line import run_command
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from publish import new_folder
from tokenizers import folder_name, load_tokenizer
from training.tracking import read_metrics

from . import protocol, tables
from .ambiguity import distances
from .figures import draw_figures, main_rows
from .intrinsic import measure_tokenizers
from .intrinsic_tables import report_section
from .page import make_page
from .passages import choose_passages
from .recommend import growth_sentences, recommend, sentences
from .results import collect_results, read_comparison
from .sweep import run_folders
from .wandb_report import log_report
from .where import character_bits, read_test_text, where_bits_go

COMPARED = 8  # tokenizers, the best ones, whose passages can be compared: each pair has its own


def make_report(folder: Path) -> dict:
    """Write `folder/report` from the results of every run and return the content of results.json.

    Raises:
        ValueError: what `collect_results` and `measure_tokenizers` raise. An earlier report is then as it
            was.
    """
    results, samples = collect_results(folder)
    rows = results["rows"]
    comparison = read_comparison(folder)
    results["recommendation"] = recommend(comparison, results, samples)
    results["intrinsic"] = measure_tokenizers(folder, comparison["tokenizers"])
    first = {
        (tokenizer, model): run
        for tokenizer, model, seed, run in run_folders(comparison, folder)
        if seed == comparison["seeds"][0]
    }
    curves = []
    for row in rows:
        metrics = read_metrics(first[row["tokenizer"], row["model"]] / "metrics.jsonl")
        curves.append((row, [line for line in metrics if "val_bpc" in line]))
    results["where"], passages = _look_closer(folder, main_rows(rows), first)
    with new_folder(folder / "report") as report:
        (report / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (report / "results.csv").write_text(tables.as_csv(rows))
        (report / "table.tex").write_text(tables.as_latex(rows))
        captions = draw_figures(rows, curves, results["where"], report / "figures")
        page = _markdown(results, comparison, captions)
        (report / "report.md").write_text(page)
        about = compared(rows, comparison, passages["names"])
        (report / "report.html").write_text(make_page(page, folder.name, report, passages, about))
    return results


def _look_closer(
    folder: Path, rows: list[dict], first: dict[tuple[str, str], Path]
) -> tuple[dict[str, dict], dict]:
    """Where the bits of each tokenizer go under one model, and the passages on which they differ most."""
    text = read_test_text(Corpus(folder / "corpus"))
    where, bits = {}, {}
    for row in rows:
        name, run = row["tokenizer"], first[row["tokenizer"], row["model"]]
        data = folder / "data" / folder_name(name)
        split, tokenizer = TokenArrays(data).split("test"), load_tokenizer(data / "tokenizer")
        token_bits = np.load(run / "token_bits.npy")
        of_char, token = character_bits(text, split, tokenizer.token_bytes(), tokenizer.prefix, token_bits)
        where[name] = where_bits_go(text, split, of_char, token, row["block_size"], row["stride"])
        if len(bits) < COMPARED:
            bits[name] = of_char
    return where, choose_passages(text.texts, bits)


def answer(results: dict) -> list[str]:
    """The answer: a line for every GPT, or for every model where there is none, and how sizes grow."""
    entries = results["recommendation"]["models"]
    shown = [entry for entry in entries if entry["kind"] == "gpt"] or entries
    lines = [" ".join(sentences(entry)) for entry in shown]
    if len(shown) > 1:
        lines = [f"{entry['model']}: {line}" for entry, line in zip(shown, lines, strict=True)]
    return lines + growth_sentences(results["recommendation"])


def compared(rows: list[dict], comparison: dict, names: list[str]) -> str:
    """Of which tokenizers, model and seed the passages are that can be compared."""
    main = main_rows(rows)
    some = f"the best {len(names)} of {len(main)}" if len(names) < len(main) else f"{len(names)}"
    return (
        f"To choose from are {some} tokenizers, under {main[0]['model']} with the first seed. "
        f"{protocol.in_words(comparison)}"
    )


def where_tables(where: dict[str, dict], about: str) -> str:
    """Where the bits go by group of documents, as Markdown tables; the other parts are a figure.

    `where` has what `where_bits_go` found by tokenizer; `about` ends "Bits per character by language, ".
    """
    questions = list(next(iter(where.values())))[3:]
    found = []
    for question in questions:
        answers = list(next(iter(where.values()))[question])
        lines = [f"| tokenizer | {' | '.join(map(tables.code, answers))} |"]
        lines.append("|---|" + "---:|" * len(answers))
        for name, parts in where.items():
            cells = [f"{parts[question][answer]['bpc']:.3f}" for answer in answers]
            lines.append(f"| {tables.code(name)} | {' | '.join(cells)} |")
        found.append(f"Bits per character by {question}, {about}\n\n" + "\n".join(lines))
    return "\n\n".join(found)


def _lossy(rows: list[dict]) -> str:
    """The rows that are not ranked, with the reason."""
    if not rows:
        return ""
    lines = [
        f"| {tables.code(row['tokenizer'])} | {row['model']} | {row['lossy_documents']:,} "
        f"| {row['test_bpc']:.4f} |"
        for row in rows
    ]
    return "\n".join(
        [
            "\nNot ranked, because these tokenizers lose text, and less text takes fewer bits:\n",
            "| tokenizer | model | documents that lose text | bits per character of the whole text |",
            "|---|---|---:|---:|",
            *lines,
            "",
        ]
    )


def _markdown(results: dict, comparison: dict, captions: dict[str, str]) -> str:
    rows, corpus = results["rows"], results["corpus"]
    best = main_rows(rows)[0]
    overlap = comparison["overlap"]
    said, ambiguity = (_plain(lines) for lines in (answer(results), distances(rows)))
    about = protocol.in_words(comparison)
    figures = "\n\n".join(
        f"![{name.replace('_', ' ')}](figures/{name}.svg)\n\n*{caption} {about}*"
        for name, caption in captions.items()
    )
    return f"""# {results["comparison"]}: the trade-off between vocabulary size and sequence length

{said}

{tables.as_markdown(rows, tables.columns_of(rows))}

{ambiguity}
{_lossy(results["lossy_rows"])}
## Figures

{figures}

{where_tables(results["where"], f"of {best['model']} with the first seed. {about}")}

## What length costs

Measured in training and, one text at a time with keys and values kept, in generation; beside whatever else
the machine did. FLOPs and memory are those of training; the cache is what generation keeps.

{tables.as_markdown(rows, tables.COSTS)}

{report_section(results["intrinsic"])}

## How it was measured

- **Text.** Source `{comparison["corpus"]["source"]}`. Every row scored the same {corpus["test_chars"]:,}
  characters of {corpus["test_documents"]} test documents (SHA-256 `{corpus["test_sha256"][:16]}…`).
  Tokenizers and models saw the training split only; tokenizers that are trained, at most
  {comparison["train_chars"]:,} characters of it, drawn by document.
- **Bits per character**: the sum over documents of -log2 p(tokens), divided by the characters of the
  source text. Every token is scored once; documents are scored alone; the end of a document is not
  counted.
- **Context**: windows of the block size move on by {1 - overlap:.0%} of it, so that all but the first tokens
  of a document see at least {overlap:.0%} of a block before them. For
  {tables.code(best["tokenizer"])} that is a window of {best["block_size"]} tokens,
  {best["context_chars"]:.0f} characters on average.
- **Matched**: context {protocol.amount(comparison["context"])}, batch
  {protocol.amount(comparison["batch"])} a step, budget {protocol.budgets(comparison)}.
  {PARAMS[comparison["params"]]} Precision of training {best["precision"]}, of scoring fp32.
- **Learning rates**: {_rates(comparison, rows)}
- **Intervals**: 95 %, bootstrap over test documents, 10,000 resamples, the same for all rows; "behind the
  best" is paired, against the best row of the same model. {_seeds(comparison)}
- **The best size** of a family is the minimum of a parabola through bits per character over log V (Hoffmann
  et al. 2022; Tao et al. 2024), its interval that of parabolas and cubics through the resamples; "or
  less" and "or more" say that it reaches the end of the sizes tried.
- **FLOPs** are those of training (forward and backward) per character, matrix multiplications only; a
  query of causal attention counts the (T+1)/2 keys that it sees on average.
- **Tokenizers**: the end of a document is neither token nor type. A part of a character is a token whose
  bytes alone are no UTF-8. A word is a run of letters, digits, `_` and combining marks; it is of one token
  if no token ends inside it, whatever else the token holds. In scripts that write no spaces a word is thus
  a whole run of letters. Unigram bits are the entropy of the tokens, per character; Rényi efficiency is of
  order 2.5, against an even use of the vocabulary (Zouhar et al. 2023).
"""


PARAMS = {
    "same_body": "Models of one name have the same body; embeddings come on top.",
    "same_total": "Models of one name have about as many parameters in all: a larger vocabulary has a "
    "narrower body.",
}


def _plain(lines: list[str]) -> str:
    """Paragraphs in which nothing is markup, such as the path of a tokenizer."""
    return html.escape("\n\n".join(re.sub(r"([\\`*_])", r"\\\1", line) for line in lines), quote=False)


def _rates(comparison: dict, rows: list[dict]) -> str:
    """How learning rates were come by."""
    found = []
    for name, recipe in comparison["models"].items():
        if not recipe["lr"]:
            found.append(f"{name} {recipe['optimizer']['lr']:g} for all")
            continue
        chosen = [f"{row['tokenizer']} {row['lr']:g}" for row in rows if row["model"] == name]
        tried = ", ".join(f"{lr:g}" for lr in recipe["lr"])
        found.append(
            f"{name} the best on validation text of {tried}, with the first seed: {', '.join(chosen)}"
        )
    return _plain(["; ".join(found) + "."])


def _seeds(comparison: dict) -> str:
    """What the intervals say of seeds."""
    if (seeds := len(comparison["seeds"])) == 1:
        return "They cover the choice of test text, not that of the seed."
    return (
        f"Numbers are means of {seeds} seeds, and intervals cover seeds as a second level: what a mean is "
        "off by is drawn from the deviations of the seeds of all rows of a model."
    )


def publish_report(folder: Path) -> list[str]:
    """Write the report, log it where the comparison says, and return what a terminal shows of it."""
    results = make_report(folder)
    log_report(folder, results, read_comparison(folder)["wandb"])
    lossy = [
        f"{row['tokenizer']} {row['model']}: loses text of {row['lossy_documents']:,} documents: not ranked"
        for row in results["lossy_rows"]
    ]
    answers = [textwrap.fill(line, 80) for line in answer(results)]
    page = folder / "report" / "report.html"
    return [*lossy, f"\n{tables.terminal(results['rows'])}\n", *answers, f"\n{page}"]


@dataclass(frozen=True)
class Arguments:
    """Write a report."""

    folder: Path
    """folder of the comparison, such as out/shakespeare"""


def main(arguments: Arguments) -> None:
    """Write the report and print the table."""
    for line in publish_report(arguments.folder):
        print(line)


if __name__ == "__main__":
    run_command(main, Arguments, "Write the report of a comparison whose runs are evaluated.")
