"""The report after its summary, in Markdown."""

from comparison import Comparison, protocol

from . import tables
from .answer import distances
from .charts.figure import Figure
from .charts.learning import FEW, LEAST
from .figures import main_rows
from .intrinsic_section import report_section
from .markdown import code, plain, table
from .summary import in_markdown

BOLD = (
    'Bold: may be the best of its model. "Behind the lowest" is a paired comparison, and its intervals '
    "hold for all tokenizers of a model at once."
)


def compared(rows: list[dict], names: list[str]) -> str:
    """A sentence about the tokenizers, model and seed of the passages."""
    main = main_rows(rows)
    some = f"the best {len(names)} of {len(main)}" if len(names) < len(main) else f"{len(names)}"
    return f"You can choose from {some} tokenizers, scored by {main[0]['model']} with the first seed."


def breakdown_tables(where: dict[str, dict], about: str) -> str:
    """Bits per character by group of documents, as Markdown tables; the other breakdowns are a figure.

    `where` maps tokenizers to the return value of `break_down_bits`; `about` completes the sentence "Bits per
    character by language, ".
    """
    found = []
    for question, parts in list(next(iter(where.values())).items())[3:]:
        answers = {name: part["chars"] for name, part in parts.items() if part["chars"] >= LEAST}
        if not answers:
            continue
        rows = [["characters", *(f"{chars:,}" for chars in answers.values())]]
        rows += [
            [code(name), *(f"{of[question][answer]['bpc']:.3f}" for answer in answers)]
            for name, of in where.items()
        ]
        few = [name for name, chars in answers.items() if chars < FEW]
        left_out = [name for name in parts if name not in answers]
        said = f"Bits per character by {question}, {about}"
        if few:
            said += f" Uncertain, with fewer than {FEW:,} characters: {', '.join(map(code, few))}."
        if left_out:
            said += f" Left out, with fewer than {LEAST} characters: {', '.join(map(code, left_out))}."
        found += [said, table(["tokenizer", *map(code, answers)], rows)]
    return "\n\n".join(found)


def _lossy(rows: list[dict]) -> str:
    """The table of rows that are not ranked, with the reason."""
    if not rows:
        return ""
    why = "Not ranked, because these tokenizers lose text, and less text needs fewer bits:"
    return f"\n{why}\n\n{tables.as_markdown(rows, tables.LOSSY)}\n"


def page_text(results: dict, comparison: Comparison, figures: list[Figure], samples: str) -> str:
    """The part of a report after its summary; `samples` is its section in Markdown or in HTML."""
    rows, corpus = results["rows"], results["corpus"]
    best = main_rows(rows)[0]
    overlap = comparison.overlap
    ambiguity = "\n\n".join(map(plain, distances(rows)))
    shown = "\n\n".join(f"### {plain(figure.title)}\n\n{in_markdown(figure)}" for figure in figures)
    return f"""## All results

{BOLD}

{tables.as_markdown(rows, tables.columns_of(rows))}

{ambiguity}
{_lossy(results["lossy_rows"])}{skipped_runs(results["runs"])}
## Figures

{shown}

{breakdown_tables(results["where"], f"of {best['model']} with the first seed.")}

## What length costs

FLOPs and memory are those of training. Generation is one text at a time with cached keys and values. Speeds
were measured on a machine that may have had other work.

{tables.as_markdown(rows, tables.COSTS)}

{report_section(results["intrinsic"])}

{samples}

## How it was measured

- **Text.** Source `{comparison.corpus.source}`. Every row scored the same {corpus["test_chars"]:,}
  characters of {corpus["test_documents"]} test documents (SHA-256 `{corpus["test_sha256"][:16]}…`).
  Tokenizers and models were trained on the training split only, tokenizers on at most
  {comparison.train_chars:,} characters of it in documents drawn at random.{labels_in_words(comparison)}
- **Bits per character**: the sum over documents of -log2 p(tokens), divided by the characters of the
  source text. Every token is scored once, each document is scored alone, and the end of a document is
  not counted.
- **Context**: windows of the block size advance by {1 - overlap:.0%} of it, so all except the first tokens
of a document have at least {overlap:.0%} of a block as context. For {code(best["tokenizer"])}, a window
is {best["block_size"]} tokens, {best["context_chars"]:.0f} characters on average.
- **Matched**: context {protocol.amount(comparison.context)}, batch
  {protocol.amount(comparison.batch)} per step, budget {protocol.budgets(comparison)}.
  {PARAMS[comparison.params]} Precision of training {best["precision"]}, of scoring {best["scoring"]}.
- **Learning rates**: {_rates(comparison, rows)}
- **Documents in training**: {_documents(results, comparison)}
- **Intervals**: 95 %. {_intervals(results, comparison)}
- **The best size** of a family is the minimum of smooth curves through bits per character over log V;
  its interval covers the minima of many such curves. "or less" and "or more" mean that it reaches the end
  of the sizes tried.
- **FLOPs** are those of training (forward and backward) per character, matrix multiplications only;
causal attention counts the (T+1)/2 keys that a query sees on average.
- **Tokenizers**: the end of a document counts neither as a token nor as a type. A part of a character is a
token whose bytes alone are not valid UTF-8. A word is a run of letters, digits, `_` and combining marks
(in scripts without spaces, often a whole clause); it is one token if no token ends inside it, whatever
else the token holds. Unigram bits are the entropy of the tokens per character. Rényi efficiency has
order 2.5, relative to uniform use of the vocabulary (Zouhar et al. 2023).
"""


PARAMS = {
    "same_body": "Models with the same name have the same body; embeddings are extra.",
    "same_total": "Models with the same name have about the same number of parameters in total: a larger "
    "vocabulary has a narrower body.",
}


def skipped_runs(runs: list[dict]) -> str:
    """A warning about runs that skipped batches."""
    named = [
        f"{code(run['tokenizer'])} {run['model']} seed {run['seed']} ({run['skipped_steps']:,})"
        for run in runs
        if run["skipped_steps"]
    ]
    if not named:
        return ""
    return (
        "\n**Not on the same text:** these runs skipped batches (number) because the loss or a gradient was "
        f"not finite: {', '.join(named)}.\n"
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
            found.append(f"{name} {recipe.optimizer.lr:g} for all tokenizers")
            continue
        chosen = ", ".join(f"{row['tokenizer']} {row['lr']:g}" for row in rows if row["model"] == name)
        tried = ", ".join(f"{lr:g}" for lr in recipe.lr)
        found.append(f"{name} the best of {tried} on validation text with the first seed: {chosen}")
    return plain("; ".join(found) + ".")


FEW_CONTEXTS = 4  # with packing and a shorter median document, training and evaluation differ much


def _documents(results: dict, comparison: Comparison) -> str:
    """The treatment of preceding documents in training, with a warning if it matters."""
    if comparison.documents == "alone":
        return "attention does not cross documents, as in the evaluation."
    said = "packed, so attention reaches into the preceding document; the evaluation scores each alone."
    median, context = (
        results["corpus"]["test_document_chars_median"],
        max(row["context_chars"] for row in results["rows"]),
    )
    if median < FEW_CONTEXTS * context:
        said += (
            f" **Half of the documents have fewer than {median:,.0f} characters** and a context has up to "
            f"{context:,.0f}, so models are trained on contexts that do not occur in the evaluation. "
            "Set `documents: alone`."
        )
    return said


def _intervals(results: dict, comparison: Comparison) -> str:
    """The sources of error that the intervals cover, and the methods."""
    groups = results["corpus"]["test_groups"]
    said = "Over test documents: standard errors of a ratio of sums, " + (
        f"over the {groups:,} groups of documents, as documents of a group are not independent. "
        if groups and groups > 1
        else "with documents treated as independent. "
    )
    counts = {len(row["seeds"]) for row in results["rows"]}
    if counts == {1}:
        return said + "Seeds are not covered because there is only one, so tokenizers are not compared."
    said += (
        "Over seeds: a two-way analysis of variance, because a seed draws the same text for every tokenizer. "
        'Widths follow Student\'s t. "Behind the lowest" holds for all rows of a model at once (max-t).'
    )
    alone = sorted({row["model"] for row in results["rows"] if len(row["seeds"]) == 1})
    return said + (f" Rows of {', '.join(alone)} have one seed and are not compared." if alone else "")
