"""A figure: one specification becomes a JSON, an SVG and a PNG file, and interactive panels in the page."""

import functools
import html
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from .style import ACCENT, CONFIG, INK, PAPER, Style

VERSION = ".".join(
    alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2]
)  # of Vega-Lite, as vl_convert names it
# Dragging moves; the wheel alone scrolls the page
ZOOM = {
    "name": "zoom",
    "select": {"type": "interval", "zoom": "wheel![event.ctrlKey || event.metaKey]"},
    "bind": "scales",
}
SUBTITLE = 110  # characters of a line under a file's title


@dataclass(frozen=True)
class Figure:
    """A figure of one or more panels."""

    name: str
    """name of its files"""
    title: str
    caption: str
    panels: list[dict]
    """specifications of one view, or of layers, each with its size in pixels"""
    columns: int = 1
    """panels side by side, if there is room"""
    log: bool = False
    """true if the page has a button for a logarithmic horizontal axis"""

    def whole(self, subtitle: str = "") -> dict:
        """The specification of all panels with title and legend."""
        return {
            "$schema": alt.SCHEMA_URL,
            "title": {
                "text": self.title,
                "subtitle": textwrap.wrap(subtitle, SUBTITLE),
                **{"fontSize": 15, "offset": 12, "subtitlePadding": 6, "subtitleFontSize": 11},
            },
            "concat": self.panels,
            "columns": self.columns,
            "spacing": 28,
            "resolve": {"scale": dict.fromkeys(("color", "shape", "fill", "strokeDash"), "shared")},
            "background": "white",
            "padding": 12,
            "config": CONFIG,
        }

    def save(self, folder: Path, subtitle: str) -> None:
        """Write NAME.json, NAME.svg and NAME.png."""
        spec = self.whole(subtitle)
        svg = as_svg(spec)
        (folder / f"{self.name}.json").write_text(json.dumps(spec) + "\n")
        (folder / f"{self.name}.svg").write_text(svg)
        (folder / f"{self.name}.png").write_bytes(vl_convert.svg_to_png(svg, scale=2))

    def page(self) -> list[dict]:
        """The specification of each panel for the page: as wide as its container, with filter and zoom."""
        return [interactive(panel) for panel in self.panels]

    def still(self) -> list[str]:
        """Each panel as an SVG element, for a browser without JavaScript."""
        return [as_svg({**without_legend(panel), "config": CONFIG}) for panel in self.panels]


def as_svg(spec: dict) -> str:
    """A specification as SVG."""
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VERSION)
    return svg


def themed(text: str) -> str:
    """A specification or SVG with the page's colours for text, lines and background, light or dark."""
    for color, name in ((INK, "currentColor"), (PAPER, "var(--paper)"), (ACCENT, "var(--blue)")):
        text = text.replace(color, name)
    return text


@functools.cache
def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which defines `vegaEmbed`."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VERSION)
    return script.replace("</script", "<\\/script")


def as_json(value: object) -> str:
    """JSON inside a script element; no text is parsed as a tag, such as `<!--` or `</script`."""
    return json.dumps(value).replace("<", "\\u003c")


def standalone(spec: dict, title: str) -> str:
    """A page with one interactive chart, which needs no network."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<style>body {{ color-scheme: light; background: #fff }}</style><div id="chart"></div>'
        f"<script>{libraries()}</script>"
        f"<script>vegaEmbed('#chart', {as_json(spec)}, {{actions: false}})</script></html>"
    )


def without_legend(spec: dict) -> dict:
    """A specification without the legend of the families, which the page draws itself."""

    def walk(part: Any) -> Any:
        if isinstance(part, list):
            return [walk(item) for item in part]
        if isinstance(part, dict):
            found = {key: walk(value) for key, value in part.items()}
            return {**found, "legend": None} if found.get("field") == "family" and "scale" in found else found
        return part

    return walk(spec)


def interactive(spec: dict) -> dict:
    """A panel of the families in the signal `shown`, with zoom, as wide as its container."""
    families = sorted({row["family"] for values in _values(spec) for row in values if "family" in row})
    spec = without_legend(spec)
    spec = _filtered(spec)
    spec["params"] = [{"name": "shown", "value": families}]
    for layer in spec.get("layer", [spec]):
        continuous = [layer["encoding"].get(axis, {}).get("type") for axis in "xy"] == ["quantitative"] * 2
        if layer["mark"]["type"] == "point" and continuous:
            layer["params"] = [*layer.get("params", []), ZOOM]  # of one layer, which has both fields
            break
    return {
        **spec,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": CONFIG,
    }


def _values(part: Any) -> list[list[dict]]:
    """All data of a specification."""
    if isinstance(part, list):
        return [found for item in part for found in _values(item)]
    if isinstance(part, dict):
        own = [part["data"]["values"]] if "values" in part.get("data", {}) else []
        return own + [found for key, item in part.items() if key != "data" for found in _values(item)]
    return []


def _filtered(spec: dict) -> dict:
    """A view with its data, and those of its layers, filtered by the families shown."""
    spec = dict(spec)
    if "layer" in spec:
        spec["layer"] = [_filtered(layer) for layer in spec["layer"]]
    if "values" in spec.get("data", {}):
        kept = {"filter": "!isValid(datum.family) || indexof(shown, datum.family) >= 0"}
        spec["transform"] = [kept, *spec.get("transform", [])]
    return spec


SYMBOLS = {  # in a square of 12 by 12
    "circle": '<circle cx="6" cy="6" r="4.5"/>',
    "square": '<path d="M2 2h8v8h-8z"/>',
    "diamond": '<path d="M6 .5 11.5 6 6 11.5 .5 6z"/>',
    "cross": '<path d="M4 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z"/>',
    "triangle-up": '<path d="M6 1 11.5 10.5H.5z"/>',
    "triangle-down": '<path d="M6 11 .5 1.5h11z"/>',
    "triangle-right": '<path d="M11 6 1.5 11.5V.5z"/>',
    "triangle-left": '<path d="M1 6 10.5 .5v11z"/>',
}


def legend(styles: dict[str, Style]) -> str:
    """The families as buttons, in HTML; without JavaScript they are just a legend."""
    buttons = []
    for name, style in styles.items():
        dash = " ".join(map(str, style.dash)) if style.dash[1] else "none"
        swatch = (
            f'<svg width="34" height="12" aria-hidden="true" fill="{style.color}" stroke="{style.color}">'
            f'<path d="M0 6h34" stroke-width="2" stroke-dasharray="{dash}"/>'
            f'<g transform="translate(11)">{SYMBOLS[style.shape]}</g></svg>'
        )
        shown = html.escape(name)
        named = f'data-family="{shown}">{swatch}{shown}'
        buttons.append(f'<button type="button" aria-pressed="true" {named}</button>')
    return themed(f'<div class="legend" role="group" aria-label="Families">{"".join(buttons)}</div>')
