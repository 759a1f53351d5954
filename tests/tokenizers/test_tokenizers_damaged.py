"""Damaged copies of published files, in every form that is read."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import fetched
from .damage import FILES

ROOT = Path(__file__).parents[2]
NUMBER = 100  # damaged copies of each file
SIZE = 1500  # tokens that are kept of a file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A published file of each kind, with its first tokens alone."""
    folder = tmp_path_factory.mktemp("whole")
    for kind, (name, _) in FILES.items():
        (folder / kind).mkdir()
        SMALLER[kind](folder / kind / name)
    yield folder
    fetched.remove()


def smaller_json(name: str, path: Path) -> None:
    """Write a tokenizer.json with its first tokens, the merges that give them, and its added tokens."""
    content = json.loads(fetched.tokenizer_json(name).read_bytes())
    model = content["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < SIZE}
    parts = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    model["merges"] = [
        merge
        for merge, halves in zip(model["merges"], parts, strict=True)
        if {*halves, "".join(halves)} <= model["vocab"].keys()
    ]
    added = [token for token in content["added_tokens"] if token["content"] not in model["vocab"]][:20]
    for i, token in enumerate(added, start=SIZE):
        token["id"] = i
    content["added_tokens"] = [t for t in content["added_tokens"] if t["id"] < SIZE + len(added)]
    content["post_processor"] = None
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def smaller_pair(path: Path) -> None:
    """Write GPT-2's vocab.json and merges.txt with their first tokens."""
    source = fetched.npm(fetched.GPT2_FILES)
    vocabulary = json.loads((source / "encoder.json").read_bytes())
    path.write_text(json.dumps({token: i for token, i in vocabulary.items() if i < SIZE}))
    merges = (source / "vocab.bpe").read_text(encoding="utf-8").split("\n")
    (path.parent / "merges.txt").write_text("\n".join(merges[: SIZE - 255]) + "\n", encoding="utf-8")


def smaller_ranks(path: Path) -> None:
    """Write the first of cl100k_base's ranks."""
    source = fetched.pypi(fetched.RANKS) / fetched.LITELLM / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
    path.write_bytes(b"".join(source.read_bytes().splitlines(keepends=True)[:SIZE]))


def smaller_tekken(path: Path) -> None:
    """Write a tekken.json with its first tokens."""
    content = json.loads(fetched.tekken().read_bytes())
    content["vocab"] = content["vocab"][:SIZE]
    content["config"]["default_vocab_size"] = content["config"]["default_num_special_tokens"] + SIZE - 100
    path.write_text(json.dumps(content))


SMALLER = {
    "byte-level": lambda path: smaller_json("gpt2", path),
    "NFC": lambda path: smaller_json("qwen2.5", path),
    "NFKC": lambda path: smaller_json("anthropic", path),
    "two splits": lambda path: smaller_json("deepseek", path),
    "byte fallback": lambda path: smaller_json("gemma", path),
    "wordpiece": lambda path: shutil.copy(fetched.wordpiece_vocabulary(), path),
    "vocabulary and merges": smaller_pair,
    "ranks": smaller_ranks,
    "tekken": smaller_tekken,
    "sentencepiece": lambda path: shutil.copy(fetched.sentencepiece_model("v1"), path),
}


@pytest.mark.extended
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_published_file_is_one_line_or_gives_the_ids_of_its_library(kind: str, whole: Path) -> None:
    """It is never a traceback, a crash, a panic on standard error or a file that takes too long."""
    command = [sys.executable, "-m", "tests.tokenizers.damage", str(whole), kind, str(NUMBER)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    counts = re.fullmatch(r"(\d+) read, (\d+) refused\n", done.stdout)
    assert counts, done.stdout
    assert min(int(counts[1]), int(counts[2])) > 0
