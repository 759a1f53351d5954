"""The report of a comparison: `python -m eval.report --help`.

    report/results.json  results.csv  report.md  report.html  figures/*.svg  figures/*.png

report.html is report.md rendered, with the figures inside: one file, readable without a network.
"""

import base64
import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import markdown

from command_line import run_command
from publish import new_folder
from training.tracking import read_metrics

from .figures import draw_figures, main_rows
from .intrinsic import measure_tokenizers
from .intrinsic_tables import report_section
from .results import collect_results, read_comparison, run_folders


def make_report(folder: Path) -> dict:
    """Write `folder/report` from the results of every run and return the content of results.json.

    Raises:
        ValueError: what `collect_results` and `measure_tokenizers` raise. An earlier report is then as it
            was.
    """
    results = collect_results(folder)
    rows = results["rows"]
    comparison = read_comparison(folder)
    results["intrinsic"] = measure_tokenizers(folder, comparison["tokenizers"])
    by_run = {(row["tokenizer"], row["model"], row["seed"]): row for row in rows}
    curves = []
    for tokenizer, model, seed, run in run_folders(comparison, folder):
        if (tokenizer, model, seed) not in by_run:
            continue  # loses text
        metrics = [line for line in read_metrics(run / "metrics.jsonl") if "val_bpc" in line]
        curves.append((by_run[tokenizer, model, seed], metrics))
    with new_folder(folder / "report") as report:
        (report / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (report / "results.csv").write_text(_csv(rows))
        captions = draw_figures(rows, curves, report / "figures")
        page = _markdown(results, comparison, captions)
        (report / "report.md").write_text(page)
        (report / "report.html").write_text(_html(page, folder.name, report))
    return results


FEW_DOCUMENTS = 10  # below this a bootstrap over documents says little


def answer(rows: list[dict]) -> str:
    """Two or three sentences: the best row, and what cannot be told from it."""
    contenders = main_rows(rows)
    best = contenders[0]
    text = (
        f"**{best['tokenizer']}** (vocabulary {best['vocab_size']:,}) needs the fewest bits: "
        f"**{best['test_bpc']:.3f} per character** on the test split, 95 % interval "
        f"{best['test_bpc_low']:.3f} to {best['test_bpc_high']:.3f}."
    )
    contenders = [row for row in contenders if row["model"] == best["model"]]
    others = [row for row in contenders if row["tokenizer"] != best["tokenizer"]]
    names = list(dict.fromkeys(row["tokenizer"] for row in others if row["behind_best_low"] <= 0))
    if best["test_documents"] < FEW_DOCUMENTS:
        text += f" The test text is {best['test_documents']} documents, too few to trust an interval."
    elif names:
        text += f" Not distinguishable from it on this test text: {', '.join(names)}."
    elif others:
        text += " Every other tokenizer is behind it by more than the uncertainty of the test text."
    if len({row["seed"] for row in contenders}) > 1:
        text += " This is the best single seed; the intervals do not cover the choice of seed."
    return text


def terminal_table(rows: list[dict]) -> str:
    """The rows in at most 80 columns, best first."""
    lines = [
        f"{'tokenizer':14}{'model':14}{'vocab':>7}{'char/tok':>9}{'block':>6}{'bpc':>8}  "
        f"{'95 % interval':15}{'sec':>5}"
    ]
    for row in rows:
        span = f"{row['test_bpc_low']:.3f} - {row['test_bpc_high']:.3f}"
        lines.append(
            f"{_short(row['tokenizer']):14}{row['model'][:13]:14}{row['vocab_size']:>7}"
            f"{row['chars_per_token']:>9.3f}{row['block_size']:>6}{row['test_bpc']:>8.4f}  {span:15}"
            f"{row['train_seconds']:>5.0f}"
        )
    return "\n".join(lines)


def _short(tokenizer: str) -> str:
    """The end of a long spec, which tells more than its beginning."""
    return tokenizer if len(tokenizer) < 14 else "…" + tokenizer[-12:]


COLUMNS = {
    "tokenizer": lambda r: r["tokenizer"],
    "model": lambda r: r["model"],
    "vocabulary": lambda r: f"{r['vocab_size']:,}",
    "bits per character": lambda r: f"**{r['test_bpc']:.4f}**",
    "95 % interval": lambda r: f"{r['test_bpc_low']:.3f} – {r['test_bpc_high']:.3f}",
    "behind the best": lambda r: (
        f"{r['behind_best']:.3f} ({r['behind_best_low']:.3f} – {r['behind_best_high']:.3f})"
        if r["behind_best"]
        else "–"
    ),
    "characters per token": lambda r: f"{r['chars_per_token']:.3f}",
    "context, tokens": lambda r: f"{r['block_size']}",
    "context, characters": lambda r: f"{r['context_chars']:.0f}",
    "parameters": lambda r: f"{r['params_total'] / 1e6:.2f} M",
    "of them embedding": lambda r: f"{r['params_embedding'] / 1e6:.2f} M",
    "MFLOPs per character": lambda r: f"{r['flops_per_char'] / 1e6:.2f}",
    "training, s": lambda r: f"{r['train_seconds']:.0f}",
    "bits per byte": lambda r: f"{r['test_bpb']:.4f}",
}


def _table(rows: list[dict]) -> str:
    columns = dict(COLUMNS)
    if len({row["seed"] for row in rows}) > 1:
        columns["seed"] = lambda r: str(r["seed"])
    words = ("tokenizer", "model")
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---" if name in words else "---:" for name in columns) + "|",
    ]
    lines += ["| " + " | ".join(show(row) for show in columns.values()) + " |" for row in rows]
    return "\n".join(lines)


def _lossy(rows: list[dict]) -> str:
    """The rows that are not ranked, with the reason."""
    if not rows:
        return ""
    lines = [
        f"| {row['tokenizer']} | {row['model']} | {row['seed']} | {row['lossy_documents']:,} "
        f"| {row['test_bpc']:.4f} |"
        for row in rows
    ]
    return "\n".join(
        [
            "\nNot ranked, because these tokenizers lose text, and less text takes fewer bits:\n",
            "| tokenizer | model | seed | documents that lose text | bits per character of the whole text |",
            "|---|---|---:|---:|---:|",
            *lines,
            "",
        ]
    )


def _markdown(results: dict, comparison: dict, captions: dict[str, str]) -> str:
    rows, corpus = results["rows"], results["corpus"]
    best = main_rows(rows)[0]
    overlap = comparison["overlap"]
    figures = "\n\n".join(
        f"![{name.replace('_', ' ')}](figures/{name}.svg)\n\n*{caption}*"
        for name, caption in captions.items()
    )
    return f"""# {results["comparison"]}: the trade-off between vocabulary size and sequence length

{answer(rows)}

{_table(rows)}
{_lossy(results["lossy_rows"])}
## Figures

{figures}

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
  of a document see at least {overlap:.0%} of a block before them. For {best["tokenizer"]} that is a window
  of {best["block_size"]} tokens, {best["context_chars"]:.0f} characters on average.
- **Matched**: context {_amount(comparison["context"])}, batch {_amount(comparison["batch"])} a step,
  budget {_amount(comparison["budget"])}. Models of one name have the same body; embeddings come on top.
  Precision of training {best["precision"]}, of scoring fp32.
- **Intervals**: 95 %, bootstrap over test documents, 10,000 resamples, the same for all rows; "behind the
  best" is paired, against the best row of the same model. They cover the choice of test text, not that of
  the seed.
- **FLOPs** are those of training (forward and backward) per character, matrix multiplications only; a
  query of causal attention counts the (T+1)/2 keys that it sees on average.
- **Tokenizers**: the end of a document is neither token nor type. A part of a character is a token whose
  bytes alone are no UTF-8. A word is a run of letters, digits, `_` and combining marks; it is of one token
  if no token ends inside it, whatever else the token holds. In scripts that write no spaces a word is thus
  a whole run of letters. Unigram bits are the entropy of the tokens, per character; Rényi efficiency is of
  order 2.5, against an even use of the vocabulary (Zouhar et al. 2023).
"""


def _amount(amount: dict) -> str:
    ((unit, value),) = [(unit, value) for unit, value in amount.items() if value is not None]
    return f"{value:,.0f} {unit.replace('chars', 'characters')}"


def _csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s - Codebook</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d0d0d0; --mark: #f3f6fa }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --line: #3a3f47; --mark: #20242b } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { margin-top: 2.5rem; font-size: 1.2rem }
.scroll { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { text-align: left; white-space: normal; vertical-align: bottom; min-width: 4rem }
tbody tr:hover { background: var(--mark) }
img { max-width: 100%%; background: #fff; border-radius: 4px }
code { font-size: .9em }
</style>
</head>
<body>
%(body)s
</body>
</html>
"""


def _html(page: str, title: str, report: Path) -> str:
    """The Markdown page as one HTML file, figures inside."""
    body = markdown.markdown(page, extensions=["tables"])
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")

    def inline(match: re.Match) -> str:
        content = base64.b64encode((report / match[1]).read_bytes()).decode()
        return f'src="data:image/svg+xml;base64,{content}"'

    return PAGE % {"title": title, "body": re.sub(r'src="(figures/[^"]+)"', inline, body)}


@dataclass(frozen=True)
class Arguments:
    """Write a report."""

    folder: Path
    """folder of the comparison, such as out/shakespeare"""


def main(arguments: Arguments) -> None:
    """Write the report and print the table."""
    print(terminal_table(make_report(arguments.folder)["rows"]))
    print(arguments.folder / "report" / "report.html")


if __name__ == "__main__":
    run_command(main, Arguments, "Write the report of a comparison whose runs are evaluated.")
