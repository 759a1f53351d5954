"""Sources are read in pieces: the documents are those of the whole, and memory use is bounded."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from data_prep.config import CorpusConfig
from data_prep.document import Document
from data_prep.passages import LONGEST_LINE, LONGEST_SHARE, PASSAGE_CHARS
from data_prep.sources import read_documents

BREAKS = st.sampled_from(
    ["\n", "\n\n", "\r\n", "\r", "\n \t\n", "\n\x85\n", "\n\u2028\x1c", " ", "\x0b", "", "\ufeff"]
)


@given(
    parts=st.lists(st.tuples(st.sampled_from(["", "é", "word", "😀" * 30, "x" * 300]), BREAKS), max_size=60),
    scale=st.sampled_from([1, 1, 40]),
    val=st.sampled_from([0.05, 0.3]),
)
@example(parts=[("", "\n")] + [("word", " ")] * 15, scale=1, val=0.05)  # a blank line with nothing before it
def test_the_passages_are_those_that_a_regular_expression_finds_in_the_whole_text(
    parts: list[tuple[str, str]], scale: int, val: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The code reads the file line by line; this test defines the result."""
    text = "".join(word * scale + gap for word, gap in parts)
    longest = max(map(len, text.split("\n")))
    assume(longest < max(LONGEST_LINE, LONGEST_SHARE * len(text)))  # longer lines are cut, too
    path = tmp_path_factory.getbasetemp() / "cut.txt"
    path.write_bytes(text.encode())
    expected, start = [], 0
    size = min(PASSAGE_CHARS, len(text) // 60)
    for gap in re.finditer(r"\n(\s*\n)?|\Z", text):
        end, length = gap.end(), gap.end() - start
        if length and (end == len(text) or length >= (size if gap[1] else 2 * size)):
            done = start / len(text)
            split = "train" if done < 1 - val - 0.1 else "val" if done < 1 - 0.1 else "test"
            expected.append(Document(f"{path}:{start}", text[start:end], split, group="cut.txt"))
            start = end
    assert list(read_documents(CorpusConfig(f"text:{path}", val_fraction=val, test_fraction=0.1))) == expected


PEAK = """
import sys, tracemalloc
import pyarrow.parquet
from data_prep.config import CorpusConfig
from data_prep.sources import read_documents
tracemalloc.start()
for document in read_documents(CorpusConfig(sys.argv[1])): pass
print(tracemalloc.get_traced_memory()[1] + pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("kind", ["text", "jsonl", "one row group", "many row groups"])
def test_a_large_file_is_not_held_in_memory(kind: str, tmp_path: Path, run_python: Callable) -> None:
    path, texts = tmp_path / "large", [f"{i:099}\n" * 20 for i in range(10_000)]
    if kind == "text":
        path.write_text("\n".join(texts))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    else:
        options = {"row_group_size": 100} if kind == "many row groups" else {}
        pyarrow.parquet.write_table(
            pyarrow.table({"text": texts}), path, use_dictionary=False, compression="none", **options
        )
        kind = "parquet"
    assert path.stat().st_size > 20_000_000
    done = run_python("-c", PEAK, f"{kind}:{path}")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 10_000_000
