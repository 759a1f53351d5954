"""The section of the report with samples and tokenized sentences, each token a coloured piece.

On the page, pieces differ in colour and have a border. In Markdown, they are separated by `│`, and there is
only one prompt and one sentence.
"""

import html
from contextlib import suppress
from dataclasses import dataclass

from comparison import Comparison, RunSpec
from data_prep.corpus import Corpus
from tokenizers import load_tokenizer
from tokenizers.visible import legible, visible_parts

from .markdown import code, table
from .samples import TEMPERATURE, Excerpt, choose_excerpts, read_samples

SPACE = "·"

Pieces = list[bytes]  # tokens


@dataclass(frozen=True)
class Written:
    """The sentences and samples of one tokenizer, by excerpt."""

    sentences: list[Pieces]
    """the tokens of each sentence"""
    samples: list[Pieces] | None
    """the model's continuation of each prompt; None if its checkpoint has been deleted"""


@dataclass(frozen=True)
class Samples:
    """The sentences and samples of all tokenizers, under one model."""

    model: str
    excerpts: list[Excerpt]
    written: dict[str, Written]
    """by label"""


def collect_samples(
    comparison: Comparison, rows: list[dict], first: dict[tuple[str, str], RunSpec]
) -> Samples:
    """Collect the samples of the first runs of these rows, which have the same model."""
    excerpts = choose_excerpts(Corpus(comparison.folder / "corpus"))
    written = {}
    for row in rows:
        run = first[row["tokenizer"], row["model"]]
        tokenizer = load_tokenizer(run.config.data / "tokenizer")
        encoded = [tokenizer.encode(excerpt.sentence).tolist() for excerpt in excerpts]
        sentences = [[tokenizer.table[i] for i in ids] for ids in encoded]
        samples = None
        with suppress(ValueError):  # the checkpoint has been deleted
            drawn = read_samples(run, tokenizer, [excerpt.prompt for excerpt in excerpts])
            samples = [[tokenizer.table[i] for i in ids] for ids in drawn]
        written[row["tokenizer"]] = Written(sentences, samples)
    return Samples(rows[0]["model"], excerpts, written)


NO_SAMPLE = "No sample: the checkpoint of this run has been deleted."
SENTENCES = "Tokens of the same sentence"
ABOUT_SENTENCES = (
    f"From the validation text. `{SPACE}` is a space, `⏎` a line end, `→` a tab; bytes that are not a whole "
    "character are in hex, such as `⟨E2 80⟩`."
)


def _about_samples(samples: Samples) -> str:
    return (
        f"{samples.model} with its first seed continues sentences of the validation text at temperature "
        f"{TEMPERATURE}. A sample shows how a model writes, not how good it is: compare models by bits per "
        "character."
    )


def samples_in_markdown(samples: Samples) -> str:
    """The section in Markdown: one prompt and one sentence."""
    if not samples.excerpts:
        return ""
    excerpt = samples.excerpts[0]
    rows = [["the document itself", code(_in_a_line(excerpt.rest))]]
    for label, written in samples.written.items():
        text = (
            NO_SAMPLE if written.samples is None else code(_in_a_line(legible(b"".join(written.samples[0]))))
        )
        rows.append([code(label), text])
    sentences = [
        [code(label), str(len(written.sentences[0])), code("│".join(map(visible, written.sentences[0])))]
        for label, written in samples.written.items()
    ]
    return "\n\n".join(
        [
            "## Samples",
            f"{_about_samples(samples)} The prompt: {code(_in_a_line(excerpt.prompt))}",
            table(["tokenizer", "continued"], rows, words=2),
            f"### {SENTENCES}",
            f"{code(_in_a_line(excerpt.sentence))} {ABOUT_SENTENCES}",
            table(["tokenizer", "tokens", "pieces"], sentences, words=3),
        ]
    )


def _in_a_line(text: str) -> str:
    return text.replace("\n", "⏎").replace("\t", "→")


def visible(token: bytes) -> str:
    """A token as text in which every character is visible."""
    return "".join(part.replace(" ", SPACE) for part, _ in visible_parts(token))


def samples_in_html(samples: Samples) -> str:
    """The section in HTML, without blank lines, so that it can be embedded in Markdown."""
    if not samples.excerpts:
        return ""
    parts = ['<section class="samples">', "<h2>Samples</h2>", _paragraph(_about_samples(samples))]
    for number, excerpt in enumerate(samples.excerpts):
        cards = [_card("the document itself", f"<p dir=auto>{_text(excerpt.rest)}</p>", "own")]
        for label, written in samples.written.items():
            body = f"<p>{NO_SAMPLE}</p>"
            if written.samples is not None:
                body = _pieces(written.samples[number])
            cards.append(_card(html.escape(label), body))
        prompt = f"Prompt: {_quoted(excerpt.prompt)}"
        parts.append(_foldable(prompt, f"<div class=cards>{''.join(cards)}</div>", number))
    parts += [f"<h3>{SENTENCES}</h3>", _paragraph(ABOUT_SENTENCES)]
    for number, excerpt in enumerate(samples.excerpts):
        rows = []
        for label, written in samples.written.items():
            pieces = written.sentences[number]
            rows.append(_card(f"{html.escape(label)}: {len(pieces)} tokens", _pieces(pieces)))
        parts.append(_foldable(_quoted(excerpt.sentence), "".join(rows), number))
    return "\n".join([*parts, "</section>"])


def _paragraph(text: str) -> str:
    """A paragraph in which parts between backticks are code."""
    parts = html.escape(text).split("`")
    return f"<p>{''.join(f'<code>{p}</code>' if i % 2 else p for i, p in enumerate(parts))}</p>"


def _foldable(title: str, body: str, number: int) -> str:
    """A foldable part; only the first is initially open."""
    return f"<details{' open' * (number == 0)}><summary>{title}</summary>{body}</details>"


def _card(title: str, body: str, kind: str = "") -> str:
    return f'<div class="card {kind}"><p class=name>{title}</p>{body}</div>'


def _text(text: str) -> str:
    return html.escape(text.strip("\n")).replace("\n", "<br>")


def _quoted(text: str) -> str:
    return f"<q dir=auto>{html.escape(_in_a_line(text))}</q>"


def _pieces(tokens: Pieces) -> str:
    return f"<div class=pieces dir=auto>{''.join(map(_piece, tokens))}</div>"


def _piece(token: bytes) -> str:
    """A token as an HTML element; substitute characters are marked."""
    parts = []
    for part, kind in visible_parts(token):
        text = html.escape(part)
        tag = "b" if kind == "bytes" else "i"
        parts.append(text.replace(" ", f"<i>{SPACE}</i>") if kind == "text" else f"<{tag}>{text}</{tag}>")
    line_end = "<br>" if token.endswith(b"\n") else ""
    return f"<span>{''.join(parts)}</span>{line_end}"
