"""Token arrays are plain .npy files that any tool can read, and that are checked when they are opened."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import data_prep.file_array
import data_prep.parts
import data_prep.row_groups
from common.files import sha256_file
from data_prep.arrays import DOCUMENT, FORMAT, MARK_CHARS, ArrayWriter, Split, TokenArrays, narrowest_dtype
from data_prep.corpus import SPLITS, Corpus, make_corpus
from data_prep.encode import make_arrays
from data_prep.row_groups import mark_tokens
from tokenizers import load_tokenizer, train_tokenizer

SPECS = ["byte", "char", "unigram-400", "spbpe-400", "bpe-300"]


@pytest.fixture(params=SPECS)
def folder(request: pytest.FixtureRequest, tiny_arrays: Callable[[str], Path]) -> Path:
    """The arrays of the small corpus, for each tokenizer in turn; must not be changed."""
    return tiny_arrays(request.param)


@pytest.fixture
def copy(tiny_arrays: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of some arrays that a test may damage."""
    return shutil.copytree(tiny_arrays("bpe-300"), tmp_path / "copy")


@pytest.fixture(scope="module")
def shards(tiny_corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> TokenArrays:
    """Arrays of the same text with several shards per split."""
    folder = tmp_path_factory.mktemp("shards")
    config = data_prep.corpus.CorpusConfig(**tiny_corpus.manifest["config"])
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(data_prep.parts, "ROW_GROUP_CHARS", 3_000)
        monkeypatch.setattr(data_prep.parts, "SHARD_CHARS", 9_000)
        corpus = make_corpus(config, folder / "corpus")
    return make_arrays(corpus, train_tokenizer("bpe-300", corpus.texts("train")), folder / "bpe-300")


# ---- the layout


def test_a_file_is_eot_then_each_document_followed_by_eot(folder: Path, tiny_corpus: Corpus) -> None:
    tokenizer = load_tokenizer(folder / "tokenizer")
    for split in SPLITS:
        expected = [tokenizer.eot]
        for text in tiny_corpus.texts(split):
            expected += [*tokenizer.encode(text).tolist(), tokenizer.eot]
        assert np.load(folder / f"{split}-00000.tokens.npy").tolist() == expected


def test_the_table_has_the_start_characters_and_bytes_of_each_document(
    folder: Path, tiny_corpus: Corpus
) -> None:
    tokenizer = load_tokenizer(folder / "tokenizer")
    for split in SPLITS:
        tokens = np.load(folder / f"{split}-00000.tokens.npy")
        table = np.load(folder / f"{split}-00000.documents.npy")
        assert table.dtype.names == ("start", "chars", "bytes")
        texts = list(tiny_corpus.texts(split))
        assert table["chars"].tolist() == [len(text) for text in texts]
        assert table["bytes"].tolist() == [len(text.encode()) for text in texts]
        ends = np.flatnonzero(tokens == tokenizer.eot)[1:]
        assert table["start"].tolist() == [1, *(ends[:-1] + 1)]
        for text, start, end in zip(texts, table["start"], ends, strict=True):
            assert tokenizer.decode(tokens[start:end]) == text


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [
        (1, "uint8"),
        (256, "uint8"),
        (257, "uint16"),
        (65_536, "uint16"),
        (65_537, "uint32"),
        (200_019, "uint32"),
    ],
)
def test_the_dtype_is_the_narrowest_for_all_ids(vocab_size: int, dtype: str) -> None:
    assert narrowest_dtype(vocab_size) == np.dtype(dtype)


def test_the_manifest_describes_the_arrays(folder: Path, tiny_corpus: Corpus) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    tokenizer = load_tokenizer(folder / "tokenizer")
    assert manifest["vocab_size"] == tokenizer.vocab_size
    assert manifest["eot"] == tokenizer.eot
    assert manifest["tokenizer"] == tokenizer.spec == folder.name
    assert manifest["tokenizer_fingerprint"] == tokenizer.fingerprint
    assert manifest["corpus_fingerprint"] == tiny_corpus.fingerprint
    for split in SPLITS:
        tokens = np.load(folder / f"{split}-00000.tokens.npy")
        counts = tiny_corpus.manifest["splits"][split]
        assert manifest["splits"][split] == {
            "documents": counts["documents"],
            "chars": counts["chars"],
            "bytes": counts["bytes"],
            "tokens": int((tokens != tokenizer.eot).sum()),
            "lossy_documents": 0,
            "text_sha256": counts["sha256"],
        }
        assert str(tokens.dtype) == manifest["dtype"]


def test_the_manifest_has_the_size_and_hash_of_every_file(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {
        path.name: {"size": path.stat().st_size, "sha256": sha256_file(path)} for path in folder.glob("*.npy")
    }


# ---- writing piece by piece


@given(
    dtype=st.sampled_from([np.uint8, np.uint16, np.uint32]),
    data=st.data(),
)
def test_numpy_loads_what_was_written_in_pieces(
    dtype: type, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pieces = data.draw(st.lists(hnp.arrays(dtype, st.integers(0, 40)), max_size=8))
    path = tmp_path_factory.getbasetemp() / "pieces.npy"
    writer = ArrayWriter(path, np.dtype(dtype))
    for piece in pieces:
        writer.write(piece.astype(np.int64))
    writer.close()
    for mode in (None, "r"):
        loaded = np.load(path, mmap_mode=mode)
        assert loaded.dtype == dtype
        assert loaded.tolist() == [value for piece in pieces for value in piece.tolist()]


def test_a_header_has_room_for_any_length(tmp_path: Path) -> None:
    """The final header is written over the first one, in which the length is 0."""
    lengths = set()
    for length in (0, 9, 10**6, 10**15):
        writer = ArrayWriter(tmp_path / "x.npy", np.dtype(np.uint8))
        before = writer.file.tell()
        writer.length = length
        writer.close()
        lengths |= {before, (tmp_path / "x.npy").stat().st_size}
    assert len(lengths) == 1


# ---- reading


def test_every_document_is_between_two_eot(folder: Path, tiny_corpus: Corpus) -> None:
    tokenizer = load_tokenizer(folder / "tokenizer")
    for name in SPLITS:
        split = TokenArrays(folder).split(name)
        sequences = split.sequences()
        assert [tokenizer.decode(sequence[1:-1]) for sequence in sequences] == list(tiny_corpus.texts(name))
        assert {int(i) for sequence in sequences for i in sequence[[0, -1]]} == {tokenizer.eot}


def test_a_split_counts_documents_tokens_characters_and_bytes(folder: Path, tiny_corpus: Corpus) -> None:
    for name in SPLITS:
        split, texts = TokenArrays(folder).split(name), list(tiny_corpus.texts(name))
        assert split.documents == len(texts)
        assert split.chars == sum(map(len, texts)) == split.document_chars().sum()
        assert split.bytes == sum(len(text.encode()) for text in texts) == split.document_bytes().sum()
        assert split.tokens + split.documents == split.length
        assert split.chars_per_token == split.chars / split.tokens


def test_arrays_are_memory_mapped_not_read(folder: Path) -> None:
    assert all(isinstance(shard, np.memmap) for shard in TokenArrays(folder).split("train").shards())


def test_shards_have_the_same_documents_as_one_file(
    shards: TokenArrays, tiny_arrays: Callable[[str], Path]
) -> None:
    whole = TokenArrays(tiny_arrays("bpe-300"))
    for name in SPLITS:
        one, several = whole.split(name), shards.split(name)
        assert len(one.paths) == 1 < len(several.paths)
        assert several.documents == one.documents and several.tokens == one.tokens
        assert [s.tolist() for s in several.sequences()] == [s.tolist() for s in one.sequences()]
        assert several.document_chars().tolist() == one.document_chars().tolist()
        assert several.document_bytes().tolist() == one.document_bytes().tolist()


def test_every_shard_starts_and_ends_with_eot(shards: TokenArrays) -> None:
    for shard in shards.split("train").shards():
        assert shard[0] == shard[-1] == shards.eot


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """A split of two shards, a circle of 10 tokens. Each token but a shard's last eot is its position."""
    folder = tmp_path_factory.mktemp("numbered")
    for shard, tokens in enumerate(([0, 1, 2, 3, 99], [4, 5, 6, 7, 8, 9, 99])):
        np.save(folder / f"train-{shard:05}.tokens.npy", np.array(tokens, dtype=np.uint8))
        np.save(folder / f"train-{shard:05}.documents.npy", np.zeros(1, dtype=[("start", int)]))
        np.save(folder / f"train-{shard:05}.marks.npy", np.array([1, 3, 3], dtype=np.uint32))
    counts = {"documents": 2, "chars": 1, "bytes": 1, "tokens": 1, "lossy_documents": 0, "text_sha256": ""}
    return Split(folder, "train", counts)


@given(st.integers(0, 9), st.integers(1, 35))
def test_a_crop_continues_across_shards_and_from_the_end_to_the_beginning(
    numbered: Split, start: int, length: int
) -> None:
    assert numbered.length == 10
    assert numbered.crops(np.array([start]), length)[0].tolist() == [(start + i) % 10 for i in range(length)]


MANY = """
import os, sys
from pathlib import Path
import numpy as np
from data_prep.arrays import TokenArrays

split = TokenArrays(Path(sys.argv[1])).split("train")
starts = np.arange(0, split.length, 7)
crops = split.crops(starts, 11)
assert (crops == (starts[:, None] + np.arange(11)) % split.length % 256).all()
marks = np.random.default_rng(0).permutation(split.places)
assert (split.token_before(marks) == 4 * marks).all()
print(len(os.listdir("/proc/self/fd")), "tables" in vars(split))
"""


@pytest.mark.extended
def test_five_thousand_shards_are_read_with_a_hundred_open_files(tmp_path: Path) -> None:
    shards, files = 5000, {}
    for shard in range(shards):
        arrays = {
            "tokens": np.arange(4 * shard, 4 * shard + 5).astype(np.uint8),
            "documents": np.array([(1, 32, 32)], dtype=DOCUMENT),
            "marks": np.array([1], dtype=np.uint32),
        }
        for kind, array in arrays.items():
            np.save(path := tmp_path / f"train-{shard:05}.{kind}.npy", array)
            files[path.name] = {"size": path.stat().st_size}
    train = {"documents": shards, "chars": 32 * shards, "bytes": 32 * shards, "tokens": 3 * shards}
    manifest = {"format": FORMAT, "tokenizer": "x", "vocab_size": 256, "eot": 0, "dtype": "uint8"}
    manifest |= {"splits": {"train": train | {"lossy_documents": 0, "text_sha256": ""}}, "files": files}
    manifest |= {"corpus_fingerprint": "", "tokenizer_fingerprint": ""}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    limit = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh"]
    done = subprocess.run([*limit, sys.executable, "-c", MANY, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    descriptors, tables = done.stdout.split()
    assert int(descriptors) < 100 and tables == "False"  # 24 bytes per document, which training does not need


def test_a_file_that_is_replaced_is_not_read_further(copy: Path) -> None:
    """A file may have to be opened again, however long ago the arrays were opened."""
    split = TokenArrays(copy).split("train")
    before = split.crops(np.array([5]), 20)
    shutil.copy(copy / "train-00000.tokens.npy", copy / "new")
    (copy / "new").rename(copy / "train-00000.tokens.npy")
    assert (split.crops(np.array([5]), 20) == before).all()  # it is still open
    data_prep.file_array._open.cache_clear()
    with pytest.raises(OSError, match="was changed or deleted while it was in use"):
        split.crops(np.array([5]), 20)
    (copy / "train-00000.tokens.npy").unlink()
    with pytest.raises(OSError, match="was changed or deleted"):
        split.crops(np.array([5]), 20)


def test_a_mark_leads_to_the_token_before_the_one_with_its_character(numbered: Split) -> None:
    assert numbered.places == 6
    assert numbered.token_before(np.array([0, 1, 2, 3, 4, 5])).tolist() == [0, 2, 2, 4, 6, 6]


@pytest.mark.parametrize("spec", ["byte", "char", "bpe-300", "spbpe-420", "unigram-420"])
def test_marks_are_the_same_positions_in_the_text_for_every_tokenizer(
    tiny_arrays: Callable[[str], Path], tiny_corpus: Corpus, spec: str
) -> None:
    tokenizer = load_tokenizer(tiny_arrays(spec) / "tokenizer")
    for name in SPLITS:
        split = TokenArrays(tiny_arrays(spec)).split(name)
        text = "".join(tiny_corpus.texts(name))
        circle = split.crops(np.array([0]), split.length)[0]
        assert split.places == -(-len(text) // MARK_CHARS)
        for mark, before in enumerate(split.token_before(np.arange(split.places)).tolist()):
            up_to = tokenizer.decode_bytes(circle[: before + 1])
            with_it = up_to + tokenizer.decode_bytes(circle[before + 1 : before + 2])
            character = text[: mark * MARK_CHARS].encode()
            assert len(up_to) <= len(character) < len(with_it)


@pytest.mark.parametrize("lost", [0, 3])
def test_marks_do_not_depend_on_the_pieces_in_which_tokens_are_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    tokenizer = load_tokenizer(folder / "tokenizer")
    tokens, table = (np.load(folder / f"val-00000.{kind}.npy") for kind in ("tokens", "documents"))
    table["start"] -= 1
    table["chars"] += lost  # then positions are scaled
    at_once = mark_tokens(tokens[1:], table, tokenizer)
    monkeypatch.setattr(data_prep.row_groups, "PIECE", 7)
    assert np.array_equal(mark_tokens(tokens[1:], table, tokenizer), at_once)
    assert lost or np.array_equal(at_once + 1, np.load(folder / "val-00000.marks.npy"))


# ---- arrays that do not match the manifest


def refusal(folder: Path, verify: bool = False) -> str:
    with pytest.raises(ValueError) as caught:
        TokenArrays(folder, verify)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["train-00000.tokens.npy", "test-00000.documents.npy"])
@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_file_cut_short_is_refused(copy: Path, name: str, kept: int) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(copy)
    assert str(path) in message and "in the manifest" in message


def test_a_file_that_is_longer_is_refused(copy: Path) -> None:
    path = copy / "val-00000.tokens.npy"
    path.write_bytes(path.read_bytes() + b"\0")
    assert str(path) in refusal(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "val-00000.tokens.npy").unlink()
    assert f"{copy / 'val-00000.tokens.npy'} is missing" in refusal(copy)


def test_a_renamed_file_is_refused(copy: Path) -> None:
    (copy / "val-00000.tokens.npy").rename(copy / "val-00001.tokens.npy")
    assert "val-0000" in refusal(copy)


def test_an_additional_file_is_refused(copy: Path) -> None:
    shutil.copy(copy / "val-00000.tokens.npy", copy / "train-00001.tokens.npy")
    assert "train-00001.tokens.npy is not in the manifest" in refusal(copy)


def test_two_swapped_files_are_refused(copy: Path) -> None:
    (copy / "val-00000.tokens.npy").rename(copy / "x")
    (copy / "test-00000.tokens.npy").rename(copy / "val-00000.tokens.npy")
    (copy / "x").rename(copy / "test-00000.tokens.npy")
    assert "in the manifest" in refusal(copy)


@pytest.mark.parametrize("other", ["byte", "unigram-400"])
def test_the_file_of_another_tokenizer_is_refused(
    copy: Path, other: str, tiny_arrays: Callable[[str], Path]
) -> None:
    shutil.copy(tiny_arrays(other) / "train-00000.tokens.npy", copy)
    assert str(copy / "train-00000.tokens.npy") in refusal(copy)


def test_the_manifest_of_another_tokenizer_is_refused(copy: Path, tiny_arrays: Callable[[str], Path]) -> None:
    shutil.copy(tiny_arrays("spbpe-400") / "manifest.json", copy)
    assert str(copy) in refusal(copy)


def test_a_file_of_the_same_size_and_another_type_is_refused(copy: Path) -> None:
    path = copy / "train-00000.tokens.npy"
    tokens = np.load(path)
    np.save(path, tokens.view(np.int16))
    assert "int16" in refusal(copy)


def test_a_file_of_the_same_size_that_is_not_an_array_is_refused(copy: Path) -> None:
    path = copy / "train-00000.tokens.npy"
    path.write_bytes(b"x" * path.stat().st_size)
    assert str(path) in refusal(copy)


@pytest.mark.parametrize("name", ["train-00000.tokens.npy", "test-00000.documents.npy"])
def test_a_flipped_bit_is_found_by_verify(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    TokenArrays(copy)
    assert f"{copy / name} does not match its SHA-256" in refusal(copy, verify=True)


def test_intact_arrays_pass_verify(folder: Path) -> None:
    TokenArrays(folder, verify=True)


def test_arrays_of_another_format_are_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    assert "format 99" in refusal(copy)


def test_a_manifest_of_another_kind_is_refused(copy: Path) -> None:
    (copy / "manifest.json").write_text("{}")
    assert str(copy) in refusal(copy)


def test_the_error_for_a_folder_without_arrays_says_how_to_make_them(tmp_path: Path) -> None:
    assert "python -m data_prep.encode" in refusal(tmp_path)
