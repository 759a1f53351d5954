"""report.html: the answer first, one file, and nothing in the text or in a name breaks the page."""

import json
import re

import pytest

from comparison import Comparison, Recipe
from eval.report.page import make_page
from eval.report.summary import in_markdown, summarize
from training.budget import Budget, TextAmount

EVIL = "<!-- <script> </script> --> & \" ' | ` end"
COMPARISON = Comparison(
    name="mine",
    tokenizers=["byte"],
    context=TextAmount(chars=128),
    batch=TextAmount(chars=1),
    budget=Budget(chars=1_200_000),
    seeds=[0, 1, 2],
    models={"gpt": Recipe()},
)
PROTOCOL = (
    "Context 128 characters, documents alone, window overlap 50 %, 3 seeds, budget 1,200,000 characters."
)


def passages(text: str, *names: str) -> dict:
    one = {"text": text, "totals": [10.0, 20.0], "bits": ["AA==", "/w=="]}
    return {"names": list(names or ("byte", "a<b")), "step": 16, "each": 3, "passages": [one]}


@pytest.fixture
def make(results, drawing):
    """A function: changes of the results to the page."""
    figures, styles = drawing
    text = "## All results\n\n" + "\n\n".join(map(in_markdown, figures[1:]))

    def page(**changes: object) -> str:
        summary = summarize({**results, **changes}, COMPARISON, figures[0])
        return make_page(summary, text, figures, styles, passages(EVIL), "Of 3 <x>.")

    return page


@pytest.fixture
def page(make) -> str:
    """The page of unchanged results."""
    return make()


def data_of(page: str, name: str) -> str:
    (data,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    return data


def visible(page: str) -> str:
    """The page without scripts and styles."""
    return re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)


def test_the_first_screen_answers_before_anything_else(page):
    page = visible(page)
    order = [
        "<h1>mine: which tokenizer, and how large a vocabulary?</h1>",
        PROTOCOL,
        "Any of 2 of the 10 tokenizers may be the best: unigram-2048, bpe-2048.",
        "The best size of unigram is 2,048 of those tried",
        'data-chart="bpc_by_vocabulary"',
        "What it costs",
        "generated characters/s",
        "How sure it is",
        "Intervals cover the choice of text",
        "All results",
    ]
    places = [page.index(part) for part in order]
    assert places == sorted(places)


def test_the_protocol_appears_once(page):
    assert visible(page).count("window overlap") == 1
    assert page.count("Context 128 characters") == 1


def test_costs_are_those_of_the_best_the_smallest_and_the_largest_vocabulary(results, drawing):
    summary = summarize(results, COMPARISON, drawing[0][0])
    head, _, sizes, *_ = summary.costs.splitlines()
    assert head.startswith("|  | `byte` | **`unigram-2048`** | ")
    assert sizes == "| vocabulary | 257 | 2,048 | 50,257 |"


def test_missing_runs_and_warnings_are_at_the_top(make):
    page = visible(
        make(partial={"evaluated": 3, "wanted": 9, "left_out": []}, warnings=["few <b> documents"])
    )
    notice = page.index("Partial: 3 of 9 runs are evaluated.")
    assert page.index("<h1>") < notice < page.index("Any of 2 of the 10")
    assert "Warning: few &lt;b&gt; documents" in page


def test_complete_results_have_no_notice(make):
    assert "Partial" not in visible(make(partial=None)) and "Partial" not in visible(make())


def test_passages_and_names_are_never_parsed_as_tags(page):
    for name in ("data", "charts"):
        assert "<" not in data_of(page, name)
    assert json.loads(data_of(page, "data")) == passages(EVIL)
    assert page.count("<script") == page.count("</script>") == 4


def test_the_libraries_are_embedded_once_and_nothing_is_loaded(page):
    assert page.count("window.vegaEmbed") == 1
    assert len(page) < 1_300_000
    assert not re.search(r"<(link|img|iframe)|\bsrc=|@import|url\((?!#)", visible(page))


def test_every_panel_has_a_picture_and_a_specification(page):
    charts = json.loads(data_of(page, "charts"))
    assert visible(page).count('<div class="chart"') == sum(map(len, charts.values())) == 13
    assert "<img" not in visible(page)
    assert "#1a1a1b" not in page and 'fill="currentColor"' in visible(page)


def test_the_legend_consists_of_buttons_with_the_families(page):
    buttons = re.findall(r'<button type="button" aria-pressed="true" data-family="([^"]*)">', page)
    assert buttons[:4] == ["byte", "bpe", "tiktoken:a&lt;b&amp;c&quot;&#x27;/tokenizer.json", "unigram"]


def test_passages_have_an_introduction(page):
    assert page.index("Of 3 &lt;x&gt;.") < page.index('id="passages"')


def test_one_tokenizer_alone_has_no_passages(results, drawing):
    figures, styles = drawing
    summary = summarize(results, COMPARISON, figures[0])
    page = make_page(summary, "", figures, styles, passages("", "byte"), "")
    assert 'id="passages"' not in page and "<script" in page
