"""report.html: nothing in the text or in a name breaks the page."""

import json
import re
from pathlib import Path

import pytest

from eval.report.page import make_page

EVIL = "<!-- <script> </script> --> & \" ' | ` end"


def passages(text: str) -> dict:
    one = {"text": text, "totals": [10.0, 20.0], "bits": ["AA==", "/w=="]}
    return {"names": ["byte", "a<b"], "step": 16, "each": 3, "passages": [one]}


@pytest.fixture
def page(tmp_path) -> str:
    """A page with a figure of 600 points, one of 400, and a passage that holds tags."""
    for name, width in (("wide", 600), ("narrow", 400)):
        (tmp_path / "figures").mkdir(exist_ok=True)
        (tmp_path / "figures" / f"{name}.svg").write_text(f'<?xml?><svg viewBox="0 0 {width}.5 300"></svg>')
    figures = "\n\n".join(f"![{name}](figures/{name}.svg)" for name in ("wide", "narrow"))
    return make_page(figures, "mine", tmp_path, passages(EVIL), "Of 3 <x>.")


def test_passages_hold_nothing_that_a_browser_takes_for_a_tag(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert "<" not in data
    assert json.loads(data) == passages(EVIL)
    assert page.count("<script") == page.count("</script>") == 2


def test_what_the_passages_are_of_stands_above_them(page):
    assert page.index("Of 3 &lt;x&gt;.") < page.index('id="passages"')


def test_a_wide_figure_stays_readable_and_is_scrolled(page):
    wide, narrow = re.findall(r"<svg[^>]*>", page)
    assert wide.startswith('<svg style="min-width: 480pt"')
    assert "min-width" not in narrow


def test_there_is_nothing_to_compare_with_one_tokenizer_alone(tmp_path: Path):
    alone = {"names": ["byte"], "step": 16, "each": 3, "passages": []}
    page = make_page("# Title", "mine", tmp_path, alone, "")
    assert 'id="passages"' not in page and "<script" in page
