"""compare.py with further test texts: they are scored without training again."""

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from common.files import read_json
from comparison import load_comparison
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from eval.evaluate import Evaluation, Text, evaluate_run
from model.scoring import score
from slurm.cluster import Cluster
from slurm.graph import stages
from tests.test_compare import BIGRAM, SILENT, compare, comparison_of, snapshot
from tokenizers import load_tokenizer
from training.run import open_run

pytestmark = pytest.mark.extended

RUNS = ("char/bigram/seed0", "bpe-300/bigram/seed0")


def write(path: Path, comparison: dict) -> Path:
    """Write a comparison file, with texts in their order."""
    path.write_text(yaml.safe_dump(comparison, sort_keys=False))
    return path


def write_texts(folder: Path) -> None:
    """Write poems to a text file, and news to rows."""
    draw = random.Random(0)
    words = "moon light silver thé ξένος night sea shore stone rose wind".split()
    lines = [" ".join(draw.choices(words, k=6)) + "\n" + "\n" * (i % 5 == 4) for i in range(200)]
    (folder / "poems.txt").write_text("".join(lines))
    rows = [{"body": " ".join(draw.choices(words, k=40)).upper()} for _ in range(12)]
    (folder / "news.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def texts_of(folder: Path) -> dict:
    """The texts, as a comparison file names them."""
    news = {"source": f"jsonl:{folder}/news.jsonl", "text_column": "body"}
    return {"poems": f"text:{folder}/poems.txt", "news": news}


@pytest.fixture(scope="module")
def scored(tiny_source, tmp_path_factory) -> tuple[Path, dict, str]:
    """The file of a comparison that was finished before two texts were added, its checkpoints before, and the
    output of the second call."""
    folder = tmp_path_factory.mktemp("texts")
    content = comparison_of(tiny_source, folder) | SILENT | {"models": BIGRAM, "context": {"tokens": 24}}
    file = write(folder / "tiny.yaml", content)
    result = compare(file)
    assert result.returncode == 0, result.stderr
    before = checkpoints(folder / "tiny")
    write_texts(folder)
    write(file, content | {"evaluate": texts_of(folder)})
    result = compare(file)
    assert result.returncode == 0, result.stderr
    return file, before, result.stdout


def checkpoints(folder: Path) -> dict[str, float]:
    """The files of all checkpoints, and the results on the test split, with their times."""
    found = [*folder.glob("runs/*/*/*/checkpoints/*/*"), *folder.glob("runs/*/*/*/result.json")]
    return {str(path.relative_to(folder)): path.stat().st_mtime for path in found}


def run_folder(file: Path, run: str) -> Path:
    return file.with_suffix("") / "runs" / run


def test_texts_that_are_added_later_are_scored_without_training(scored):
    file, before, output = scored
    assert checkpoints(file.with_suffix("")) == before and len(before) > 4
    for title in RUNS:
        pattern = rf"^{title}: [\d.]+ bits per character on poems, [\d.]+ on news"
        assert re.search(pattern, output, re.MULTILINE)
        for text in ("poems", "news"):
            found = {path.name for path in (run_folder(file, title) / "texts" / text).iterdir()}
            assert found == {"result.json", "documents.parquet", "token_bits.npy"}


def test_all_documents_of_a_text_are_its_test_split(scored):
    folder = scored[0].with_suffix("")
    for text, documents in (("poems", 12), ("news", 12)):
        corpus = Corpus(folder / "texts" / text / "corpus")
        splits = corpus.manifest["splits"]
        assert splits["test"]["documents"] >= documents
        assert splits["train"]["documents"] == splits["val"]["documents"] == 0
        arrays = TokenArrays(folder / "texts" / text / "data" / "char", verify=True)
        assert arrays.split("test").chars == splits["test"]["chars"]
        assert arrays.split("train").documents == arrays.split("train").length == 0
        assert not (arrays.folder / "tokenizer").exists()
    poems = "".join(Corpus(folder / "texts" / "poems" / "corpus").texts("test"))
    assert poems == (folder.parent / "poems.txt").read_text()


def test_bits_per_character_are_those_of_the_documents_scored_directly(scored):
    folder = scored[0].with_suffix("")
    texts = list(Corpus(folder / "texts" / "poems" / "corpus").texts("test"))
    for title in RUNS:
        result = read_json(run_folder(scored[0], title) / "texts" / "poems" / "result.json")
        tokenizer = load_tokenizer(folder / "data" / title.partition("/")[0] / "tokenizer")
        eot = tokenizer.eot
        sequences = [np.array([eot, *tokenizer.encode(text), eot]) for text in texts]
        model = open_run(run_folder(scored[0], title)).load_model()
        bits = 0.0
        for sequence in sequences:
            bits += score(model, [sequence], result["stride"])[:-1].sum()
        assert result["test_bpc"] == pytest.approx(bits / sum(map(len, texts)))
        assert result["test_chars"] == sum(map(len, texts)) and result["test_documents"] == len(texts)
        assert result["lossy_documents"] == 0  # `char` writes characters that it lacks as bytes


def test_contexts_that_are_equal_in_tokens_are_matched_on_each_text(scored):
    results = read_json(scored[0].with_suffix("") / "report" / "results.json")
    lengths = {"test": [row["matched_context_chars"] for row in results["rows"]]}
    lengths |= {t: [row["matched_context_chars"] for row in of["rows"]] for t, of in results["texts"].items()}
    for found in lengths.values():
        assert found[0] == pytest.approx(found[1], rel=0.05)
    assert lengths["poems"][0] != pytest.approx(lengths["test"][0], rel=0.001)


def test_the_report_and_the_terminal_have_the_texts(scored):
    file, _, output = scored
    report = file.with_suffix("") / "report"
    page = (report / "report.md").read_text()
    assert page.index("## All results") < page.index("## On other texts") < page.index("## Figures")
    assert "| tokenizer | test | poems | news |" in page and "### poems" in page and "### news" in page
    assert "<h2>On other texts</h2>" in (report / "report.html").read_text()
    results = read_json(report / "results.json")
    for name in ("poems", "news"):
        of = results["texts"][name]
        assert len(of["rows"]) == len(RUNS) == len(of["runs"])
        (ranking,) = of["ranking"]
        assert ranking["tokenizers"] == 2 and ranking["reversed"] == []  # one seed
        assert f"\nOn {name}: Measured lowest: " in output
    begin = output.index("tokenizer  vocab")
    assert max(map(len, output[begin:].splitlines()[:-1])) <= 80


def test_a_second_call_skips_everything_and_status_says_so(scored):
    file, *_ = scored
    before = snapshot(file.with_suffix(""))
    assert "2 of 2 runs are done\n" in compare(file).stdout
    assert snapshot(file.with_suffix("")) == before
    status = compare(file, command="status").stdout
    assert re.search(r"^text +2 done$", status, re.M) and re.search(r"^evaluate +2 done$", status, re.M)


@pytest.fixture
def copied(scored, tmp_path, tiny_source) -> tuple[Path, dict]:
    """The file and the content of a copy of the comparison, whose texts can be changed."""
    subprocess.run(["cp", "-a", str(scored[0].with_suffix("")), str(tmp_path / "tiny")], check=True)
    content = comparison_of(tiny_source, tmp_path) | SILENT
    content |= {"models": BIGRAM, "context": {"tokens": 24}, "evaluate": texts_of(scored[0].parent)}
    return write(tmp_path / "tiny.yaml", content), content


def test_what_is_missing_of_one_text_alone_is_scored(copied):
    file, _ = copied
    lost = run_folder(file, RUNS[0]) / "texts" / "news" / "result.json"
    before = json.loads(lost.read_text())
    lost.unlink()
    status = compare(file, command="status").stdout
    assert re.search(r"^evaluate +1 not submitted, 1 done$", status, re.M)
    plan = compare(file, command="plan")
    assert plan.returncode == 0, plan.stderr
    assert "done      1 run\n" in plan.stdout and "to score  1 run already trained" in plan.stdout
    assert not lost.exists()
    result = compare(file)
    assert result.returncode == 0, result.stderr
    assert "1 of 2 runs are done\n" in result.stdout
    assert re.search(rf"^{RUNS[0]}: [\d.]+ bits per character on news$", result.stdout, re.M)
    after = json.loads(lost.read_text())
    assert after | {"test_seconds": 0} == before | {"test_seconds": 0}


def test_a_text_that_is_removed_keeps_its_files(copied):
    file, content = copied
    before = snapshot(file.with_suffix(""))
    write(file, content | {"evaluate": {"poems": content["evaluate"]["poems"]}})
    result = compare(file)
    assert result.returncode == 0, result.stderr
    assert "2 of 2 runs are done\n" in result.stdout and "On news" not in result.stdout
    after = snapshot(file.with_suffix(""))
    assert {name: after[name] for name in before if name != "comparison.yaml"} == {
        name: found for name, found in before.items() if name != "comparison.yaml"
    }
    assert list(read_json(file.with_suffix("") / "report" / "results.json")["texts"]) == ["poems"]


def test_a_text_with_another_source_is_scored_again_with_replace_alone(copied, scored):
    file, content = copied
    other = file.with_name("other.txt")
    other.write_text((scored[0].parent / "poems.txt").read_text()[::-1])
    write(file, content | {"evaluate": content["evaluate"] | {"poems": f"text:{other}"}})
    before, training = snapshot(file.with_suffix("")), checkpoints(file.with_suffix(""))
    result = compare(file)
    assert result.returncode == 2
    assert "  the text poems and its token arrays (evaluate.poems.source)\n" in result.stdout
    assert "  2 evaluations (evaluate.poems.source)\n" in result.stdout
    assert snapshot(file.with_suffix("")) == before
    result = compare(file, "--replace")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("bits per character on poems") == 2
    assert checkpoints(file.with_suffix("")) == training
    after = snapshot(file.with_suffix(""))
    changed = {name for name in before if after[name] != before[name]} - {"comparison.yaml"}
    assert changed and all(
        "texts/poems/" in name or name.endswith(("train.log", "config.yaml")) for name in changed
    )


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"test": "text:a.txt"}, "evaluate.test: this name stands for the test split: give another name"),
        ({"a/b": "text:a.txt"}, "'a/b' names a folder"),
        ({"a": {"source": "text:a.txt", "text_colum": "x"}}, "unknown key 'evaluate.a.text_colum'"),
        ({"a": "txt:a.txt"}, "unknown corpus source 'txt:a.txt' (did you mean 'text'?)"),
        (
            {"a": {"source": "text:a.txt", "min_length": 0}},
            "codebook: corpus.min_length 0 must be at least 1",
        ),
        ({"a": {"source": "text:a", "min_length": "x"}}, "evaluate.min_length: expected a whole number"),
        ({"a": {"source": "mixture"}}, "evaluate.a: a mixture is not possible"),
        ({"short": "text:{}/short.txt"}, "evaluate.short: the text short is shorter than one context"),
        ({"none": "text:{}/none.txt"}, "no text file at"),
    ],
)
def test_a_text_that_cannot_be_scored_is_refused_in_one_line(copied, texts, says):
    file, content = copied
    (file.parent / "short.txt").write_text("Short.")
    ((name, source),) = texts.items()
    texts = {name: source.format(file.parent) if isinstance(source, str) else source}
    result = compare(write(file, content | {"evaluate": texts}))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert says in line


LATIN = """
class Latin:
    vocab_size = 256

    def encode(self, text):
        return list(text.encode("latin-1", errors="ignore"))

    def decode(self, ids):
        return bytes(ids).decode("latin-1")
"""


def test_a_tokenizer_that_loses_text_of_one_text_is_not_ranked_on_it(copied, tmp_path):
    (tmp_path / "latin.py").write_text(LATIN)
    rows = [{"text": f"Café number {i} of the old harbour town. " * 4} for i in range(200)]
    (tmp_path / "source.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = copied[1] | {"name": "latin", "tokenizers": ["byte", f"python:{tmp_path}/latin.py:Latin"]}
    content["corpus"] = {
        "source": f"jsonl:{tmp_path}/source.jsonl",
        "val_fraction": 0.1,
        "test_fraction": 0.1,
    }
    file = write(tmp_path / "latin.yaml", content)
    result = compare(file)
    assert result.returncode == 2
    assert "evaluate.poems: python:" in result.stderr and "row 0 does not round-trip" in result.stderr
    write(file, content | {"allow_lossy": True})
    result = compare(file)
    assert result.returncode == 0, result.stderr
    assert "is not ranked on it" in result.stdout
    results = read_json(tmp_path / "latin" / "report" / "results.json")
    assert len(results["rows"]) == 2 and not results["lossy_rows"]
    assert [row["tokenizer"] for row in results["texts"]["poems"]["lossy_rows"]] == ["Latin"]


def test_an_evaluation_by_hand_scores_the_texts_it_is_given(scored, tmp_path):
    """Without texts, those that are scored stay."""
    run = tmp_path / "run"
    shutil.copytree(run_folder(scored[0], RUNS[0]), run)
    before = (run / "texts" / "news" / "result.json").read_bytes()
    assert set(evaluate_run(Evaluation(run=run))) == {"test"}
    assert (run / "texts" / "news" / "result.json").read_bytes() == before
    data = scored[0].with_suffix("") / "texts" / "poems" / "data"
    found = evaluate_run(Evaluation(run=run, texts={"other": Text(data=data / "char")}))
    assert found["other"] == read_json(run / "texts" / "other" / "result.json")
    with pytest.raises(ValueError, match="was made with another tokenizer than"):
        evaluate_run(Evaluation(run=run, texts={"wrong": Text(data=data / "bpe-300")}))


def test_on_a_cluster_a_text_is_a_job_before_the_runs_are_prepared(scored):
    comparison = load_comparison(scored[0].with_suffix(""))
    found = {stage.name: stage for stage in stages(comparison, Cluster(), "frozen")}
    assert all(all(stage.done) for stage in found.values())
    assert found["text poems"].needs == {"encode char": "afterok", "encode bpe-300": "afterok"}
    assert found["text poems"].command[1:4] == ["slurm.prepare", "text", "frozen/comparison.yaml"]
    assert found["prepare"].needs["text news"] == "afterok"
