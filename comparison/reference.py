"""Write the reference page of comparison files: `python -m comparison.reference`."""

import re

from common.cli import log
from common.files import write_file
from common.options import Option, Section, sections_of
from common.revision import ROOT

from .config import Comparison

PAGE = ROOT / "docs" / "reference" / "comparison.md"
INTRODUCTION = """\
# Keys of a comparison file

*This page is generated: edit the docstrings of the dataclasses, then run `python -m comparison.reference`.*

A comparison file is written in YAML. The smallest one:

```yaml
{smallest}```

Keys without a section, such as `seeds`, are at the top level. A section groups keys: `budget.steps` on this
page is `budget: {{steps: 1000}}` in the file. `NAME` stands for a name of your choice.

Every key is also a command-line option that overrides the file: `--budget.steps 2000`. Keys below `models`
can only be given in the file. `python compare.py run --help` lists the options that cannot be in the file,
such as `--jobs`.

Sections: {sections}
"""
SMALLEST = """\
name: first
tokenizers: [byte, bpe-1024]
models:
  gpt: {}
context: {chars: 128}
batch: {chars: 2048}
budget: {chars: 600000}
"""


def reference_page() -> str:
    """The page, in Markdown."""
    sections = sections_of(Comparison)
    links = ", ".join(f"[{_title(section)}](#{_anchor(section)})" for section in sections)
    pages = [INTRODUCTION.format(smallest=SMALLEST, sections=links)]
    for section in sections:
        meaning = section.meaning.rstrip(".")
        rows = "".join(_row(option) for option in section.options)
        head = "| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n"
        table = f"\n{head}{rows}" if rows else ""
        pages.append(f"\n## {_title(section)}\n\n{meaning[0].upper()}{meaning[1:]}.\n{table}")
    return "".join(pages)


def _title(section: Section) -> str:
    return section.path or "Top level"


def _anchor(section: Section) -> str:
    """The anchor of the heading on GitHub and in most renderers."""
    return _title(section).lower().replace(".", "").replace(" ", "-")


def _row(option: Option) -> str:
    said = re.search(r" ?\(default: ([^)]*)\)", option.meaning)
    meaning = option.meaning.replace(said[0], "") if said else option.meaning
    default = (
        "required" if option.required else said[1] if said else f"`{option.default}`" * bool(option.default)
    )
    cells = [f"`{option.path}`", option.type.removeprefix("a "), default, meaning]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    write_file(PAGE, reference_page())
    log(f"{PAGE.relative_to(ROOT)} written")
