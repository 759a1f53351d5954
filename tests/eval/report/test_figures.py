"""The figures of a report: one specification for files and page, honest about what it shows."""

import copy
import json
import struct
from xml.etree import ElementTree

import altair as alt
import jsonschema
import pytest

from eval.report.charts.curve import side_by_side
from eval.report.charts.figure import VERSION, as_svg, libraries, standalone
from eval.report.charts.labels import HEIGHT, WIDTH, place_labels
from eval.report.charts.style import KNOWN, styles_of
from eval.report.figures import make_figures, save_figures

from .conftest import AWKWARD, ladder, make_curves, make_entry, make_row


def values_of(part):
    """Every row of data in a specification."""
    if isinstance(part, list):
        return [value for item in part for value in values_of(item)]
    if isinstance(part, dict):
        own = part.get("data", {}).get("values", [])
        return own + [value for key, item in part.items() if key != "data" for value in values_of(item)]
    return []


def drawn(figures, name):
    """The data of a figure's panels."""
    return values_of(figures[name].panels)


def test_there_is_a_figure_for_each_question_and_the_curve_comes_first(drawing):
    figures, styles = drawing
    assert [figure.name for figure in figures] == [
        "bpc_by_vocabulary",
        "costs",
        "pareto",
        "flops_per_char",
        "learning_curves",
        "where_the_bits_go",
    ]
    assert set(styles) == {"byte", "bpe", "unigram", AWKWARD}


def test_several_models_have_a_panel_each(results):
    others = [make_row("byte", 257, 2.5, "small"), make_row("bpe-512", 512, 2.6, "small")]
    results["rows"] += others
    results["recommendation"]["models"].append(make_entry(others, {}))
    figures = {figure.name: figure for figure in make_figures(results, make_curves(results))[0]}
    assert [panel["title"] for panel in figures["bpc_by_model"].panels] == ["gpt", "small"]
    assert {row["model"] for row in drawn(figures, "costs")} == {"gpt"}
    assert "its own vertical scale" in figures["bpc_by_model"].caption


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_one_tokenizer_alone_can_be_drawn(seeds, results):
    row = make_row(
        "char", 65, 2.0, seeds=seeds, behind_best_low=None, behind_best_high=None, distinguishable=False
    )
    results |= {"rows": [row], "where": {}}
    results["recommendation"]["models"] = [make_entry([row], {})]
    for figure in make_figures(results, [(row, [])])[0]:
        as_svg(figure.whole())


def test_the_specification_is_valid_and_gives_json_svg_and_png(figures, tmp_path):
    save_figures(list(figures.values()), tmp_path, "mine. Context 128 characters.")
    schema = alt.load_schema()
    for name, figure in figures.items():
        spec = json.loads((tmp_path / f"{name}.json").read_text())
        jsonschema.validate(spec, schema)
        assert spec == figure.whole("mine. Context 128 characters.")
        image = (tmp_path / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", image[16:24])
        svg = ElementTree.parse(tmp_path / f"{name}.svg").getroot()  # is XML, whatever a name holds
        assert (
            abs(width - 2 * float(svg.get("width"))) <= 2 and abs(height - 2 * float(svg.get("height"))) <= 2
        )
        text = " ".join(svg.itertext())
        assert figure.title in text and "Context 128 characters." in text


def test_altair_and_the_renderer_have_the_same_version():
    import vl_convert

    assert VERSION in vl_convert.get_vegalite_versions()


def test_points_of_the_curve_have_intervals_and_fill(figures):
    points = {row["tokenizer"]: row for row in drawn(figures, "bpc_by_vocabulary") if "bpc" in row}
    assert points["unigram-2048"]["may be"] and points["bpe-2048"]["may be"]
    assert not points["byte"]["may be"]
    assert points["byte"]["interval"] == "2.250 to 2.350"
    assert points["byte"]["behind"] == "0.300 (0.280 to 0.320)"
    assert points["unigram-2048"]["behind"] == "it is the lowest"


def test_the_best_size_is_marked_with_its_interval_and_arrows_at_open_ends(figures):
    marks = {row["family"]: row for row in drawn(figures, "bpc_by_vocabulary") if "size_low" in row}
    assert marks["unigram"]["text"] == "best unigram: 1,900"
    assert marks["bpe"]["interval"] == "1,500 to 4,096 or more"
    (panel,) = figures["bpc_by_vocabulary"].panels
    arrows = [layer for layer in panel["layer"] if layer["mark"].get("shape") == "triangle"]
    assert [values_of(arrow)[0]["family"] for arrow in arrows] == ["bpe"]
    assert "with an arrow where it may lie beyond" in figures["bpc_by_vocabulary"].caption


@pytest.mark.parametrize(
    "where, says", [("below", "best bpe: 512 or less"), ("above", "best bpe: 4,096 or more"), ("flat", None)]
)
def test_a_best_size_at_an_end_or_unknown_is_not_a_point(where, says, results):
    found = ladder(1000.0, 512.0, 4096.0, where, open_low=where == "below", open_high=where == "above")
    results["recommendation"]["models"][0]["ladders"] = {"bpe": found}
    figure = make_figures(results, make_curves(results))[0][0]
    marks = [row for row in values_of(figure.panels) if "size_low" in row]
    assert {row["text"] for row in marks} == ({says} if says else set())
    assert "size:Q" not in json.dumps(figure.panels)
    assert not [layer for layer in figure.panels[0]["layer"] if layer["encoding"]["x"].get("field") == "size"]


def test_points_of_similar_size_are_side_by_side_and_others_do_not_move():
    first, second, third = side_by_side([257, 258, 4096])
    assert first < 257 < 258 < second and third == 4096


def test_a_point_of_a_scatter_plot_is_labelled_with_its_vocabulary_size(figures):
    points = drawn(figures, "pareto")
    assert {row["label"] for row in points} >= {"257", "2,048", "50,257"}
    assert all(row["label"] == f"{row['vocab_size']:,}" for row in points)


def test_labels_do_not_cover_each_other_if_there_is_room():
    points = [(100.0, 100.0), (100.0, 104.0), (130.0, 100.0), (395.0, 100.0)]
    labels = ["2,048", "2,048", "512", "16,384"]
    sides = place_labels(points, labels, 400)
    assert len(set(sides[:2])) == 2
    assert sides[3].dx == -1  # at the edge there is room on one side alone
    assert HEIGHT > 0 and WIDTH > 0


def test_the_front_joins_points_that_no_other_beats_at_cost_and_bits(figures):
    """Computed by Vega, so that it is right also where families are switched off."""
    front = figures["pareto"].panels[0]["layer"][0]
    window, kept = front["transform"]
    assert window["sort"] == [{"field": "cost"}, {"field": "bpc"}] and window["frame"] == [None, 0]
    assert kept == {"filter": "datum.bpc <= datum.lowest"}
    points = sorted((row["cost"], row["bpc"]) for row in values_of(figures["pareto"].panels[0]))
    lowest, joined = float("inf"), 0
    for _, bpc in points:
        joined += bpc <= lowest
        lowest = min(lowest, bpc)
    alone = {**copy.deepcopy(figures["pareto"].panels[0]), "layer": [front]}
    (path,) = [
        e
        for e in ElementTree.fromstring(as_svg(alone)).iter()
        if e.get("aria-roledescription") == "line mark"
    ]
    assert path.get("d").count("L") == 2 * (joined - 1)  # to the right, and down


def test_parts_with_few_characters_are_hollow_or_left_out_and_in_the_caption(figures):
    rows = drawn(figures, "where_the_bits_go")
    assert {row["answer"]: row["few"] for row in rows} == {"1 to 3": True, "4 to 15": False}
    caption = figures["where_the_bits_go"].caption
    assert "Hollow points have fewer than 2,000 characters and are uncertain: 1 to 3 (context" in caption
    assert "Left out, with fewer than 100 characters: 0 (context" in caption


def test_a_panel_of_the_page_has_the_data_of_the_file_and_a_filter_by_family(figures):
    for figure in figures.values():
        for panel, live in zip(figure.panels, figure.page(), strict=True):
            assert values_of(live) == values_of(panel)
            assert live["width"] == "container"
            text = json.dumps(live)
            assert text.count("indexof(shown, datum.family)") == text.count('"values": [{')


def test_families_are_told_apart_by_shape_and_colour_and_look_the_same_in_any_report():
    rows = [make_row(name, 300, 2.0) for name in ("bpe-300", "byte", "spbpe-300", "unigram-300", "char")]
    assert styles_of(rows) == {name: KNOWN[name] for name in ("byte", "char", "bpe", "spbpe", "unigram")}
    many = styles_of(rows + [make_row(f"tiktoken:{n}", 300, 2.0) for n in "abcdefghijklmnopqrst"])
    assert len({(style.color, style.shape) for style in many.values()}) == 25
    again = [make_row("one", 257, 2.0, spec="byte"), make_row("two", 257, 2.0, spec="byte")]
    first, second = styles_of(again).values()
    assert first == KNOWN["byte"] != second


def test_a_chart_alone_needs_no_network(figures):
    page = standalone(figures["pareto"].whole(), "a <b>")
    assert "<title>a &lt;b&gt;</title>" in page
    assert page.count("<script>") == page.count("</script>") == 2
    assert "src=" not in page.replace(libraries(), "")
