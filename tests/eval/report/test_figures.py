"""The figures of a report."""

from xml.etree import ElementTree

import pytest

from eval.report.figures import draw_figures, pareto_front

SPEC = "tiktoken:a<b&c/tokenizer.json"


def row(tokenizer: str, model: str, bpc: float, flops: float) -> dict:
    parts = dict.fromkeys(("flops_per_char_body", "flops_per_char_attention", "flops_per_char_output"), 1e6)
    return parts | {
        "tokenizer": tokenizer,
        "spec": tokenizer,
        "model": model,
        "kind": "gpt",
        "vocab_size": 300,
        "chars_per_token": 2.0,
        "flops_per_char": 3e6,
        "train_flops": flops,
        "generation_chars_per_second": 100.0,
        "test_bpc": bpc,
        "test_bpc_low": bpc - 0.1,
        "test_bpc_high": bpc + 0.1,
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of the figures, and their captions."""
    folder = tmp_path_factory.mktemp("figures")
    rows = [row(SPEC, "one", 2.0, 1e9), row("char", "one", 2.2, 2e9), row("char", "other", 2.3, 1e9)]
    curves = [(rows[0], [{"chars": 100, "val_bpc": 2.5}, {"chars": 200, "val_bpc": 2.1}])]
    return folder, draw_figures(rows, curves, {}, folder)


def test_a_point_says_its_name_whatever_is_in_it(drawn):
    folder, captions = drawn
    for name in captions:
        ElementTree.parse(folder / f"{name}.svg")  # is XML
    titles = [e.text for e in ElementTree.parse(folder / "pareto.svg").iter() if e.tag.endswith("}title")]
    assert f"{SPEC} one: 2.0000 bits per character, 1e+09 training FLOPs" in titles


def test_what_differs_between_panels_is_said(drawn):
    assert "has a scale of its own" in drawn[1]["bpc_by_vocabulary"]


def test_the_front_joins_what_no_other_beats_at_cost_and_bits():
    points = [(3.0, 1.0), (1.0, 3.0), (2.0, 2.0), (2.5, 2.5), (4.0, 1.5)]
    assert pareto_front(points) == [(1.0, 3.0), (1.0, 3.0), (2.0, 2.0), (3.0, 1.0), (4.0, 1.0)]


def test_the_front_of_one_that_beats_all_is_a_line_too():
    assert pareto_front([(1.0, 1.0), (2.0, 3.0)]) == [(1.0, 3.0), (1.0, 1.0), (2.0, 1.0)]
