"""Runs the commands of docs/build-the-gpt.md, in order, in a folder of their own.

    python -m tests.lecture.walk        # and writes what they print, and their figures, into the page

In the page, commands are blocks of `sh`. A block behind one is its output: `text`, in which words and whole
numbers are always the same, or `sample`, which differs between machines.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "build-the-gpt.md"
IMAGES = ROOT / "docs" / "images"
COMMANDS = r"^```sh\n((?:\.venv/bin/python [^\n]*\n)+)```\n"
STEP = re.compile(COMMANDS + r"(?:\n```(text|sample)\n(.*?)^```$)?", re.M | re.S)
SPEED = re.compile(r"[\d,]+ tokens/s, .*")  # the end of a trainer's line; … in the page


@dataclass(frozen=True)
class Step:
    """Some commands of the page, and the output that it shows."""

    commands: list[str]
    kind: str | None
    """text or sample; None: the page shows no output"""
    shown: str


def steps() -> list[Step]:
    """The steps of the page, in order."""
    found = STEP.finditer(PAGE.read_text())
    return [Step(m[1].replace(".venv/bin/python ", "").splitlines(), m[2], m[3] or "") for m in found]


def run_steps(folder: Path) -> Iterator[tuple[Step, str]]:
    """Every step with what it prints, run in an empty folder that gets links to the code."""
    link_code(folder)
    for step in steps():
        yield step, run_step(step, folder)


def link_code(folder: Path) -> None:
    """Let commands run in `folder` as from the root of the repository, and write there."""
    for path in ROOT.iterdir():
        if path.name not in ("out", ".git", "wandb"):
            (folder / path.name).symlink_to(path)


def run_step(step: Step, folder: Path) -> str:
    """What the commands of a step print."""
    printed = ""
    for command in step.commands:
        words = [sys.executable, *shlex.split(command, comments=True)]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed += done.stdout
    return "".join(line.rstrip() + "\n" for line in printed.strip("\n").split("\n"))


def write_page(outputs: list[str], folder: Path) -> None:
    """Put what each step printed, and the figures in `folder`, in place of what the page shows."""
    remaining = iter(outputs)

    def fresh(match: re.Match) -> str:
        printed = SPEED.sub("…", next(remaining))
        commands = f"```sh\n{match[1]}```\n"
        return f"{commands}\n```{match[2]}\n{printed}```" if match[2] else match[0]

    PAGE.write_text(STEP.sub(fresh, PAGE.read_text()))
    for figure in folder.glob("out/lecture/*.png"):
        shutil.copy(figure, IMAGES / f"lecture_{figure.name}")


def differences(shown: str, printed: str) -> list[str]:
    """The lines that differ: in a word, a whole number, or by more than 3 % and 0.02 in another number.

    Sampled text (`| `) and speeds are passed over.
    """
    pages = [[line for line in text.splitlines() if not line.startswith("| ")] for text in (shown, printed)]
    if len(pages[0]) != len(pages[1]):
        return [f"{len(pages[0])} lines in the page, {len(pages[1])} printed"]
    return [f"{a} != {b}" for a, b in zip(*pages, strict=True) if not alike(a, b)]


def alike(shown: str, printed: str) -> bool:
    """Whether a printed line says the same as the one in the page."""
    words, others = (re.split(r"(-?\d+\.\d+)", SPEED.sub("…", line)) for line in (shown, printed))
    if [word.split() for word in words[::2]] != [word.split() for word in others[::2]]:
        return False
    numbers = [(float(a), float(b)) for a, b in zip(words[1::2], others[1::2], strict=True)]
    return all(abs(a - b) <= 0.02 + 0.03 * abs(a) for a, b in numbers)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        outputs = []
        for step, printed in run_steps(Path(name)):
            print(*step.commands, "", printed, sep="\n", flush=True)
            outputs.append(printed)
        write_page(outputs, Path(name))
