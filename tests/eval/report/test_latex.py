"""table.tex: what it says, and that a real LaTeX sets it on a page."""

import re
import subprocess
from pathlib import Path

import pytest

from eval.report.latex import as_latex
from eval.report.tables import terminal

MODELS = ("compute-1x", "compute-4x", "text-1x", "text-4x")


def row(tokenizer: str, bpc: float = 2.0, model: str = "gpt", **more: object) -> dict:
    return {
        "tokenizer": tokenizer,
        "model": model,
        "seeds": [0, 1, 2],
        "seeds_missing": [],
        "compared": True,
        "may_be_best": True,
        "vocab_size": 16384,
        "chars_per_token": 3.7051,
        "test_chars": 384_822,
        "test_bpc": bpc,
        "test_bpc_low": bpc - 0.06,
        "test_bpc_high": bpc + 0.06,
        "behind_best": 0.0,
        "behind_best_low": 0.0,
        "behind_best_high": 0.0,
        **more,
    }


WORSE = {"may_be_best": False, "behind_best": 0.1, "behind_best_low": 0.05, "behind_best_high": 0.15}
ABOUT = "Context 128 characters, documents alone, window overlap 50 %, 3 seeds, budget 4e+11 FLOPs."


def test_what_may_be_the_best_is_bold_and_numbers_are_those_of_the_terminal():
    rows = [row("bpe-512"), row("char", 2.1, **WORSE)]
    text, shown = as_latex(rows, "tiny", ABOUT), terminal(rows)
    assert r"bpe-\allowbreak{}512 & 16,384 & 3.705 & \textbf{2.0000} & 1.940 -- 2.060 & -- \\" in text
    assert r"char & 16,384 & 3.705 & 2.1000 & 2.040 -- 2.160 & 0.100 (0.050 -- 0.150) \\" in text
    assert "2.0000*" in shown and "2.1000 " in shown and "0.100 (0.050 – 0.150)" in shown


def test_the_caption_says_what_is_measured_under_which_protocol():
    (caption,) = re.findall(
        r"\\caption\{(.*)\}\\label\{tab:my-runs\}", as_latex([row("char")], "my runs", ABOUT)
    )
    assert caption.startswith(
        "my runs: bits per character (bpc) of 384,822 characters of test text. Context 128"
    )
    assert r"50 \%" in caption and caption.endswith("Bold: may be the best of its model.")


def test_with_one_seed_the_caption_claims_nothing():
    once = {"seeds": [0], "may_be_best": False, "behind_best_low": None, "behind_best_high": None}
    text = as_latex([row("char") | once], "tiny", ABOUT)
    assert "Bold" not in text and r"\textbf" not in text and "at once" not in text


def test_rows_that_are_not_compared_yet_say_so():
    missing = {"compared": False, "may_be_best": False, "behind_best": None, "behind_best_low": None}
    text = as_latex(
        [row("char"), row("byte", **missing) | {"seeds": [0], "seeds_missing": [1, 2]}], "t", ABOUT
    )
    assert r"byte & 16,384 & 3.705 & 2.0000 & 1.940 -- 2.060 & not compared & 1/3 \\" in text


SPECIAL = r"a_b%c#d&e~f^g\h{i}$j<k>|l"
LABELS = [SPECIAL, "naïve-Ünïcødé-日本語-▁x-512", "x" * 64, "tiktoken-" * 7, "unigram-16384", "byte"]


def in_latex(folder: Path, table: str) -> str:
    """The log of a document with the table; pages of the usual size, in the usual font."""
    (folder / "table.tex").write_text(table)
    packages = re.findall(r"\\usepackage\{(.*?)\}", table.splitlines()[0])[0]
    (folder / "page.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{{packages}}}"
        + r"\begin{document}\input{table.tex}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    for _ in range(3):  # a longtable knows its widths after the second
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    return (folder / "page.log").read_text(errors="replace")


@pytest.mark.extended
@pytest.mark.parametrize(
    "rows",
    [
        [row("bpe-512"), row("char", 2.1, **WORSE)],
        [row(label, 2.1, **WORSE) for label in LABELS],
        [row(f"unigram-{2**i}", 12.1, model, **WORSE) for model in MODELS for i in range(14)],
        [row(f"bpe-{2**i}", **WORSE) | {"seeds": [0], "seeds_missing": [1]} for i in range(20)],
        [row("x" * 64, 2.1, model, **WORSE) for model in MODELS for i in range(3)],
        [row("a", 2.1, "a-model-with-a-long-name-日_x", **WORSE), row("a", 2.0, "other")],
    ],
    ids=["two", "labels", "14 rows of 4 models", "partial", "long labels", "models"],
)
def test_a_real_latex_sets_it_within_the_page(tmp_path, rows):
    log = in_latex(tmp_path, as_latex(rows, "tiny_1é日", ABOUT))
    assert not re.findall(r"Overfull.*|.*too large.*|LaTeX Warning.*(?:changed|undefined).*", log)
    assert "Output written on page.pdf" in log
