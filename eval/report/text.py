"""The page of a report, in Markdown."""

import html

from comparison import Comparison, protocol

from ..results import partial_sentences
from . import tables
from .answer import answer, distances
from .figures import main_rows
from .intrinsic_section import report_section
from .markdown import code, escape, table


def compared(rows: list[dict], comparison: Comparison, names: list[str]) -> str:
    """Of which tokenizers, model and seed the passages are that can be compared."""
    main = main_rows(rows)
    some = f"the best {len(names)} of {len(main)}" if len(names) < len(main) else f"{len(names)}"
    under = f"under {main[0]['model']} with the first seed. {protocol.in_words(comparison)}"
    return f"To choose from are {some} tokenizers, {under}"


def breakdown_tables(where: dict[str, dict], about: str) -> str:
    """Where the bits go by group of documents, as Markdown tables; the other parts are a figure.

    `where` has what `break_down_bits` found by tokenizer; `about` ends "Bits per character by language, ".
    """
    found = []
    for question, answers in list(next(iter(where.values())).items())[3:]:
        rows = [
            [code(name), *(f"{parts[question][answer]['bpc']:.3f}" for answer in answers)]
            for name, parts in where.items()
        ]
        heading = ["tokenizer", *map(code, answers)]
        found += [f"Bits per character by {question}, {about}", table(heading, rows)]
    return "\n\n".join(found)


def _lossy(rows: list[dict]) -> str:
    """The rows that are not ranked, with the reason."""
    if not rows:
        return ""
    why = "Not ranked, because these tokenizers lose text, and less text takes fewer bits:"
    return f"\n{why}\n\n{tables.as_markdown(rows, tables.LOSSY)}\n"


def page_text(results: dict, comparison: Comparison, captions: dict[str, str], samples: str) -> str:
    """The page; `samples` is the section with samples, in Markdown or in HTML."""
    rows, corpus = results["rows"], results["corpus"]
    best = main_rows(rows)[0]
    overlap = comparison.overlap
    said, ambiguity = (_plain(lines) for lines in (answer(results), distances(rows)))
    about = protocol.in_words(comparison)
    figures = "\n\n".join(
        f"![{name.replace('_', ' ')}](figures/{name}.svg)\n\n*{caption} {about}*"
        for name, caption in captions.items()
    )
    return f"""# {results["comparison"]}: the trade-off between vocabulary size and sequence length

{_notes("", partial_sentences(results["partial"]))}{said}

{_notes("**Warning:** ", results["warnings"])}{tables.as_markdown(rows, tables.columns_of(rows))}

{ambiguity}
{_lossy(results["lossy_rows"])}{skipped_runs(results["runs"])}
## Figures

{figures}

{breakdown_tables(results["where"], f"of {best['model']} with the first seed. {about}")}

## What length costs

Measured in training and, one text at a time with keys and values kept, in generation; beside whatever else
the machine did. FLOPs and memory are those of training; the cache is what generation keeps.

{tables.as_markdown(rows, tables.COSTS)}

{report_section(results["intrinsic"])}

{samples}

## How it was measured

- **Text.** Source `{comparison.corpus.source}`. Every row scored the same {corpus["test_chars"]:,}
  characters of {corpus["test_documents"]} test documents (SHA-256 `{corpus["test_sha256"][:16]}…`).
  Tokenizers and models saw the training split only; tokenizers that are trained, at most
  {comparison.train_chars:,} characters of it, drawn by document.{labels_in_words(comparison)}
- **Bits per character**: the sum over documents of -log2 p(tokens), divided by the characters of the
  source text. Every token is scored once; documents are scored alone; the end of a document is not
  counted.
- **Context**: windows of the block size move on by {1 - overlap:.0%} of it, so that all but the first tokens
  of a document see at least {overlap:.0%} of a block before them. For
  {code(best["tokenizer"])} that is a window of {best["block_size"]} tokens,
  {best["context_chars"]:.0f} characters on average.
- **Matched**: context {protocol.amount(comparison.context)}, batch
  {protocol.amount(comparison.batch)} a step, budget {protocol.budgets(comparison)}.
  {PARAMS[comparison.params]} Precision of training {best["precision"]}, of scoring {best["scoring"]}.
- **Learning rates**: {_rates(comparison, rows)}
- **Documents in training**: {_documents(results, comparison)}
- **Intervals**: 95 %. {_intervals(results, comparison)}
- **The best size** of a family is the minimum of smooth curves through bits per character over log V;
  its interval is that of the minima of many such curves. "or less" and "or more" say that it reaches the end
  of the sizes tried.
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
    return html.escape("\n\n".join(map(escape, lines)), quote=False)


def _notes(begin: str, lines: list[str]) -> str:
    """Sentences on how far the report can be trusted, a paragraph each."""
    return "".join(f"{begin}{_plain([line])}\n\n" for line in lines)


def skipped_runs(runs: list[dict]) -> str:
    """The runs that passed over batches which the others saw."""
    named = [
        f"{code(run['tokenizer'])} {run['model']} seed {run['seed']} ({run['skipped_steps']:,})"
        for run in runs
        if run["skipped_steps"]
    ]
    if not named:
        return ""
    return (
        "\n**Not on the same text:** loss or gradients were not finite in steps of these runs, which passed "
        f"over their batches (how many): {', '.join(named)}.\n"
    )


def labels_in_words(comparison: Comparison) -> str:
    """The specs of labels that are not specs themselves."""
    named = [f"{code(label)} is {code(spec)}" for label, spec in comparison.specs.items() if label != spec]
    return f"\n- **Labels**: {'; '.join(named)}." if named else ""


def _rates(comparison: Comparison, rows: list[dict]) -> str:
    """The learning rates and how they were chosen."""
    found = []
    for name, recipe in comparison.models.items():
        if not recipe.lr:
            found.append(f"{name} {recipe.optimizer.lr:g} for all")
            continue
        chosen = ", ".join(f"{row['tokenizer']} {row['lr']:g}" for row in rows if row["model"] == name)
        tried = ", ".join(f"{lr:g}" for lr in recipe.lr)
        found.append(f"{name} the best on validation text of {tried}, with the first seed: {chosen}")
    return _plain(["; ".join(found) + "."])


FEW_CONTEXTS = 4  # a median document shorter than so many is trained much unlike it is evaluated, if packed


def _documents(results: dict, comparison: Comparison) -> str:
    """How training treats what precedes a document, and a warning where that matters."""
    if comparison.documents == "alone":
        return "attention ends where a document begins, as in the evaluation."
    said = "packed, so that attention reaches into the document before; the evaluation scores each alone."
    median, context = (
        results["corpus"]["test_document_chars_median"],
        max(row["context_chars"] for row in results["rows"]),
    )
    if median < FEW_CONTEXTS * context:
        said += (
            f" **Half of the documents have fewer than {median:,.0f} characters** and a context has up to "
            f"{context:,.0f}, so that models are trained on contexts that the evaluation never shows. "
            "Set `documents: alone`."
        )
    return said


def _intervals(results: dict, comparison: Comparison) -> str:
    """What the intervals take into account, and how."""
    groups = results["corpus"]["test_groups"]
    said = "Over test documents: standard errors of a ratio of sums, " + (
        f"over the {groups:,} groups that the documents are in, as documents of a group are not independent. "
        if groups and groups > 1
        else "each document taken as independent of the others. "
    )
    counts = {len(row["seeds"]) for row in results["rows"]}
    if counts == {1}:
        return said + "Seeds are not covered, as there is one; so tokenizers are not compared."
    said += (
        "Over seeds: a two-way analysis of variance, because a seed draws the same text for every tokenizer. "
        'Widths are those of Student\'s t. "Behind the lowest" holds for all rows of a model at once (max-t).'
    )
    alone = sorted({row["model"] for row in results["rows"] if len(row["seeds"]) == 1})
    return said + (f" Rows of {', '.join(alone)} have one seed and are not compared." if alone else "")
