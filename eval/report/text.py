"""The report after its summary, in Markdown."""

from comparison import Comparison, protocol

from . import tables
from .answer import distances
from .charts.figure import Figure
from .charts.learning import FEW, LEAST
from .figures import main_rows
from .intrinsic_section import report_section
from .markdown import code, plain, table
from .other_texts import texts_section
from .summary import in_markdown

BOLD = (
    'Bold: may be the best of its model. "Behind the lowest" is a paired comparison, and its intervals '
    "hold for all tokenizers of a model at once."
)
LOSSY_WHERE = (
    "Where their bits go: a token's bits are spread evenly over the characters that it stands for, so a "
    "character that is lost, such as a space, may have none."
)
OF_FIGURE = 3  # questions of a breakdown that are shown in a figure


def compared(rows: list[dict], names: list[str]) -> str:
    """Sentences about the tokenizers, model and seed of the passages, which have these `names`."""
    main = [row["tokenizer"] for row in main_rows(rows)]
    ranked = [name for name in main if name in names]
    lossy = [name for name in names if name not in main]
    some = f"{len(ranked)} of {len(main)}" if len(ranked) < len(main) else f"{len(main)}"
    best = "the best " * (len(ranked) < len(main) and ranked == main[: len(ranked)])
    also = f" Also shown, though they lose text: {', '.join(lossy)}." if lossy else ""
    model = main_rows(rows)[0]["model"]
    return f"You can choose from {best}{some} tokenizers, scored by {model} with the first seed.{also}"


def breakdown_tables(where: dict[str, dict], about: str, skip: int = OF_FIGURE) -> str:
    """Bits per character by group of documents, as Markdown tables; the other breakdowns are a figure.

    `where` maps tokenizers to the return value of `break_down_bits`; `about` completes the sentence "Bits per
    character by language, ". The first `skip` questions are left out.
    """
    found = []
    for question in list(next(iter(where.values()), {}))[skip:]:
        parts = {name: of[question] for name, of in where.items()}
        every = dict.fromkeys(answer for part in parts.values() for answer in part)
        sizes = {
            answer: sorted(part[answer]["chars"] if answer in part else 0 for part in parts.values())
            for answer in every
        }
        answers = [answer for answer in every if sizes[answer][0] >= LEAST]
        if not answers:
            continue
        rows = [["characters", *(_range(sizes[answer]) for answer in answers)]]
        rows += [
            [code(name), *(f"{part[answer]['bpc']:.3f}" for answer in answers)]
            for name, part in parts.items()
        ]
        few = [answer for answer in answers if sizes[answer][0] < FEW]
        left_out = [answer for answer in every if answer not in answers]
        said = f"Bits per character by {question}, {about}"
        if few:
            said += f" Uncertain, with fewer than {FEW:,} characters: {', '.join(map(code, few))}."
        if left_out:
            said += f" Left out, with fewer than {LEAST} characters: {', '.join(map(code, left_out))}."
        found += [said, table(["tokenizer", *map(code, answers)], rows)]
    return "\n\n".join(found)


def _range(sizes: list[int]) -> str:
    """The smallest and the largest of sorted sizes."""
    return " – ".join(f"{size:,}" for size in dict.fromkeys((sizes[0], sizes[-1])))


def _lossy(results: dict, about: str) -> str:
    """The tables of rows that are not ranked, with the reason; `about` as for `breakdown_tables`."""
    rows, where = results["lossy_rows"], results["where"]
    if not rows:
        return ""
    why = "Not ranked, because these tokenizers lose text, and less text needs fewer bits:"
    found = [why, tables.as_markdown(rows, tables.LOSSY)]
    if shown := [row["tokenizer"] for row in rows if row["tokenizer"] in where]:
        best = [row["tokenizer"] for row in main_rows(results["rows"]) if row["tokenizer"] in where][:1]
        beside = f" For comparison, {code(best[0])} loses no text." if best else ""
        broken_down = breakdown_tables({name: where[name] for name in [*best, *shown]}, about, skip=0)
        found += [LOSSY_WHERE + beside, broken_down]
    return "\n" + "\n\n".join(found) + "\n"


def _unknown(reasons: dict[str, str]) -> str:
    """A sentence for each tokenizer whose bits cannot be divided among the characters of the text."""
    return "\n\n".join(
        f"Where the bits of {code(name)} go is not shown. {plain(reason)}."
        for name, reason in reasons.items()
    )


def page_text(results: dict, comparison: Comparison, figures: list[Figure], samples: str) -> str:
    """The part of a report after its summary; `samples` is its section in Markdown or in HTML."""
    rows, corpus = results["rows"], results["corpus"]
    best = main_rows(rows)[0]
    overlap = comparison.overlap
    where, of_first = results["where"], f"of {best['model']} with the first seed."
    ranked = {
        row["tokenizer"]: where[row["tokenizer"]] for row in main_rows(rows) if row["tokenizer"] in where
    }
    ambiguity = "\n\n".join(map(plain, distances(rows)))
    shown = "\n\n".join(f"### {plain(figure.title)}\n\n{in_markdown(figure)}" for figure in figures)
    return f"""## All results

{BOLD}

{tables.as_markdown(rows, tables.columns_of(rows))}

{ambiguity}
{_lossy(results, of_first)}{skipped_runs(results["runs"])}
{texts_section(results)}
## Figures

{shown}

{breakdown_tables(ranked, of_first)}

{_unknown(results["where_unknown"])}

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
  {comparison.train_chars:,} characters of it in documents drawn at
  random.{_contamination(results)}{labels_in_words(comparison)}
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


def _contamination(results: dict) -> str:
    """The number of test documents that also occur in the training text."""
    if not (found := results["contamination"]):
        return ""
    counts = found["test"]
    return (
        f" Of the test documents, {counts['exactly']:,} also occur in the training text exactly and "
        f"{counts['nearly']:,} nearly (estimated Jaccard similarity of their 5-word shingles at least 0.8)."
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
