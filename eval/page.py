"""report.html: the Markdown page as one file, with figures to hover, tables to sort, passages to compare."""

import html
import json
import re
from pathlib import Path

import markdown

from .figures import INK

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%(title)s - Codebook</title>
<style>
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d0d0d0; --mark: #f3f6fa;
  --shade: #0004 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --line: #3a3f47; --mark: #20242b;
    --shade: #fff6 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 79rem; margin: 2rem auto; padding: 0 1rem }
p, ul { max-width: 60rem }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { margin-top: 2.5rem; font-size: 1.2rem }
/* What is wider than the page is scrolled; a shadow shows on which side there is more */
.scroll, .figure { overflow-x: auto; background:
  linear-gradient(to right, var(--paper) 50%%, transparent) left local,
  linear-gradient(to left, var(--paper) 50%%, transparent) right local,
  linear-gradient(to right, var(--shade), transparent) left scroll,
  linear-gradient(to left, var(--shade), transparent) right scroll;
  background-size: 3rem 100%%, 3rem 100%%, 1rem 100%%, 1rem 100%%; background-repeat: no-repeat }
.scroll { margin: 1rem 0 }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .45rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { text-align: left; white-space: normal; vertical-align: bottom; min-width: 3.5rem; cursor: pointer }
th[aria-sort=ascending]::after { content: " \\25b2" } th[aria-sort=descending]::after { content: " \\25bc" }
th:focus-visible { outline: 2px solid #0072b2 }
tbody tr:hover { background: var(--mark) }
.figure svg { max-width: 100%%; height: auto; display: block } .figure + p { max-width: 46rem }
.point:hover { opacity: .55 }
select { font: inherit; max-width: 45vw }
.passage { white-space: pre-wrap; font: .9rem/1.6 ui-monospace, monospace; margin: .2rem 0;
  border-left: 3px solid var(--line); padding-left: .6rem; overflow-wrap: anywhere }
.name { margin: .8rem 0 0; font-size: .85rem }
code { font-size: .9em }
</style>
</head>
<body>
%(body)s
%(compare)s
<script>
%(script)s
</script>
</body>
</html>
"""

COMPARE = """<h2 id="compare">Two tokenizers on the same text</h2>
<p>Passages of the test text on which <select id="a"></select> and <select id="b"></select> differ most. The
stronger a character's background, the more bits it takes; a token's bits are spread evenly over its
bytes. %(about)s</p>
<div id="passages"></div>
<script type="application/json" id="data">%(data)s</script>
"""

SORT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.querySelectorAll("th")];
  const value = (row, i) => row.cells[i].textContent.trim();
  const number = text => parseFloat(text.replace(/,/g, ""));
  heads.forEach((head, i) => {
    head.tabIndex = 0;
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((one, two) => {
        const a = value(one, i), b = value(two, i), x = number(a), y = number(b);
        const order = isNaN(x) || isNaN(y)
          ? isNaN(x) - isNaN(y) || a.localeCompare(b, undefined, {numeric: true}) : x - y;
        return down ? -order : order;
      });
      table.tBodies[0].append(...rows);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
"""

PASSAGES = """
const data = JSON.parse(document.getElementById("data").textContent);
const [a, b] = ["a", "b"].map(id => document.getElementById(id));
for (const select of [a, b]) data.names.forEach((name, i) => select.add(new Option(name, i)));
b.value = data.names.length - 1;
const show = () => {
  const box = document.getElementById("passages"), one = +a.value, two = +b.value;
  box.replaceChildren();
  const add = (tag, name, text) => {
    const made = box.appendChild(document.createElement(tag));
    made.className = name; made.textContent = text || "";
    return made;
  };
  const line = (passage, i) => {
    const bits = Uint8Array.from(atob(passage.bits[i]), c => c.charCodeAt(0)), chars = [...passage.text];
    add("p", "name", `${data.names[i]}: ${(passage.totals[i] / chars.length).toFixed(3)} bits per character`);
    const text = add("div", "passage");
    chars.forEach((char, at) => {
      const span = text.appendChild(document.createElement("span")), amount = bits[at] / data.step;
      span.textContent = char;
      span.style.background = `rgba(213, 94, 0, ${Math.min(0.85, amount / 10)})`;
      span.title = bits[at] === 255 ? "≥ 15.9 bits" : amount.toFixed(2) + " bits";
    });
  };
  const gain = passage => passage.totals[two] - passage.totals[one];
  const sorted = [...data.passages].sort((p, q) => gain(p) - gain(q));
  const part = (title, passages) => {
    add("h3", "", title);
    if (!passages.length) add("p", "", "None.");
    for (const passage of passages) { line(passage, one); line(passage, two); }
  };
  part(`Fewer bits with ${data.names[two]}`, sorted.filter(p => gain(p) < 0).slice(0, data.each));
  part(`More bits with ${data.names[two]}`, sorted.filter(p => gain(p) > 0).slice(-data.each).reverse());
};
a.onchange = b.onchange = show;
show();
"""


READABLE = 0.8  # of its own size a figure still is; a page that is narrower than that scrolls it
NARROW = 450  # points; narrower figures are always shown whole


def make_page(page: str, title: str, report: Path, passages: dict, about: str) -> str:
    """report.html; figures are read from `report`.

    `page` is Markdown, `passages` what `choose_passages` returns, `about` the sentences that say under what
    protocol.
    """
    body = markdown.markdown(page, extensions=["tables"])
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")

    def inline(match: re.Match) -> str:
        svg = (report / match[2]).read_text()
        svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])
        if width > NARROW:
            svg = svg.replace("<svg", f'<svg style="min-width: {READABLE * width:.0f}pt"', 1)
        return f'<div class="figure" role="img" aria-label="{match[1]}">{svg}</div>'

    body = re.sub(r'<p><img alt="([^"]*)" src="(figures/[^"]+)" /></p>', inline, body)
    several = len(passages["names"]) > 1
    # As no tag at all: "<!--" and "<script" in a passage would hide the end of ours from the parser
    data = json.dumps(passages).replace("<", "\\u003c")
    return PAGE % {
        "title": title,
        "body": body,
        "compare": COMPARE % {"about": html.escape(about), "data": data} if several else "",
        "script": SORT + (PASSAGES if several else ""),
    }
