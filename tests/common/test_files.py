"""A result is there and whole, or it is not there; an older one stays until then."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.files import fingerprint, new_folder, read_json, sha256_file, write_file, write_json


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that holds an older result."""
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "file").write_text("old")
    return folder


def test_a_new_folder_appears_with_all_that_was_written(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("new")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "deep" / "file").read_text() == "new"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_a_new_folder_replaces_the_old_one_whole(target: Path) -> None:
    (target / "more").write_text("old")
    with new_folder(target) as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("new")
        assert (target / "file").read_text() == "old"
    assert [(p.name, p.read_text()) for p in target.iterdir()] == [("file", "new")]
    assert os.listdir(target.parent) == ["result"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_folder_and_nothing_else(target: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(target) as folder:
        (folder / "file").write_text("new")
        raise error
    assert (target / "file").read_text() == "old"
    assert os.listdir(target.parent) == ["result"]


def test_an_error_where_nothing_was_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), new_folder(tmp_path / "result"):
        raise ValueError
    assert os.listdir(tmp_path) == []


def test_a_process_killed_while_it_writes_leaves_the_old_folder(target: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from common.files import new_folder
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("new")
    print("writing", flush=True)
    time.sleep(60)
"""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(target)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (target / "file").read_text() == "old"
    with new_folder(target) as folder:
        (folder / "file").write_text("newer")
    assert (target / "file").read_text() == "newer"


def test_a_process_killed_anywhere_leaves_the_old_folder_or_the_new_one_but_no_part(
    tmp_path: Path, run_killing: Callable[..., None]
) -> None:
    """For an instant, between two renames, there is neither."""
    script = """
import shutil
from pathlib import Path
from common.files import new_folder
parent = Path(sys.argv[1])
target = parent / "result"

def write(content):
    with new_folder(target) as folder:
        for name in "abc":
            (folder / name).write_text(content)

seen = set()
for _ in killed_at_every_step(lambda: write("new")):
    seen.add("".join(p.read_text() for p in sorted(target.iterdir())) if target.exists() else "nothing")
    write("newer")
    assert [p.read_text() for p in target.iterdir()] == ["newer"] * 3
    shutil.rmtree(parent)
    write("old")
assert seen <= {"oldoldold", "newernewernewer", "newnewnew", "nothing"}, seen
assert {"oldoldold", "newnewnew"} <= seen, seen
"""
    (tmp_path / "result").mkdir()
    for name in "abc":
        (tmp_path / "result" / name).write_text("old")
    run_killing(script, tmp_path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old and longer")
    write_file(tmp_path / "file", "new é")
    assert (tmp_path / "file").read_bytes() == "new é".encode()
    write_file(tmp_path / "file", b"\xff\0")
    assert (tmp_path / "file").read_bytes() == b"\xff\0"
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_of_the_old_file_never_sees_the_new_one(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "old")
    with open(tmp_path / "file") as reader:
        write_file(tmp_path / "file", "new")
        assert reader.read() == "old"


def test_a_process_killed_anywhere_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, run_killing: Callable[..., None]
) -> None:
    script = """
from pathlib import Path
from common.files import write_file
path = Path(sys.argv[1]) / "file"
path.write_text("old")
seen = []
for _ in killed_at_every_step(lambda: write_file(path, "new")):
    seen.append(path.read_text())
assert set(seen) == {"old", "new"} and seen == sorted(seen, reverse=True), seen
"""
    run_killing(script, tmp_path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "file.json", {"a": object()})
    assert read_json(tmp_path / "file.json") == {"a": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(content=st.dictionaries(st.text(), JSON, max_size=4))
def test_json_that_is_written_is_read_again(content: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "file.json"
    write_json(path, content)
    assert read_json(path) == content


def test_no_json_file_is_none(tmp_path: Path) -> None:
    assert read_json(tmp_path / "missing.json") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"not json"])
def test_a_file_that_is_not_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{tmp_path}/x\.json is not JSON.*remove it"):
        read_json(tmp_path / "x.json")


@given(content=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_fingerprint_does_not_depend_on_the_order_of_keys(content: dict) -> None:
    assert fingerprint(dict(reversed(content.items()))) == fingerprint(content)


def test_a_fingerprint_depends_on_everything_else() -> None:
    contents = [{}, {"a": 1}, {"a": "1"}, {"b": 1}, {"a": 2}, {"a": [1]}, {"a": 1, "b": None}, [1, 2], [2, 1]]
    assert len({fingerprint(content) for content in contents}) == len(contents)


def test_the_hash_of_a_file_is_of_its_content(tmp_path: Path) -> None:
    content = b"\0\xff" * 500_000
    (tmp_path / "x").write_bytes(content)
    assert sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()
