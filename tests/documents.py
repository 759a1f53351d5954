"""README.md and docs/ as a reader follows them: commands, files that they show, a checkout to try them in."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# A fenced block, or after a blank line an indented one
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$|(?<=\n\n)((?: {4}[^\n]*\n)+)", re.M | re.S)
COMMAND = re.compile(r"\.venv/bin/|make |cp |for \w+ in [^:]*;|sbatch |slurm/|watch |git |[A-Z_]+=\S+ ")
# Commands that only mean something where there is a Slurm cluster; tests/slurm/test_guide.py gives them
ON_A_CLUSTER = re.compile(
    r"\.venv/bin/python (compare\.py (submit|status|cancel)|-m slurm)|sbatch|slurm/sync|sinfo|sacctmgr"
)


@dataclass(frozen=True)
class Block:
    """A block of a page: the language behind its fence, and its text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order. An indented one that begins with a command is of `sh`."""
    found = []
    for _, language, fenced, indented in BLOCK.findall(page.read_text()):
        text = textwrap.dedent(fenced or indented)
        found.append(Block("sh" if indented and COMMAND.match(text) else language, text))
    return found


def commands(page: Path) -> list[str]:
    """The commands of a page in order: the lines of its `sh` blocks without comments, a loop as one."""
    return [command for block in blocks(page) for command in split_commands(block)]


def split_commands(block: Block) -> list[str]:
    """The commands of a block, none if it is not of `sh`."""
    lines, loop = [], ""
    for line in block.text.replace("\\\n", "").splitlines() if block.language == "sh" else []:
        bare = re.sub(r"(^|\s+)#\s.*$", "", line).strip()
        if loop or bare.startswith("for "):
            loop += bare + "\n"
            if bare == "done":
                lines.append(loop)
                loop = ""
        elif bare:
            lines.append(bare)
    return lines


def words_of(command: str) -> list[str] | None:
    """What a command gives Python: a script's path and its options; None if it starts no program of ours."""
    words = shlex.split(command)
    if not words or words[0] not in (".venv/bin/python", ".venv/bin/torchrun"):
        return None
    start = next((i for i, word in enumerate(words) if word == "-m" or word.endswith(".py")), None)
    if start is None:
        return None
    words = words[start:]
    if words[0] == "-m":
        module = words[1].replace(".", "/")
        path = f"{module}/__main__.py" if (ROOT / module).is_dir() else f"{module}.py"
        words = [path, *words[2:]]
    return words if (ROOT / words[0]).is_file() else None


class Checkout:
    """A copy of the repository in which commands run as they stand; its comparisons are made small."""

    def __init__(self, folder: Path) -> None:
        """Copy the repository and a small text into a new folder."""
        self.folder = folder
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / ".venv").symlink_to(sys.prefix)
        self._write_texts()
        for file in (folder / "configs").glob("*.yaml"):
            self.shrink(file)

    def _write_texts(self) -> None:
        """The code and documents of the repository as somebody's texts: 150 files, and all in a database."""
        sources = sorted(self.folder.glob("[a-z]*/*.py")) + sorted(self.folder.glob("docs/*.md"))
        texts = [path.read_text() for path in sources]
        (self.folder / "my" / "folder").mkdir(parents=True)
        for number in range(150):
            part = "\n\n".join(texts[number::150])
            (self.folder / "my" / "folder" / f"{number:03}.txt").write_text(part)
        with closing(sqlite3.connect(self.folder / "my" / "texts.db")) as database, database:
            database.execute("CREATE TABLE documents (text TEXT)")
            database.executemany("INSERT INTO documents VALUES (?)", [(text,) for text in texts])

    def shrink(self, file: Path) -> None:
        """Make a comparison file small: two tokenizers, a tiny model, a few steps on the small text."""
        content = yaml.safe_load(file.read_text())
        content["tokenizers"] = ["byte", "bpe-2048"]
        content["models"] = {
            "gpt": {
                "model": {"kind": "gpt", "n_layer": 1, "n_head": 1, "n_embd": 16},
                "optimizer": {"lr": 1e-3},
            }
        }
        content |= {
            "corpus": {"source": "text:my/folder"},
            "context": {"chars": 64},
            "batch": {"chars": 256},
            "budget": {"steps": 4},
            "seeds": [0],
            "train_chars": 200_000,
        }
        content["tracking"] = {"validations": 1, "val_chars": 1000}
        file.write_text(yaml.safe_dump(content))

    def write(self, block: Block) -> None:
        """Do what a reader does with a block: save a new file that its first line names, or change one."""
        first, _, rest = block.text.partition("\n")
        if block.language == "diff":
            self._change(self.folder / first.removeprefix("+++ "), rest)
        elif (named := re.fullmatch(r"# ([\w./-]+\.(?:py|yaml))", first)) and not (ROOT / named[1]).exists():
            file = self.folder / named[1]
            file.write_text(block.text)
            if file.parent.name == "configs":
                self.shrink(file)

    def _change(self, file: Path, hunks: str) -> None:
        text = file.read_text()
        for hunk in hunks.split("@@\n")[1:]:
            lines = hunk.splitlines()
            old = "".join(line[1:] + "\n" for line in lines if line[:1] != "+")
            new = "".join(line[1:] + "\n" for line in lines if line[:1] != "-")
            assert text.count(old) == 1, f"{file.name} holds this {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        file.write_text(text)

    def run(self, command: str, **environment: str) -> str:
        """Run a command by the shell, from the root of the copy; its output."""
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        variables |= {"HOME": str(home), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
        done = subprocess.run(
            command, shell=True, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout
