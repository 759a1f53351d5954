"""Samples and sentences in tokens: which text they are of, that they are drawn once, and how they look."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import markdown
import pytest
import torch

from common.files import write_json
from data_prep.arrays import TokenArrays
from eval.report import samples as drawing
from eval.report.pieces import Samples, Written, samples_in_html, samples_in_markdown
from eval.report.samples import CONTINUED, FILE, Excerpt, choose_excerpts, read_samples
from model import ModelConfig, build_model
from tokenizers import load_tokenizer

ENGLISH = "Thus the third one began. It was a sentence of some forty characters and more. "
GERMAN = "So begann der dritte. Es war ein Satz von einigen vierzig Zeichen und noch mehr. "


def corpus_of(texts: list[str], languages: list[str] | None = None) -> SimpleNamespace:
    """A corpus, as far as it is asked, whose validation documents are these."""
    columns = {"language": languages} if languages else {}
    return SimpleNamespace(texts=lambda split: iter(texts), categories=lambda split: columns)


def test_a_sentence_is_from_the_middle_of_a_document_and_its_beginning_is_the_prompt():
    (excerpt,) = choose_excerpts(corpus_of([ENGLISH * 9]))
    assert excerpt.sentence == "It was a sentence of some forty characters and more."
    assert excerpt.prompt == "It was a sentence of some forty"
    assert (excerpt.prompt + excerpt.rest).startswith(excerpt.sentence) and len(excerpt.rest) == CONTINUED


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("One, 1.5 and 2.5\n\nIt is\nbroken over the lines of a poem, until it ends. " * 9, "It is\nbroken"),
        (
            "これはとても長い文です、そして四十文字を超えるまで続きます、まだまだ本当に終わりません。短い。"
            * 9,
            "これは",
        ),
        ("no_end_of_a_sentence " * 40, "no_end_of_a_sentence no_end"),
        ("x" * 1000, "x" * 80),
        ("short", "short"),
        ("a", "a"),
    ],
)
def test_every_text_has_an_excerpt(text, sentence):
    (excerpt,) = choose_excerpts(corpus_of([text]))
    assert excerpt.sentence.startswith(sentence) and excerpt.sentence in text
    assert excerpt.prompt and excerpt.sentence.startswith(excerpt.prompt)
    assert excerpt.prompt + excerpt.rest in text


def test_excerpts_are_from_different_documents_and_languages():
    texts = [f"Text {i} begins. {ENGLISH * 9}" for i in range(20)]
    texts.insert(3, GERMAN * 9)
    excerpts = choose_excerpts(corpus_of(texts, ["de" if i == 3 else "en" for i in range(21)]))
    assert [excerpt.sentence[:2] for excerpt in excerpts] == ["Es", "It", "It"]
    assert len(choose_excerpts(corpus_of(texts[:2]))) == 2


@pytest.fixture
def run(tiny_arrays, tmp_path, monkeypatch):
    """An evaluated run of an untrained model, and its tokenizer; `opened` counts how often it is opened."""
    folder = tiny_arrays("bpe-300")
    arrays, tokenizer = TokenArrays(folder), load_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    model = build_model(ModelConfig(n_layer=1, n_embd=16, n_head=2), arrays.vocab_size, 32).eval()
    found = SimpleNamespace(folder=tmp_path, opened=0)

    def open_run(folder: Path) -> SimpleNamespace:
        found.opened += 1
        return SimpleNamespace(arrays=arrays, load_model=lambda device: model.to(device))

    monkeypatch.setattr(drawing, "open_run", open_run)
    write_json(tmp_path / "result.json", {"made_from": {"checkpoint": {"model.safetensors": "0"}}})
    return found, tokenizer


def test_samples_are_generated_once_and_reproducibly(run):
    found, tokenizer = run
    before = torch.get_rng_state()
    first = read_samples(found, tokenizer, ["One", "Two"])
    assert found.opened == 1 and read_samples(found, tokenizer, ["One", "Two"]) == first
    assert found.opened == 1
    (found.folder / FILE).unlink()
    torch.manual_seed(7)  # draws do not depend on what else was drawn
    assert read_samples(found, tokenizer, ["One", "Two"]) == first and found.opened == 2
    torch.set_rng_state(before)
    chars = [len(tokenizer.decode(ids)) for ids in first]
    assert all(0.3 * CONTINUED < count < 2 * CONTINUED for count in chars)


def test_samples_are_generated_again_for_other_prompts_or_another_checkpoint(run):
    found, tokenizer = run
    read_samples(found, tokenizer, ["One"])
    assert json.loads((found.folder / FILE).read_text())["samples"][0]["prompt"] == "One"
    read_samples(found, tokenizer, ["Two"])
    assert found.opened == 2
    write_json(found.folder / "result.json", {"made_from": {"checkpoint": {"model.safetensors": "1"}}})
    read_samples(found, tokenizer, ["Two"])
    assert found.opened == 3


EVIL = "<script>`|</div>\n\n# no heading"


def samples(sample: list[bytes] | None = None) -> Samples:
    excerpt = Excerpt(sentence="To be.", prompt=f"To {EVIL}", rest=" be.\nNext")
    written = Written([[b"To", b" b", "é".encode()[:1], b"\n"]], None if sample is None else [sample])
    return Samples("gpt", [excerpt], {"bpe-512": written, "a<b": written})


class Pieces(HTMLParser):
    """The text of every piece of a page, by card."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cards: list[list[str]] = []
        self.inside = False
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        if tag == "div" and ("class", "pieces") in attrs:
            self.cards.append([])
        if tag == "span":
            self.inside = True
            self.cards[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "span"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cards[-1][-1] += data


def test_a_token_is_a_piece_with_visible_characters():
    cards = Pieces(samples_in_html(samples([b"it\n\n", b"\xff"]))).cards
    assert cards == [["it⏎⏎", "⟨FF⟩"]] * 2 + [["To", "·b", "⟨C3⟩", "⏎"]] * 2


def test_the_section_can_be_embedded_in_markdown_and_its_text_is_escaped():
    section = samples_in_html(samples([EVIL.encode()]))
    page = markdown.markdown(f"# Title\n\n{section}\n\n## Next", extensions=["tables"])
    assert Pieces(page).cards[0] == [EVIL.replace("\n", "⏎").replace(" ", "·")]
    tags = Pieces(page).tags
    assert "script" not in tags and tags.count("h1") == 1 and tags.count("h2") == 2
    assert page.count("<div") == page.count("</div>")
    assert page.count("<details open>") == 2


def test_markdown_has_a_row_for_each_tokenizer():
    text = samples_in_markdown(samples([EVIL.encode(), b"\xff"]))
    rows = [line for line in text.splitlines() if line.startswith("| `bpe-512`")]
    assert rows[0].count("|") == 3 and r"\xFF" in rows[0]
    assert rows[1] == "| `bpe-512` | 4 | `To│·b│⟨C3⟩│⏎` |"
    assert not re.search("^# no heading", text, re.M)


def test_a_run_without_checkpoint_has_no_sample_and_a_note():
    for text in (samples_in_html(samples()), samples_in_markdown(samples())):
        assert text.count("the checkpoint of this run has been deleted") == 2
