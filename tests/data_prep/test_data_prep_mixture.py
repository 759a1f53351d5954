"""Mixtures: several sources, each with its share of the characters."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data_prep.sources
from data_prep.config import CorpusConfig, Part
from data_prep.corpus import Corpus, make_corpus
from data_prep.parts import SPLITS
from data_prep.selection import BEYOND_SHARE


def write(path: Path, documents: int, length: int, seed: int = 0) -> str:
    draw = random.Random(f"{seed} {path.name}")
    texts = ["".join(draw.choices("abcdef ", k=draw.randint(1, 2 * length))) for _ in range(documents)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return f"jsonl:{path}"


def shares(corpus: Corpus, split: str = "train") -> dict[str | None, float]:
    """The share of the characters of each domain."""
    chars: dict[str | None, int] = {}
    for domain, text in zip(corpus.categories(split)["domain"], corpus.texts(split), strict=True):
        chars[domain] = chars.get(domain, 0) + len(text)
    return {domain: count / sum(chars.values()) for domain, count in chars.items()}


def mixture(**parts: Part) -> CorpusConfig:
    return CorpusConfig("mixture", mixture=parts, val_fraction=0.2, test_fraction=0.2)


@settings(max_examples=15)
@given(
    weights=st.lists(st.floats(0.05, 1), min_size=2, max_size=4),
    sizes=st.lists(st.integers(2_000, 5_000), min_size=4, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_each_source_has_its_share_within_one_percent(
    weights: list[float], sizes: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mixture")
    parts = {
        f"source{i}": Part(write(folder / f"{i}.jsonl", sizes[i], 30, seed), weight=weight)
        for i, weight in enumerate(weights)
    }
    corpus = make_corpus(mixture(**parts), folder / "corpus", processes=1)
    for name, part in parts.items():
        assert shares(corpus)[name] == pytest.approx(part.weight / sum(weights), rel=0.01)


def test_the_scarcest_source_is_used_whole(tmp_path: Path) -> None:
    config = mixture(
        rare=Part(write(tmp_path / "rare.jsonl", 500, 100), weight=1),
        common=Part(write(tmp_path / "common.jsonl", 9000, 100), weight=3),
    )
    corpus = make_corpus(config, tmp_path / "corpus")
    alone = make_corpus(
        CorpusConfig(config.mixture["rare"].source, val_fraction=0.2, test_fraction=0.2), tmp_path / "rare"
    )
    for split in SPLITS:
        of_rare = [
            text
            for domain, text in zip(corpus.categories(split)["domain"], corpus.texts(split), strict=True)
            if domain == "rare"
        ]
        assert of_rare == list(alone.texts(split))
        assert shares(corpus, split)["rare"] == pytest.approx(0.25, rel=0.05)
    kept = sum(len(corpus.ids(split)) for split in SPLITS)
    assert corpus.left_out[BEYOND_SHARE][0] == 9500 - kept


def test_a_mixture_does_not_depend_on_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_prep.sources, "UNIT_BYTES", 10_000)
    for name in "abcdef":
        write(tmp_path / f"{name}.jsonl", 400, 50)
    config = mixture(
        one=Part(f"jsonl:{tmp_path}/[abcd].jsonl"), two=Part(f"jsonl:{tmp_path}/[ef].jsonl", weight=0.1)
    )
    made = [make_corpus(config, tmp_path / str(n), processes=n).manifest for n in (1, 2, 3)]
    assert made[0] == made[1] == made[2]


def test_documents_of_a_mixture_are_drawn_evenly(tmp_path: Path) -> None:
    """Not the first ones of a source."""
    config = mixture(
        rare=Part(write(tmp_path / "rare.jsonl", 1000, 50)),
        common=Part(write(tmp_path / "common.jsonl", 10_000, 50)),
    )
    corpus = make_corpus(config, tmp_path / "corpus")
    lines = [int(id_.split(":")[-1]) for id_ in corpus.ids("train") if "common" in id_]
    assert sum(line > 5000 for line in lines) / len(lines) == pytest.approx(0.5, abs=0.06)


def test_groups_of_different_sources_are_different_groups(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same.txt").write_text(
            "".join(f"{name} line {i} of a text\n" for i in range(3000))
        )
    config = mixture(
        one=Part(f"text:{tmp_path}/one", document="line"),
        two=Part(f"text:{tmp_path}/two", document="passage"),
    )
    with pytest.raises(ValueError, match=r"corpus\.mixture\.one: no document falls into the .* split"):
        make_corpus(config, tmp_path / "corpus")  # all its lines are one group
    config = mixture(one=Part(f"text:{tmp_path}/one"), two=Part(f"text:{tmp_path}/two"))
    corpus = make_corpus(config, tmp_path / "corpus")
    clusters = corpus.clusters("test")
    assert clusters is not None and clusters.max() == 1


def test_long_documents_that_cannot_be_mixed_are_refused(tmp_path: Path) -> None:
    config = mixture(
        few=Part(write(tmp_path / "few.jsonl", 40, 4000), weight=1),
        many=Part(write(tmp_path / "many.jsonl", 2000, 10), weight=1),
    )
    with pytest.raises(ValueError, match=r"corpus\.mixture\.few would have .* its documents are too long"):
        make_corpus(config, tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"source": "mixture"}, "give both or neither"),
        ({"mixture": {"a": Part("text:x")}}, "give both or neither"),
    ],
)
def test_a_mixture_needs_its_sources(options: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CorpusConfig(**options)


def test_weights_are_above_zero_and_mixtures_are_not_nested() -> None:
    with pytest.raises(ValueError, match="weight 0 must be above 0"):
        Part("text:x", weight=0)
    with pytest.raises(ValueError, match="cannot be a mixture"):
        Part("mixture")
