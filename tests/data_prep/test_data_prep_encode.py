"""The stages after the corpus: a tokenizer of its training split, and arrays of all splits."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import data_prep.encode
import data_prep.parts
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus, CorpusConfig, make_corpus, read_texts
from data_prep.encode import Arguments, Encoding, main, make_arrays
from data_prep.row_groups import Shard
from data_prep.tokenizer import make_tokenizer
from tokenizers import Tokenizer, load_tokenizer, train_tokenizer
from tokenizers.simple import ByteTokenizer

ROOT = Path(__file__).parents[2]
SPECS = ["byte", "char", "unigram-400", "spbpe-400", "bpe-300"]


def corpus_of(texts: list[str], folder: Path) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    config = CorpusConfig(f"jsonl:{folder / 'x.jsonl'}", val_fraction=0.2, test_fraction=0.2)
    return make_corpus(config, folder / "corpus")


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """The files below a folder, with their identity, time of writing and content."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in files}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Sixty short documents."""
    return corpus_of([f"document {i}, and some more of it" for i in range(60)], tmp_path / "source")


def files(folder: Path) -> dict[str, bytes]:
    """The arrays and their manifest; checks that nothing else is there, apart from a tokenizer."""
    assert all(path.is_file() or path.name == "tokenizer" for path in folder.iterdir())
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def sharded(tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """The small corpus in several Parquet files per split, each with several row groups."""
    monkeypatch.setattr(data_prep.parts, "ROW_GROUP_CHARS", 5_000)
    monkeypatch.setattr(data_prep.parts, "SHARD_CHARS", 20_000)
    source = tiny_corpus.manifest["config"]["source"]
    return make_corpus(CorpusConfig(source, val_fraction=0.1, test_fraction=0.1), tmp_path / "corpus")


# ---- the tokenizer


@pytest.mark.parametrize("spec", SPECS)
def test_a_tokenizer_is_trained_on_the_training_split_alone(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    made = make_tokenizer(tiny_corpus, spec, tmp_path / "tokenizer")
    on_train = train_tokenizer(spec, tiny_corpus.texts("train"))
    assert made.fingerprint == load_tokenizer(tmp_path / "tokenizer").fingerprint == on_train.fingerprint


def test_characters_that_occur_only_in_held_out_splits_get_no_token(
    tiny_corpus: Corpus, tmp_path: Path
) -> None:
    held_out = {c for split in ("val", "test") for text in tiny_corpus.texts(split) for c in text}
    unseen = held_out.difference(*tiny_corpus.texts("train"))
    assert {"Ω", "м", "\u2581", "\U0001f9ff"} <= unseen
    table = make_tokenizer(tiny_corpus, "char", tmp_path / "tokenizer").token_bytes()
    assert not unseen & {token.decode(errors="replace") for token in table}


def test_an_unchanged_tokenizer_is_not_trained_again(tiny_corpus: Corpus, tmp_path: Path) -> None:
    first = make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    before = state(tmp_path)
    assert make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer").fingerprint == first.fingerprint
    assert state(tmp_path) == before


def test_a_change_of_the_training_text_retrains_the_tokenizer(corpus: Corpus, tmp_path: Path) -> None:
    first = make_tokenizer(corpus, "char", tmp_path / "tokenizer")
    other = corpus_of([f"Dokument {i}: größer" for i in range(60)], tmp_path / "other")
    again = make_tokenizer(other, "char", tmp_path / "tokenizer", replace=True)
    assert again.fingerprint != first.fingerprint
    assert "ß" in load_tokenizer(tmp_path / "tokenizer").characters


def test_another_spec_retrains_the_tokenizer(tiny_corpus: Corpus, tmp_path: Path) -> None:
    make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    with pytest.raises(ValueError, match=r"another tokenizer \(its spec was bpe-300\).*--replace"):
        make_tokenizer(tiny_corpus, "spbpe-400", tmp_path / "tokenizer")
    assert load_tokenizer(tmp_path / "tokenizer").spec == "bpe-300"
    make_tokenizer(tiny_corpus, "spbpe-400", tmp_path / "tokenizer", replace=True)
    assert load_tokenizer(tmp_path / "tokenizer").spec == "spbpe-400"
    assert not (tmp_path / "tokenizer" / "bpe.tiktoken").exists()


@pytest.mark.parametrize("spec", ["bpe-99999", "unigram-99999", "spbpe-5", "bep-300"])
def test_a_tokenizer_is_left_unchanged_if_the_next_one_cannot_be_trained(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    make_tokenizer(tiny_corpus, "bpe-300", tmp_path / "tokenizer")
    before = state(tmp_path)
    with pytest.raises(ValueError, match=spec):
        make_tokenizer(tiny_corpus, spec, tmp_path / "tokenizer", replace=True)
    assert state(tmp_path) == before


@pytest.mark.parametrize("spec", SPECS[1:])
def test_a_damaged_tokenizer_is_retrained(spec: str, tiny_corpus: Corpus, tmp_path: Path) -> None:
    """As the error on loading it says."""
    folder = tmp_path / "tokenizer"
    first = make_tokenizer(tiny_corpus, spec, folder)
    file = next(p for p in folder.iterdir() if p.suffix in (".txt", ".model", ".tiktoken"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match="create the tokenizer again"):
        load_tokenizer(folder)
    assert make_tokenizer(tiny_corpus, spec, folder).fingerprint == first.fingerprint
    assert load_tokenizer(folder).fingerprint == first.fingerprint


def test_a_folder_with_other_content_is_not_replaced(tiny_corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("do not lose this")
    with pytest.raises(ValueError, match=str(tmp_path)):
        make_tokenizer(tiny_corpus, "byte", tmp_path)
    assert (tmp_path / "letter.txt").exists()


# ---- the arrays


def test_unchanged_arrays_are_not_made_again(tiny_arrays: Callable[[str], Path], tiny_corpus: Corpus) -> None:
    folder = tiny_arrays("bpe-300")
    before = state(folder)
    make_arrays(tiny_corpus, load_tokenizer(folder / "tokenizer"), folder)
    assert state(folder) == before


def test_arrays_are_beside_their_tokenizer_and_nothing_else_is_left(
    tiny_arrays: Callable[[str], Path],
) -> None:
    names = [
        f"{split}-00000.{kind}.npy"
        for split in ("train", "val", "test")
        for kind in ("tokens", "documents", "marks")
    ]
    assert sorted(os.listdir(tiny_arrays("bpe-300"))) == sorted([*names, "manifest.json", "tokenizer"])


def test_another_tokenizer_remakes_the_arrays(tiny_corpus: Corpus, tmp_path: Path) -> None:
    for spec in ("byte", "bpe-300"):
        tokenizer = train_tokenizer(spec, tiny_corpus.texts("train"))
        arrays = make_arrays(tiny_corpus, tokenizer, tmp_path)
        assert arrays.fingerprints["tokenizer_fingerprint"] == tokenizer.fingerprint
        first = arrays.split("test").sequences()[0]
        assert tokenizer.decode(first) == next(tiny_corpus.texts("test"))


def test_another_corpus_remakes_the_arrays(corpus: Corpus, tiny_corpus: Corpus, tmp_path: Path) -> None:
    for source in (corpus, tiny_corpus):
        arrays = make_arrays(source, ByteTokenizer(), tmp_path)
        assert arrays.fingerprints["corpus_fingerprint"] == source.fingerprint
        assert arrays.split("train").documents == len(source.ids("train"))


def test_with_fewer_shards_the_old_ones_are_removed(corpus: Corpus, tmp_path: Path) -> None:
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    shutil.copy(tmp_path / "train-00000.tokens.npy", tmp_path / "train-00001.tokens.npy")
    (tmp_path / "manifest.json").unlink()
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    assert not (tmp_path / "train-00001.tokens.npy").exists()


@pytest.mark.parametrize("damage", ["cut short", "missing", "one more"])
def test_damaged_arrays_are_remade(damage: str, corpus: Corpus, tmp_path: Path) -> None:
    """As the error on opening them says."""
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    path = tmp_path / "val-00000.tokens.npy"
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "missing":
        path.unlink()
    else:
        shutil.copy(path, tmp_path / "val-00001.tokens.npy")
    with pytest.raises(ValueError, match="encode it again"):
        TokenArrays(tmp_path)
    make_arrays(corpus, ByteTokenizer(), tmp_path)
    TokenArrays(tmp_path, verify=True)


class Lowering(ByteTokenizer):
    """A tokenizer that loses capital letters."""

    def __init__(self) -> None:
        super().__init__("lowering")

    encode_documents = Tokenizer.encode_documents

    def _encode(self, text: str, utf8: bytes) -> np.ndarray:
        return super()._encode(text.lower(), text.lower().encode())


def test_a_lossy_tokenizer_is_refused_and_the_document_named(tmp_path: Path) -> None:
    texts = [f"document {i}" for i in range(60)]
    rows = list(corpus_of(texts, tmp_path / "a").texts("train"))
    texts[texts.index(rows[3])] = rows[3].upper()
    changed = corpus_of(texts, tmp_path / "b")
    split, row = next(
        (split, list(changed.texts(split)).index(rows[3].upper()))
        for split in ("train", "val", "test")
        if rows[3].upper() in changed.texts(split)
    )
    with pytest.raises(ValueError, match="lowering loses text") as caught:
        make_arrays(changed, Lowering(), tmp_path / "arrays")
    assert f"{changed.files(split)[0]} row {row} " in str(caught.value)


def test_a_lossy_tokenizer_leaves_earlier_arrays_unchanged(tiny_corpus: Corpus, tmp_path: Path) -> None:
    make_arrays(tiny_corpus, ByteTokenizer(), tmp_path)
    before = state(tmp_path)
    with pytest.raises(ValueError, match="loses text"):
        make_arrays(tiny_corpus, Lowering(), tmp_path)
    assert state(tmp_path) == before
    assert all(p.is_file() for p in tmp_path.iterdir())


def test_files_of_others_are_not_deleted(corpus: Corpus, tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.arange(3))
    with contextlib.suppress(ValueError):  # it may be refused
        make_arrays(corpus, ByteTokenizer(), tmp_path)
    assert np.load(tmp_path / "mine.npy").tolist() == [0, 1, 2]


@pytest.mark.extended
def test_a_process_killed_at_any_step_leaves_complete_arrays_or_none(
    corpus: Corpus, tmp_path: Path, run_killing: Callable[..., None]
) -> None:
    script = """
import shutil
from pathlib import Path
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from data_prep.encode import make_arrays
from tokenizers import train_tokenizer

corpus, pristine, folder = Corpus(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
old, new = (train_tokenizer(spec, corpus.texts("train")) for spec in ("byte", "bpe-270"))
make_arrays(corpus, old, pristine)
shutil.copytree(pristine, folder)

def check(arrays, tokenizer):
    for split in ("train", "val", "test"):
        texts = [tokenizer.decode(sequence) for sequence in arrays.split(split).sequences()]
        assert texts == list(corpus.texts(split))

seen = []
for _ in killed_at_every_step(lambda: make_arrays(corpus, new, folder)):
    try:
        arrays = TokenArrays(folder, verify=True)
    except ValueError as error:
        assert "holds no token arrays" in str(error), error
        seen.append("none")
    else:
        tokenizer = {"byte": old, "bpe-270": new}[arrays.spec]
        check(arrays, tokenizer)
        seen.append(arrays.spec)
    check(make_arrays(corpus, new, folder), new)
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)
assert set(seen) == {"byte", "none", "bpe-270"}, seen
"""
    run_killing(script, corpus.folder, tmp_path / "pristine", tmp_path / "arrays")


# ---- several processes, large vocabularies, large documents


def test_the_files_do_not_depend_on_the_number_of_processes(sharded: Corpus, tmp_path: Path) -> None:
    assert len(sharded.files("train")) > 2
    tokenizer = train_tokenizer("bpe-300", sharded.texts("train"))
    for processes in (1, 2, 5):
        make_arrays(sharded, tokenizer, tmp_path / str(processes), processes)
        assert files(tmp_path / str(processes)) == files(tmp_path / "1")
    decoded = [tokenizer.decode(s) for s in TokenArrays(tmp_path / "5").split("train").sequences()]
    assert decoded == list(sharded.texts("train"))


def test_a_document_that_loses_text_stops_all_processes(sharded: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lowering loses text: .*train/00000\.parquet row 0 "):
        make_arrays(sharded, Lowering(), tmp_path / "arrays", 2)
    assert not list((tmp_path / "arrays").glob("*"))


def test_a_stopped_command_leaves_no_processes(tiny_corpus: Corpus, tmp_path: Path) -> None:
    """Whether it is asked to stop or killed, its worker processes end too."""
    script = """
import os, sys, time
from pathlib import Path
import numpy as np
from data_prep import row_groups
from tokenizers import Tokenizer
from tokenizers.simple import ByteTokenizer
class Slow(ByteTokenizer):
    encode_documents = Tokenizer.encode_documents
    def _encode(self, text, utf8):
        Path(sys.argv[1], str(os.getpid())).touch()
        time.sleep(60)
tasks = [row_groups.Task(row_groups.Shard("train", 0, Path(sys.argv[2])), 0)] * 4
list(row_groups.encode_all(Slow(), np.dtype("uint16"), False, tasks, 2))
"""
    for number in (signal.SIGKILL, signal.SIGINT):
        seen = tmp_path / str(number)
        seen.mkdir()
        command = [sys.executable, "-c", script, str(seen), str(tiny_corpus.files("train")[0])]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        while len(list(seen.iterdir())) < 2:
            time.sleep(0.05)
        process.send_signal(number)
        if number == signal.SIGINT:
            process.kill()  # it would wait for the work under way, a minute here
        process.wait(timeout=30)
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{path.name}").exists() for path in seen.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_vocabulary_beyond_16_bits_is_stored_in_32(tmp_path: Path) -> None:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrst", k=8)) for _ in range(30_000)]
    texts = [" ".join(draw.choices(words, k=2_000)) for _ in range(60)]
    corpus = corpus_of(texts, tmp_path / "source")
    tokenizer = make_tokenizer(corpus, "bpe-70000", tmp_path / "tokenizer")
    arrays = make_arrays(corpus, tokenizer, tmp_path / "arrays")
    assert (arrays.vocab_size, arrays.manifest["dtype"]) == (70_000, "uint32")
    tokens = next(arrays.split("train").shards())
    assert tokens.dtype == np.uint32 and tokens.max() > 65_535
    assert [tokenizer.decode(s) for s in arrays.split("test").sequences()] == list(corpus.texts("test"))


@pytest.mark.parametrize("spec", SPECS)
def test_a_document_of_ten_megabytes_on_one_line_round_trips(
    spec: str, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    line = "the king saw 日本 and 😀, \u2581 said <|endoftext|>. " * 190_000
    assert len(line.encode()) > 10_000_000
    corpus = corpus_of([line, *(f"document {i}" for i in range(60))], tmp_path / "source")
    tokenizer = train_tokenizer(spec, tiny_corpus.texts("train"))
    arrays = make_arrays(corpus, tokenizer, tmp_path / "arrays")  # decodes it again, too
    assert max(int(arrays.split(s).document_chars().max()) for s in ("train", "val", "test")) == len(line)


# ---- parts, as in a job array


def encode_part(corpus: Corpus, folder: Path, part: str, replace: bool = False) -> None:
    """Do what `python -m data_prep.encode --part K/N` does."""
    main(Arguments(corpus.folder, folder / "tokenizer", folder, 1, part=part, replace=replace))


@pytest.fixture
def whole(sharded: Corpus, tmp_path: Path) -> dict[str, bytes]:
    """The files of the sharded corpus encoded at once; `tmp_path / "parts"` has the same tokenizer."""
    tokenizer = make_tokenizer(sharded, "bpe-300", tmp_path / "parts" / "tokenizer")
    make_arrays(sharded, tokenizer, tmp_path / "whole")
    return files(tmp_path / "whole")


@pytest.mark.parametrize(
    "parts", ["1/1", "1/2 2/2", "3/3 1/3 2/3", " ".join(f"{k}/12" for k in range(1, 13))]
)
def test_parts_in_any_order_write_the_same_files_as_one_encoding(
    parts: str, sharded: Corpus, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for part in parts.split():
        encode_part(sharded, tmp_path / "parts", part)
    assert files(tmp_path / "parts") == whole


def test_parts_that_run_at_the_same_time_write_the_same_files_as_one_encoding(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    command = [sys.executable, "-m", "data_prep.encode", "--processes=1", f"--corpus={sharded.folder}"]
    command += [f"--tokenizer={folder / 'tokenizer'}", f"--out={folder}"]
    parts = [
        subprocess.Popen([*command, f"--part={k}/3"], cwd=ROOT, stdout=subprocess.DEVNULL) for k in (1, 2, 3)
    ]
    assert [part.wait(timeout=120) for part in parts] == [0, 0, 0]
    assert files(folder) == whole


@pytest.mark.parametrize("locks", [True, False])
def test_parts_that_end_at_the_same_time_do_not_break_each_other(
    locks: bool, sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, run_python: Callable
) -> None:
    """Also on a file system without locks."""
    script = """
import fcntl, multiprocessing, sys
from pathlib import Path
from data_prep.corpus import Corpus
from data_prep.encode import Encoding
from tokenizers import load_tokenizer

def no_locks(*_):
    raise OSError("no locks")

if sys.argv[3] == "False":
    fcntl.lockf = no_locks
folder = Path(sys.argv[2])
encoding = Encoding(Corpus(Path(sys.argv[1])), load_tokenizer(folder / "tokenizer"), folder)
publish, together = encoding._publish, multiprocessing.Barrier(4)
encoding._publish = lambda: together.wait() >= 0 and publish()
context = multiprocessing.get_context("fork")
parts = [context.Process(target=encoding.make, args=(encoding.shards[k::4], 1)) for k in range(4)]
for part in parts:
    part.start()
for part in parts:
    part.join()
assert [part.exitcode for part in parts] == [0] * 4
"""
    done = run_python("-c", script, sharded.folder, tmp_path / "parts", locks)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "parts") == whole


def test_only_the_last_part_replaces_earlier_arrays(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "parts"
    make_arrays(sharded, ByteTokenizer(), folder)
    with pytest.raises(ValueError, match=r"holds other token arrays.*--replace"):
        encode_part(sharded, folder, "1/3")
    for part in ("1/3", "3/3"):
        encode_part(sharded, folder, part, replace=True)
        assert (
            capsys.readouterr().out
            == f"part {part}, 4 of 12 shards: encoded; the other parts are not finished\n"
        )
        assert TokenArrays(folder, verify=True).spec == "byte"
    encode_part(sharded, folder, "2/3", replace=True)
    assert "characters per token" in capsys.readouterr().out
    assert files(folder) == whole


def test_a_part_with_nothing_to_do_says_so(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode_part(sharded, tmp_path / "parts", "13/13")
    assert capsys.readouterr().out == "part 13/13, 0 of 12 shards: nothing to do\n"
    assert os.listdir(tmp_path / "parts") == ["tokenizer"]
    encode_part(sharded, tmp_path / "parts", "1/1")
    before = state(tmp_path)
    capsys.readouterr()
    encode_part(sharded, tmp_path / "parts", "2/3")
    assert (
        f"part 2/3: nothing to do, {tmp_path / 'parts'} already contains these arrays\n"
        in capsys.readouterr().out
    )
    assert state(tmp_path) == before


@pytest.mark.parametrize("part", ["0/3", "4/3", "1/0", "-1/3", "3", "x", "1/3/3", "1.0/3"])
def test_an_invalid_part_is_refused(part: str, sharded: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"part {part} must be K/N with 1 <= K <= N, such as 3/8"):
        encode_part(sharded, tmp_path / "arrays", part)


def shards_encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list to which the name of each encoded shard is added."""
    names: list[str] = []
    encode_all = data_prep.encode.encode_all

    def watched(tokenizer: Tokenizer, dtype: np.dtype, lossy: bool, tasks: list, processes: int) -> Iterator:
        names.extend(dict.fromkeys(task.shard.name for task in tasks))
        return encode_all(tokenizer, dtype, lossy, tasks, processes)

    monkeypatch.setattr(data_prep.encode, "encode_all", watched)
    return names


def test_encoded_shards_are_not_encoded_again(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether in parts or at once, an encoding resumes."""
    folder = tmp_path / "parts"
    encode_part(sharded, folder, "1/2")
    encoded = shards_encoded(monkeypatch)
    encode_part(sharded, folder, "1/2")
    assert encoded == []
    make_arrays(sharded, load_tokenizer(folder / "tokenizer"), folder)
    assert encoded == [f"train-0000{n}" for n in (1, 3, 5, 7)] + ["val-00001", "test-00001"]
    assert files(folder) == whole


def test_an_interrupted_encoding_keeps_its_finished_shards(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, folder = load_tokenizer(tmp_path / "parts" / "tokenizer"), tmp_path / "parts"
    write_shard = data_prep.encode.write_shard

    def interrupted(shard: Shard, *arguments: object) -> dict[str, int]:
        if shard.name == "train-00005":
            raise KeyboardInterrupt
        return write_shard(shard, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(data_prep.encode, "write_shard", interrupted)
        make_arrays(sharded, tokenizer, folder)
    encoded = shards_encoded(monkeypatch)
    make_arrays(sharded, tokenizer, folder)
    assert encoded[0] == "train-00005"
    assert files(folder) == whole


def test_a_part_killed_at_any_step_can_be_resumed(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, run_killing: Callable[..., None]
) -> None:
    """Here the last part, which publishes the arrays."""
    for k in range(1, 12):
        encode_part(sharded, tmp_path / "parts", f"{k}/12")
    script = """
import shutil
from pathlib import Path
from data_prep.arrays import TokenArrays
from data_prep.corpus import Corpus
from data_prep.encode import Encoding, MANIFEST
from tokenizers import load_tokenizer

folder, whole, pristine = (Path(sys.argv[2], name) for name in ("parts", "whole", "pristine"))
encoding = Encoding(Corpus(Path(sys.argv[1])), load_tokenizer(folder / "tokenizer"), folder)
folder.rename(pristine)
shutil.copytree(pristine, folder)

for _ in killed_at_every_step(lambda: encoding.make(encoding.shards[11::12], 1)):
    if (folder / MANIFEST).exists():
        TokenArrays(folder, verify=True)
    assert encoding.make(encoding.shards[11::12], 1)
    assert not (folder / "parts").exists()
    for path in whole.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    shutil.rmtree(folder)
    shutil.copytree(pristine, folder)
"""
    run_killing(script, sharded.folder, tmp_path)


def test_parts_of_another_tokenizer_are_encoded_again(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    other = Encoding(sharded, ByteTokenizer(), folder)
    assert not other.make(other.shards[::2], 1)
    encode_part(sharded, folder, "2/2")
    assert not (folder / "manifest.json").exists()
    encode_part(sharded, folder, "1/2")
    assert files(folder) == whole


def test_parts_of_the_same_corpus_in_other_files_are_encoded_again(
    sharded: Corpus, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_part(sharded, tmp_path / "parts", "1/2")
    monkeypatch.setattr(data_prep.parts, "SHARD_CHARS", 30_000)
    again = make_corpus(CorpusConfig(**sharded.manifest["config"]), tmp_path / "again")
    assert again.fingerprint == sharded.fingerprint
    tokenizer = load_tokenizer(tmp_path / "parts" / "tokenizer")
    for name in ("parts", "afresh"):
        make_arrays(again, tokenizer, tmp_path / name)
    assert files(tmp_path / "parts") == files(tmp_path / "afresh") != whole


@pytest.mark.parametrize("in_parts", [True, False])
def test_a_lossy_encoding_discards_its_own_shards_and_nothing_else(
    in_parts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_prep.parts, "ROW_GROUP_CHARS", 100)
    monkeypatch.setattr(data_prep.parts, "SHARD_CHARS", 300)
    texts = [f"document {i}, and some more of it" for i in range(60)]
    corpus, folder = corpus_of([*texts, "CAPITALS"], tmp_path / "source"), tmp_path / "arrays"
    make_arrays(corpus, ByteTokenizer(), folder)

    def made() -> dict[str, tuple[int, int, bytes]]:
        return {path: found for path, found in state(folder).items() if not path.endswith(".lock")}

    earlier = made()
    encoding = Encoding(corpus, Lowering(), folder)
    refused = next(shard for shard in encoding.shards if "CAPITALS" in read_texts(shard.path))
    first, *others = [shard for shard in encoding.shards if shard != refused]
    assert not encoding.make(others, 1)
    before = made() if in_parts else earlier
    assert not encoding.make([first], 1)
    with pytest.raises(ValueError, match="lowering loses text"):
        encoding.make([first, refused] if in_parts else encoding.shards, 1)
    assert made() == before
    assert (folder / "parts").exists() == in_parts

    encoded = shards_encoded(monkeypatch)
    assert make_arrays(corpus, Lowering(), folder, allow_lossy=True).lossy_documents == 1
    if in_parts:
        assert sorted(encoded) == sorted([first.name, refused.name])
