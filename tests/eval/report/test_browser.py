"""report.html in a real browser: it opens without an error, and can be read and touched by everybody."""

import json

import pytest

from eval.report.page import make_page
from eval.report.summary import in_markdown, summarize
from tests.browser import Browser

from .conftest import make_results
from .test_page import COMPARISON, EVIL, passages

pytestmark = pytest.mark.extended
TABLE = """| tokenizer | bits |
|---|---:|
| `b` | 2.5 |
| `a` | 10.25 |
| `c` | 1,000.0 |"""
CURVE = 'figure[data-chart="bpc_by_vocabulary"]'
COSTS = 'figure[data-chart="costs"]'
POINT = f"{CURVE} .live .mark-symbol path[aria-label*='unigram-2048']"
TOOLTIP = "document.querySelector('#vg-tooltip-element.visible')"
DRAWN = "document.querySelectorAll('.live .root').length === document.querySelectorAll('.chart').length"


@pytest.fixture(scope="module")
def path(drawing, tmp_path_factory):
    """A page with every figure."""
    figures, styles = drawing
    summary = summarize(make_results(), COMPARISON, figures[0])
    text = "\n\n".join(["## All results", TABLE, "## Figures", *map(in_markdown, figures[1:])])
    found = tmp_path_factory.mktemp("page") / "report.html"
    found.write_text(make_page(summary, text, figures, styles, passages(EVIL), "Of 3."))
    return found


@pytest.fixture(scope="module")
def chromium():
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium, path):
    """The page, opened anew, on a wide light screen, with all its charts."""
    chromium.errors.clear()
    chromium.requests.clear()
    chromium.resize(1280, 800)
    chromium.media()
    chromium.open(path)
    chromium.wait(DRAWN)
    yield chromium
    assert chromium.errors == []
    assert chromium.requests == [path.as_uri()]  # the page itself, and nothing after it


def shown(browser, selector):
    """The families that a chart shows points of."""
    marks = json.dumps(f"{selector} .live .mark-symbol path")
    families = f"[...document.querySelectorAll({marks})].map(mark => mark.__data__.datum.family)"
    return sorted(set(browser.run(families)))


def test_the_first_screen_has_the_answer_the_curve_the_costs_and_how_sure_it_is(browser):
    for selector in (".lead", f"{CURVE} .live svg", ".first table"):
        box = browser.run(f"document.querySelector({selector!r}).getBoundingClientRect().toJSON()")
        assert 0 <= box["top"] < box["bottom"] <= 800 and box["right"] <= 1280
    assert browser.run("[...document.querySelectorAll('.chart > svg')].every(svg => svg.clientWidth === 0)")


def test_a_table_sorts_by_click_and_by_key(browser):
    first = (
        "[...document.querySelectorAll('table:not(.first table) td:first-child')].map(cell => cell.innerText)"
    )
    heading = "table:not(.first table) th:nth-child(2)"
    assert browser.run(first) == ["b", "a", "c"]
    browser.click(heading)
    assert browser.run(first) == ["b", "a", "c"]  # 2.5, 10.25, 1,000 are in order
    browser.run(f"document.querySelector({heading!r}).focus()")
    browser.press("Enter")
    assert browser.run(first) == ["c", "a", "b"]
    assert browser.run(f"document.querySelector({heading!r}).getAttribute('aria-sort')") == "descending"


def test_a_point_shows_its_values_under_the_mouse(browser):
    assert not browser.run(TOOLTIP)
    browser.hover(POINT)
    text = browser.wait(f"{TOOLTIP}?.innerText")
    for part in ("unigram-2048", "2,048", "2.0000", "1.950 to 2.050", "it is the lowest"):
        assert part in text
    browser.mouse("mouseMoved", 5, 5)
    browser.wait(f"!{TOOLTIP}")


def test_a_name_that_looks_like_markup_is_shown_as_it_is(browser):
    browser.hover(f"{CURVE} .live .mark-symbol path[aria-label*='tiktoken']")
    assert "tiktoken:a<b&c" in browser.wait(f"{TOOLTIP}?.innerText")


def test_a_chart_is_read_by_keyboard(browser):
    browser.run(f"document.querySelector('{CURVE} .chart').focus()")
    browser.press("ArrowRight")
    first = browser.wait(f"{TOOLTIP}?.innerText")
    said = browser.run("document.getElementById('said').textContent")
    assert said and said.split(": ")[1].split(",")[0] in first
    browser.press("ArrowRight")
    browser.wait(f"document.getElementById('said').textContent !== {json.dumps(said)}")


def test_a_family_is_switched_off_in_all_figures_and_on_again(browser):
    button = f'{CURVE} button[data-family="bpe"]'
    everything = shown(browser, CURVE)
    assert "bpe" in everything and "bpe" in shown(browser, COSTS)
    browser.click(button)
    browser.wait(
        f"![...document.querySelectorAll('{COSTS} path')].some(p => p.__data__?.datum?.family === 'bpe')"
    )
    assert "bpe" not in shown(browser, CURVE)
    pressed = (
        "[...document.querySelectorAll('button[data-family=bpe]')].map(b => b.getAttribute('aria-pressed'))"
    )
    assert set(browser.run(pressed)) == {"false"}
    browser.run(f"document.querySelector({button!r}).focus()")
    browser.press("Enter", "\r")
    browser.wait(
        f"[...document.querySelectorAll('{COSTS} path')].some(p => p.__data__?.datum?.family === 'bpe')"
    )
    assert shown(browser, CURVE) == everything


def test_a_click_on_a_point_shows_its_family_alone_and_a_second_one_all(browser):
    everything = shown(browser, COSTS)
    for expected in (["unigram"], everything):
        browser.click(POINT)
        families = json.dumps(expected)
        browser.wait(
            f"JSON.stringify([...new Set([...document.querySelectorAll('{COSTS} .live .mark-symbol path')]"
            f".map(mark => mark.__data__.datum.family))].sort()) === JSON.stringify({families})"
        )


AXES = f"{CURVE} .live .role-axis-label text"
LABELS = f"[...document.querySelectorAll('{AXES}')].map(t => t.textContent).sort().join()"


def test_the_axes_zoom_by_wheel_and_by_key_and_come_back(browser):
    whole = browser.run(LABELS)
    x, y = browser.middle(f"{CURVE} .live svg")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400, modifiers=2)  # Ctrl
    browser.wait(f"{LABELS} !== {json.dumps(whole)}")
    browser.run(f"document.querySelector('{CURVE} .chart').focus()")
    browser.press("0", "0")
    browser.wait(f"{LABELS} === {json.dumps(whole)}")
    browser.press("+", "+")
    browser.wait(f"{LABELS} !== {json.dumps(whole)}")


def test_the_wheel_alone_scrolls_the_page(browser):
    whole = browser.run(LABELS)
    x, y = browser.middle(f"{CURVE} .live svg")
    browser.run("scrollTo({top: 0, behavior: 'instant'})")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=300)
    browser.wait("scrollY > 0")
    assert browser.run(LABELS) == whole


def test_an_axis_of_costs_is_linear_or_logarithmic(browser):
    figure = 'figure[data-chart="learning_curves"]'
    label = f"document.querySelectorAll('{figure} .live .role-axis-label')[0].textContent"
    linear = browser.run(label)
    browser.click(f"{figure} .log")
    browser.wait(f"{label} !== {json.dumps(linear)}")
    assert browser.run(f"document.querySelector('{figure} .log').getAttribute('aria-pressed')") == "true"


def test_nothing_is_wider_than_a_telephone(browser):
    browser.resize(420, 800)
    browser.wait(f"document.querySelector('{CURVE} .live svg').getBoundingClientRect().right <= 420")
    assert browser.run("document.documentElement.scrollWidth") <= 420
    browser.resize(1280, 800)
    browser.wait(f"document.querySelector('{CURVE} .live svg').getBoundingClientRect().width > 420")


def test_in_the_dark_text_and_charts_are_light(browser):
    color = "getComputedStyle(document.querySelector('{}')).{}"
    for scheme, ink, paper in (
        ("light", "rgb(26, 26, 26)", "rgb(255, 255, 255)"),
        ("dark", "rgb(230, 230, 230)", "rgb(22, 24, 28)"),
    ):
        browser.media("", scheme)
        assert browser.run(color.format(AXES, "fill")) == ink
        assert browser.run(color.format("body", "backgroundColor")) == paper


def test_it_prints_in_black_on_white_with_its_charts(browser):
    browser.media("print", "dark")
    assert browser.run("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert browser.run("getComputedStyle(document.querySelector('.hint')).display") == "none"
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000


def test_without_scripts_the_still_charts_are_there(chromium, path):
    chromium.scripts(False)
    try:
        chromium.open(path)
        seen = (
            "[...document.querySelectorAll('.chart > svg')].filter(still => still.clientWidth > 100).length"
        )
        assert chromium.run(seen) == chromium.run("document.querySelectorAll('.chart').length") == 13
        assert chromium.run("getComputedStyle(document.querySelector('.log')).display") == "none"
    finally:
        chromium.scripts(True)
