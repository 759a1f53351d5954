"""Data sets of the hub, of a server on this machine: what is read, what is sent, and what goes wrong."""

import gzip
import io
import json
import random
import shutil
import string
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from .hub_server import TOKEN, HubServer

ODD_TEXT = " \r\n\tcafé e\u0301 😀\u2028\x85\rend\n"
pytestmark = pytest.mark.extended

NAME = "someone/stories"
SCRIPT = """
import json, os, pickle, sys
from dataclasses import replace
from hashlib import sha256
from itertools import islice
import data_prep.remote
from data_prep.config import CorpusConfig
from data_prep.inputs import LeftOut
from data_prep.parts import split_of
from data_prep.sources import find_units, read_unit

data_prep.remote.WAITS = (0.01, 0.01, 0.01)
options = json.loads(sys.argv[1])
documents, only = options.pop("documents"), options.pop("only")
config = CorpusConfig(**options)
left_out = LeftOut()
try:
    units = pickle.loads(pickle.dumps(find_units(config)[0]))
    files = [file for unit in units for file in unit.files]
    chosen = [(u, replace(u, files=(f,))) for u in units for f in u.files if only in (None, f.path)]
    found = [(u, d) for u, one in chosen for d in islice(read_unit(one, left_out), documents)]
except ValueError as error:
    print("refused:", error)
    sys.exit(2)
print(json.dumps({
    "revision": files[0].revision, "left_out": left_out, "files": [[f.split, f.path, f.size] for f in files],
    "ids": [d.id for _, d in found], "texts": [d.text for _, d in found],
    "splits": [split_of(d, sha256(d.text.encode()).digest(), u.fractions) for u, d in found],
    "groups": [d.group for _, d in found],
}))
"""


class Reader:
    """Reads data sets of a server in processes that have a cache of their own."""

    def __init__(self, hub: HubServer, cache: Path, run_python: Callable) -> None:
        self.hub, self.cache, self.run_python = hub, cache, run_python
        self.environment = hub.environment(cache)

    def run(self, name: str = NAME, **options: object) -> subprocess.CompletedProcess:
        options = {"source": f"hub:{name}", "documents": None, "only": None, **options}
        return self.run_python("-c", SCRIPT, json.dumps(options), **self.environment)

    def read(self, name: str = NAME, **options: object) -> dict:
        done = self.run(name, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def refusal(self, name: str = NAME, **options: object) -> str:
        done = self.run(name, **options)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr == ""
        (line,) = done.stdout.splitlines()
        return line


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def reader(hub: HubServer, tmp_path: Path, run_python: Callable) -> Reader:
    return Reader(hub, tmp_path / "cache", run_python)


def noise(count: int, chars: int) -> list[str]:
    """Texts that cannot be compressed much."""
    draw = random.Random(count)
    return ["".join(draw.choices(string.printable, k=chars)) for _ in range(count)]


def parquet(texts: list[str], row_group: int = 1000, **columns: list) -> bytes:
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, **columns}), written, row_group_size=row_group)
    return written.getvalue()


def jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


# ---- what is read


def test_a_data_set_of_several_shards_and_splits(hub: HubServer, reader: Reader) -> None:
    names = [
        "train-00000-of-00002",
        "train-00001-of-00002",
        "validation-00000-of-00001",
        "test-00000-of-00001",
    ]
    files = {f"data/{name}.parquet": parquet([f"{name} {i}{ODD_TEXT}" for i in range(3)]) for name in names}
    commit = hub.add(NAME, files | {"README.md": b"# Stories\n"})
    found = reader.read()
    assert found["revision"] == commit
    kept = ["train", "train", "val", "test"]
    paths = [f"data/{name}.parquet" for name in names]
    assert found["files"] == [[s, p, len(files[p])] for s, p in zip(kept, paths, strict=True)]
    assert found["texts"] == [f"{name} {i}{ODD_TEXT}" for name in names for i in range(3)]
    assert found["ids"] == [f"hub:{NAME}/{path}:{i}" for path in paths for i in range(3)]
    assert found["splits"] == [split for split in kept for _ in range(3)]


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_the_only_split_that_is_held_out_is_the_test(held_out: str, hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {"train.jsonl": jsonl(list(map(str, range(200)))), f"{held_out}.jsonl": jsonl(["a", "b"])})
    found = reader.read(val_fraction=0.2)
    assert [split for split, *_ in found["files"]] == [None, "test"]
    assert found["splits"][200:] == ["test", "test"]
    assert set(found["splits"][:200]) == {"train", "val"}
    assert 20 < found["splits"].count("val") < 60


def test_the_documents_of_other_splits_are_drawn(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {f"data/{name}-00000-of-00001.parquet": parquet([name]) for name in ("en", "fr")})
    found = reader.read()
    assert found["texts"] == ["en", "fr"] and [split for split, *_ in found["files"]] == [None, None]


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_csv_and_json_lines_are_read_as_local_files_are(
    ending: str, compress: Callable[[bytes], bytes], hub: HubServer, reader: Reader
) -> None:
    texts = ["a", 'b, "c"\r\nd', "é😀"]
    quoted = "".join('"' + text.replace('"', '""') + '"\n' for text in ["text", *texts])
    content = quoted.encode() if ending == "csv" else jsonl(texts)
    path = f"train.{ending}" if compress is bytes else f"train.{ending}.gz"
    hub.add(NAME, {path: compress(content)})
    assert reader.read()["texts"] == texts


@pytest.mark.parametrize("document", ["file", "line", "paragraph", "passage"])
def test_plain_text_is_kept_byte_for_byte(document: str, hub: HubServer, reader: Reader) -> None:
    text = "one\r\ntwo\rthree\n\n" + ODD_TEXT
    hub.add(NAME, {"books/train.txt": text.encode()})
    found = reader.read(document=document)
    if document == "line":
        assert found["texts"] == [line.rstrip("\r\n") for line in text.split("\n")[:-1] if line]
    elif document != "paragraph":
        assert "".join(found["texts"]) == text
    assert found["groups"][0] == (None if document == "file" else "books/train.txt")


def test_passages_are_split_in_order(hub: HubServer, reader: Reader) -> None:
    text = "".join(f"line {i}\n" for i in range(20_000))
    hub.add(NAME, {"text8.txt": text.encode()})
    found = reader.read()
    assert "".join(found["texts"]) == text
    assert list(dict.fromkeys(found["splits"])) == ["train", "val", "test"]
    assert hub.sent["text8.txt"] == len(text)  # once, though it is read twice


def test_columns_and_bad_rows_are_those_of_the_options(hub: HubServer, reader: Reader) -> None:
    rows = [{"body": {"en": "a"}, "url": "https://www.x.org/1"}, {"body": None}, {"body": {"en": 7}}]
    hub.add(NAME, {"train.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()})
    options = {"text_column": "body.en"}
    assert f"hub:{NAME}/train.jsonl line 3 column 'body.en' has type int" in reader.refusal(**options)
    found = reader.read(**options, on_bad_rows="skip")
    assert found["texts"] == ["a"] and found["groups"] == ["site:x.org"]
    assert found["left_out"]["rows whose text is null"] == [1, f"hub:{NAME}/train.jsonl line 2"]
    assert "has no column 'text' (columns: body, url)" in reader.refusal()


def test_a_revision_is_a_tag_a_branch_or_a_commit(hub: HubServer, reader: Reader) -> None:
    first = hub.add(NAME, {"train.jsonl": jsonl(["old"])}, "v1.0")
    second = hub.add(NAME, {"train.jsonl": jsonl(["new"])})
    hub.add(NAME, {"train.jsonl": jsonl(["converted"])}, "refs/convert/parquet")
    assert reader.read()["revision"] == second
    for revision in ("v1.0", first):
        found = reader.read(revision=revision)
        assert (found["texts"], found["revision"]) == (["old"], first)
    assert reader.read(revision="refs/convert/parquet")["texts"] == ["converted"]
    assert "'v2'" in reader.refusal(revision="v2") and NAME in reader.refusal(revision="v2")


CONFIGS = {"README.md": b"""---
configs:
- config_name: en
  data_files: en/*.jsonl
- config_name: fr
  data_files: fr/*.jsonl
---
"""}  # fmt: skip


def test_a_configuration_must_be_chosen_if_there_are_several(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, CONFIGS | {"en/1.jsonl": jsonl(["hello"]), "fr/1.jsonl": jsonl(["bonjour"])})
    assert reader.read(f"{NAME}:fr")["texts"] == ["bonjour"]
    assert hub.sent["en/1.jsonl"] == 0
    assert reader.refusal().endswith(f"choose one with hub:{NAME}:CONFIG (en, fr)")
    assert reader.refusal(f"{NAME}:de").endswith(f"hub:{NAME} has no configuration 'de' (known: en, fr)")


# ---- what is sent


def test_only_the_columns_of_the_text_and_labels_are_fetched(hub: HubServer, reader: Reader) -> None:
    texts, junk = noise(2000, 200), [text.encode() for text in noise(2000, 4000)]
    content = parquet(texts, junk=junk, language=["en"] * 2000)
    hub.add(NAME, {"train.parquet": content})
    assert reader.read()["texts"] == texts
    assert len(parquet(texts)) < hub.sent["train.parquet"] < len(parquet(texts)) + 200_000 < len(content) / 10


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "jsonl.gz", "txt"])
def test_a_reader_that_stops_early_stops_the_download(ending: str, hub: HubServer, reader: Reader) -> None:
    texts = noise(8000, 4000)
    content = {
        "parquet": lambda: parquet(texts, 500),
        "jsonl": lambda: jsonl(texts),
        "jsonl.gz": lambda: gzip.compress(jsonl(texts), 1),
        "txt": lambda: "\n\n".join(texts).encode(),
    }[ending]()
    assert len(content) > 24e6
    hub.add(NAME, {f"train.{ending}": content})
    found = reader.read(documents=20, document="line")
    assert len(found["texts"]) == 20
    assert hub.sent[f"train.{ending}"] < 8e6  # most of it is in the buffers of the operating system


def test_reading_one_file_touches_no_other(hub: HubServer, reader: Reader) -> None:
    files = {f"data/train-{i:05}-of-00003.parquet": parquet([str(i)]) for i in range(3)}
    hub.add(NAME, files)
    middle = "data/train-00001-of-00003.parquet"
    assert reader.read(only=middle)["texts"] == ["1"]
    assert [path for path in hub.sent if path in files] == [middle]


# ---- what breaks


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_dropped_connection_resumes(ending: str, hub: HubServer, reader: Reader) -> None:
    texts = noise(2000, 1000)
    content = parquet(texts) if ending == "parquet" else jsonl(texts)
    hub.add(NAME, {f"train.{ending}": content})
    hub.cut[f"train.{ending}"] = [30_000, 0, 100_001, 0, 0, 500]
    hub.busy = 1
    assert reader.read()["texts"] == texts
    assert hub.cut[f"train.{ending}"] == []
    assert hub.sent[f"train.{ending}"] <= len(content) + 200_000  # not from its beginning again


def test_a_download_that_breaks_again_and_again_names_the_file(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {"train.jsonl": jsonl(noise(1000, 1000))})
    hub.cut["train.jsonl"] = [200_000] + [0] * 10
    assert f"hub:{NAME}/train.jsonl cannot be downloaded at byte " in reader.refusal()
    hub.cut["train.jsonl"] = [200_000] + [0] * 10
    assert f"hub:{NAME}/train.jsonl cannot be downloaded at byte " in reader.refusal(on_bad_rows="skip")


def test_a_damaged_parquet_file_is_named(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {"train.parquet": parquet(["a"])[:-9] + b"damaged  "})
    assert f"hub:{NAME}/train.parquet is not a Parquet file" in reader.refusal()


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"photo.png": b"\x89PNG"}, "imagefolder"),
        ({"README.md": b"nothing"}, "no Parquet, JSON, CSV, Arrow or text files are there"),
        ({"stories.py": b"import datasets"}, "is made by a script"),
    ],
)
def test_a_format_that_cannot_be_read_is_named(
    files: dict, complaint: str, hub: HubServer, reader: Reader
) -> None:
    hub.add(NAME, files)
    refused = reader.refusal()
    assert f"hub:{NAME} " in refused and complaint in refused


def test_a_missing_data_set_and_a_gated_one(hub: HubServer, reader: Reader) -> None:
    missing = reader.refusal("someone/nothing")
    assert "hub:someone/nothing" in missing and "doesn't exist" in missing and "HF_TOKEN" in missing
    hub.add(NAME, {"train.jsonl": jsonl(["secret"] * 5000), "README.md": b"# Gated"})
    hub.gated.add(NAME)
    refused = reader.refusal()
    assert f"hub:{NAME}" in refused and "gated" in refused and f"{hub.url}/datasets/{NAME}" in refused
    reader.environment["HF_TOKEN"] = TOKEN
    assert reader.read(documents=1)["texts"] == ["secret"]


# ---- without a network


@pytest.mark.parametrize("offline", ["set", "no answer", "down"])
def test_without_a_network_the_local_cache_is_used(offline: str, hub: HubServer, reader: Reader) -> None:
    commit = hub.add(NAME, CONFIGS | {"en/1.jsonl": jsonl(["a", "b"]), "fr/1.jsonl": jsonl(["c"])})
    code = (
        "import datasets, sys; datasets.load_dataset(sys.argv[1], 'en')"
        if offline == "set"
        else "import huggingface_hub as h, sys; h.snapshot_download(sys.argv[1], repo_type='dataset', "
        "allow_patterns='en/*'); h.hf_hub_download(sys.argv[1], 'README.md', repo_type='dataset')"
    )
    done = reader.run_python("-c", code, NAME, **reader.environment)
    assert done.returncode == 0, done.stderr
    online = reader.read(f"{NAME}:en")
    before = len(hub.requests)
    if offline == "set":
        reader.environment["HF_HUB_OFFLINE"] = "1"
    elif offline == "down":
        hub.down = True
    else:
        reader.environment["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert reader.read(f"{NAME}:en") == online
    assert online["texts"] == ["a", "b"] and online["revision"] == commit
    assert {path for _, path, _ in hub.requests[before:]} <= {"/"}  # whether the hub answers
    for refused in (reader.refusal("someone/else"), reader.refusal(NAME + ":en", revision="v9")):
        assert "not in the local cache" in refused and "hf download" in refused


def test_what_is_in_the_local_cache_is_not_downloaded_again(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {"train.parquet": parquet(noise(500, 1000)), "README.md": b"# Stories"})
    code = "import huggingface_hub as h, sys; h.snapshot_download(sys.argv[1], repo_type='dataset')"
    assert reader.run_python("-c", code, NAME, **reader.environment).returncode == 0
    hub.sent.clear()
    assert len(reader.read()["texts"]) == 500
    assert hub.sent["train.parquet"] == 0


def test_a_data_set_that_is_not_complete_in_the_cache_is_refused(hub: HubServer, reader: Reader) -> None:
    hub.add(NAME, {f"data/train-{i:05}-of-00003.parquet": parquet([str(i)]) for i in range(3)})
    code = "import huggingface_hub as h, sys; h.snapshot_download(sys.argv[1], repo_type='dataset')"
    assert reader.run_python("-c", code, NAME, **reader.environment).returncode == 0
    reader.environment["HF_HUB_OFFLINE"] = "1"
    assert reader.read()["texts"] == ["0", "1", "2"]
    (shard,) = reader.cache.rglob("snapshots/*/data/train-00001-of-00003.parquet")
    shard.unlink()
    complaint = "is not complete in the local cache: data/train-00001-of-00003.parquet is missing"
    assert complaint in reader.refusal()
    shutil.rmtree(reader.cache)
    assert "not in the local cache" in reader.refusal()


# ---- a folder


def test_a_folder_in_the_layout_of_the_hub(tmp_path: Path, reader: Reader) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "validation", "test"):
        (folder / f"{split}-00000-of-00001.parquet").write_bytes(
            parquet([f"{split} {i}{ODD_TEXT}" for i in (1, 2)])
        )
    found = reader.read(str(folder))
    assert found["revision"] is None
    assert found["splits"] == ["train", "train", "val", "val", "test", "test"]
    assert found["texts"] == [f"{s} {i}{ODD_TEXT}" for s in ("train", "validation", "test") for i in (1, 2)]
    assert reader.hub.requests == []
