"""The configurations in configs/corpora/, each with a small imitation of its data set."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml

from common.cli import parse
from comparison import Comparison
from data_prep.corpus import Corpus

from .hub_server import HubServer

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs" / "corpora").glob("*.yaml"))
COUNTS = {"train": 1500, "validation": 30, "test": 40}  # documents of the imitations


def rows(split: str, **columns: object) -> bytes:
    """A Parquet file of the documents of a split, with the same value of a column in all."""
    texts = [f" {split} {i} = \n" for i in range(COUNTS[split])]
    table = pyarrow.table({"text": texts} | {name: [value] * len(texts) for name, value in columns.items()})
    written = io.BytesIO()
    pyarrow.parquet.write_table(table, written)
    return written.getvalue()


def readme(**configurations: dict[str, str]) -> bytes:
    """The head of a README.md: for each configuration its splits, and the pattern of their files."""
    configs = [
        {
            "config_name": name.replace("_", "-"),
            "data_files": [{"split": split, "path": path} for split, path in splits.items()],
        }
        for name, splits in configurations.items()
    ]
    return f"---\n{yaml.safe_dump({'configs': configs})}---\n".encode()


TINYSTORIES = {
    "README.md": readme(default={"train": "data/train-*", "validation": "data/validation-*"}),
    "data/train-00000-of-00001-2d5a1467fff1081b.parquet": rows("train"),
    "data/validation-00000-of-00001-869c898b519ad725.parquet": rows("validation"),
    "TinyStories-train.txt": b"another form of the same",
    "TinyStories_all_data.tar.gz": b"and another",
}
WIKITEXT = {
    "README.md": readme(
        wikitext_103_raw_v1={split: f"wikitext-103-raw-v1/{split}-*" for split in COUNTS},
        wikitext_2_raw_v1={split: f"wikitext-2-raw-v1/{split}-*" for split in COUNTS},
    ),
    **{f"wikitext-103-raw-v1/{split}-00000-of-00001.parquet": rows(split) for split in COUNTS},
    **{f"wikitext-2-raw-v1/{split}-00000-of-00001.parquet": b"not this" for split in COUNTS},
}
FINEWEB = {
    "README.md": readme(default={"train": "data/*/*"}, sample_10BT={"train": "sample/10BT/*"}),
    "data/CC-MAIN-2024-10/train-00000-of-00001.parquet": b"not this",
    "sample/10BT/000_00000.parquet": rows(
        "train", id="<urn:uuid:1>", dump="CC-MAIN-2024-10", url="https://a.org/", language="en", score=3.5
    ),
}
IMITATIONS = {
    "tinystories": ("roneneldan/TinyStories", TINYSTORIES),
    "wikitext-103": ("Salesforce/wikitext", WIKITEXT),
    "fineweb-edu": ("HuggingFaceFW/fineweb-edu", FINEWEB),
}


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_ready_corpus_is_given_beside_a_comparison(file: Path) -> None:
    given = ["configs/shakespeare.yaml", "--config", str(file), "--name", file.stem]
    comparison = parse(Comparison, given)
    assert comparison.name == file.stem
    assert comparison.corpus.source != "shakespeare"
    assert comparison.tokenizers == parse(Comparison, given[:1]).tokenizers


@pytest.mark.parametrize("name", [file.stem for file in FILES if file.stem in IMITATIONS])
def test_a_ready_corpus_of_the_hub(name: str, tmp_path: Path, run_python: Callable) -> None:
    data_set, files = IMITATIONS[name]
    command = ("-m", "data_prep.corpus", f"configs/corpora/{name}.yaml", "--out", tmp_path / "corpus")
    with HubServer() as hub:
        hub.add(data_set, files)
        done = run_python(*command, **hub.environment(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    corpus = Corpus(tmp_path / "corpus")
    counts = {split: counts["documents"] for split, counts in corpus.manifest["splits"].items()}
    if name == "wikitext-103":
        assert counts == {"train": 1500, "val": 30, "test": 40}
    elif name == "tinystories":
        assert list(corpus.texts("test")) == [f" validation {i} = \n" for i in range(30)]
        assert counts["train"] + counts["val"] == 1500 and 5 <= counts["val"] <= 30
    else:
        assert sum(counts.values()) == 1500 and counts["val"] > 0 < counts["test"]
        assert corpus.categories("train") == {"language": ["en"] * counts["train"]}


@pytest.mark.parametrize("name", [file.stem for file in FILES if file.stem not in IMITATIONS])
def test_a_ready_corpus_that_is_split_in_order(name: str, tmp_path: Path, run_python: Callable) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefgh", k=draw.randrange(1, 9))) for _ in range(200_000)]
    text = " ".join(words) if name == "text8" else "\n".join(f"<page>é {word}</page>\n" for word in words)
    (tmp_path / name).write_text(text)
    command = ("-m", "data_prep.corpus", f"configs/corpora/{name}.yaml", "--out", tmp_path / "corpus")
    done = run_python(*command, "--corpus.source", f"text:{tmp_path / name}")
    assert done.returncode == 0, done.stderr
    corpus = Corpus(tmp_path / "corpus")
    parts = {split: "".join(corpus.texts(split)) for split in ("train", "val", "test")}
    assert "".join(parts.values()) == text
    for split, share in (("train", 0.9), ("val", 0.05), ("test", 0.05)):
        assert len(parts[split]) / len(text) == pytest.approx(share, abs=0.02)
