"""Read data sets of the Hugging Face hub file by file, without downloading what is not needed.

`find_hub` resolves a data set to a commit and its files. Of a Parquet file, only the columns of the text and
the labels are fetched; other files are streamed, and only as far as their documents are taken. What is in the
local cache of the hub is read there.
"""

import io
import os
import re
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from .config import Source, check_source
from .remote import RemoteFile, one_line

FORMATS = {"parquet": "parquet", "json": "jsonl", "csv": "csv", "arrow": "arrow", "text": "text"}
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
HELD_OUT = {"validation": "val", "test": "test"}
BLOCK = 1 << 20  # bytes of a stream in memory


@dataclass(frozen=True)
class HubFile:
    """A file of a data set, as an `InputFile`: read from the local cache, or else over the network."""

    data_set: str
    """its name on the hub, or a local folder"""
    revision: str | None
    """the commit; None for a local folder"""
    path: str
    """its path in the data set's repository"""
    size: int
    """in bytes"""
    split: str | None = None
    """train, val or test, if that is where its documents belong; None: the split of each is drawn"""
    local: str | None = None
    """where it is on this machine, if it is not in the hub's cache"""

    def __str__(self) -> str:
        return f"hub:{self.data_set}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of its path."""
        return os.path.basename(self.path)

    def open(self, mode: Literal["rb"], buffering: int = -1) -> BinaryIO:
        """As `InputFile.open`. Over the network, no more is read than is asked for."""
        from huggingface_hub import hf_hub_url

        _silence()
        if local := self.local or _local(self.data_set, self.revision, self.path):
            return open(local, mode, buffering)
        url = hf_hub_url(self.data_set, self.path, repo_type="dataset", revision=self.revision)
        remote = RemoteFile(url, str(self), self.size, stream=buffering != 0)
        return remote if buffering == 0 else io.BufferedReader(remote, BLOCK)  # type: ignore[return-value]

    def download(self) -> None:
        """Download it to the hub's cache, unless it is there.

        Raises:
            ValueError: it cannot be downloaded.
        """
        from huggingface_hub import hf_hub_download

        _silence()
        if self.local or _local(self.data_set, self.revision, self.path):
            return
        try:
            hf_hub_download(self.data_set, self.path, repo_type="dataset", revision=self.revision)
        except Exception as error:
            raise ValueError(f"{self} cannot be downloaded: {one_line(error)}") from None


@dataclass(frozen=True)
class Hub:
    """A data set at one commit."""

    revision: str | None
    """the commit; None for a local folder"""
    format: str
    """the format of its files, one of `inputs.ENDINGS`"""
    files: list[HubFile]
    """all files of the chosen configuration, in a fixed order"""

    @property
    def has_test(self) -> bool:
        """True if the data set has a test split, so that no other document is drawn for the test."""
        return any(file.split == "test" for file in self.files)


def find_hub(config: Source) -> Hub:
    """Find the commit and the files of a data set.

    The splits of the data set are kept if it has train, validation and test. If it has train and only one of
    the other two, that one is the test, and validation documents are drawn from train. Otherwise all
    splits are drawn.

    Raises:
        ValueError: the data set or its configuration does not exist or may not be read, its format is
            unknown, or the hub does not answer and the data set is not in the local cache.
    """
    name, _, configuration = check_source(config.source)[1].partition(":")
    import datasets

    _silence()
    _limit_waiting()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    folder = name if os.path.isdir(name) else None if _hub_answers() else _cached(name, config.revision)
    place, revision = folder or name, None if folder else config.revision
    try:
        builder = datasets.load_dataset_builder(place, configuration or None, revision=revision)
    except Exception as error:  # of a dozen types, for the network and for the data
        raise ValueError(_explain(name, configuration, place, revision, error)) from None
    found = {
        str(split): list(dict.fromkeys(files)) for split, files in (builder.config.data_files or {}).items()
    }
    urls = [url for files in found.values() for url in files]
    if not urls or builder.name not in FORMATS or any(url.lower().endswith(ARCHIVES) for url in urls):
        formats = "Parquet, JSON, CSV, Arrow and text"
        raise ValueError(f"hub:{name} holds files in the format {builder.name}; only {formats} can be read")
    if folder:
        root = os.path.realpath(folder)
        paths = {url: os.path.relpath(url, root) for url in urls}
        sizes = {url: os.path.getsize(url) for url in urls}
        commit = None if folder == name else os.path.basename(folder)
        if commit:
            _check_complete(name, commit, set(paths.values()))
    else:
        paths, commit = _in_repository(name, urls)
        sizes = _sizes(name, urls)
    files = [
        HubFile(name, commit, paths[url], sizes[url], split, folder and os.path.join(folder, paths[url]))
        for of_data_set, split in _splits(found).items()
        for url in sorted(found[of_data_set])
    ]
    return Hub(commit, FORMATS[builder.name], files)


# ---- finding a data set


def _silence() -> None:
    """Let the library of the hub write no warnings and, into a log, no progress: errors are reported here."""
    import huggingface_hub

    huggingface_hub.logging.set_verbosity(huggingface_hub.logging.CRITICAL)
    if not sys.stderr.isatty():
        huggingface_hub.utils.disable_progress_bars()


def _limit_waiting() -> None:
    """Give a timeout to the requests that have none, such as those for the list of files."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    def limit(request: Any) -> None:
        seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
        timeout = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {key: each or seconds for key, each in timeout.items()}

    session = get_session()
    session.event_hooks = {"request": [*session.event_hooks["request"], limit]}


def _hub_answers() -> bool:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code < 500  # else any answer will do
    except OSError:
        return False
    return True


def _cached(name: str, revision: str | None) -> str:
    """The folder of a data set in the local cache."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError

    try:
        return snapshot_download(name, repo_type="dataset", revision=revision, local_files_only=True)
    except IncompleteSnapshotError as error:
        return error.snapshot_path  # the files of one configuration may be there
    except Exception:  # also for what is not a name
        reason = (
            "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} does not answer"
        )
        raise ValueError(
            f"hub:{name} cannot be loaded: {reason}, and it is not in the local cache: check the name and "
            f"the network, or fetch it where there is one with 'hf download {name} --repo-type dataset'"
        ) from None


def _check_complete(name: str, commit: str, paths: set[str]) -> None:
    """Refuse a cached data set if files beside its others are missing, as after a broken download."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    def kind(path: str) -> tuple[str, str]:
        return os.path.dirname(path), os.path.splitext(path)[1]

    try:
        tree = get_cached_repo_tree(name, repo_type="dataset", revision=commit)
    except CachedRepoTreeNotFoundError:  # `datasets` has put the files there
        return
    kinds = set(map(kind, paths))
    for path in [file.path for file in tree if file.path not in paths]:
        if kind(path) in kinds and not _local(name, commit, path):
            raise ValueError(
                f"hub:{name} is not complete in the local cache: {path} is missing; fetch it where there is "
                f"a network with 'hf download {name} --repo-type dataset'"
            )


def _explain(name: str, configuration: str, place: str, revision: str | None, error: Exception) -> str:
    """Why a data set is not found, and what to do."""
    import datasets
    from huggingface_hub import constants

    reason = one_line(error).rpartition("Hugging Face Hub either: ")[2]
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        page = f"{constants.ENDPOINT}/datasets/{name}"
        return (
            f"hub:{name} cannot be loaded: {reason.rstrip('.')}: check the name and corpus.revision; if it "
            f"is private or gated, accept its terms at {page} and set HF_TOKEN"
        )
    if isinstance(error, datasets.exceptions.DataFilesNotFoundError) or "doesn't contain any data" in reason:
        where = "in the local cache" if place != name else "there"
        return f"hub:{name} cannot be loaded: no Parquet, JSON, CSV, Arrow or text files are {where}"
    if isinstance(error, RuntimeError) and "scripts" in reason:
        return (
            f"hub:{name} is made by a script, which is not run; its Parquet files may be at "
            "corpus.revision: refs/convert/parquet"
        )
    if isinstance(error, ValueError):
        try:
            known = datasets.get_dataset_config_names(place, revision=revision)
        except Exception:
            known = []
        listed = ", ".join(known)
        if configuration and known and configuration not in known:
            return f"hub:{name} has no configuration '{configuration}' (known: {listed})"
        if not configuration and len(known) > 1:
            return f"hub:{name} has several configurations; choose one with hub:{name}:CONFIG ({listed})"
    return (
        f"hub:{name} cannot be loaded: {reason}; check the name and the network, "
        "or download it on another machine and use parquet:PATH"
    )


def _splits(found: dict[str, list[str]]) -> dict[str, str | None]:
    """The splits of a data set to read, and where their documents belong."""
    held_out = [split for split in HELD_OUT if split in found]
    if "train" not in found or not held_out:
        return dict.fromkeys(found)
    if len(held_out) == 1:
        return {"train": None, held_out[0]: "test"}
    return {"train": "train", **HELD_OUT}


def _in_repository(name: str, urls: list[str]) -> tuple[dict[str, str], str]:
    """The paths of files in the repository of a data set, and its commit."""
    matches = {url: re.fullmatch(r"hf://datasets/([^@]+)@([^/]+)/(.+)", url) for url in urls}
    paths = {url: match[3] for url, match in matches.items() if match and match[1] == name}
    if elsewhere := [url for url in urls if url not in paths]:
        raise ValueError(f"hub:{name} has files that are not in its repository, such as {elsewhere[0]}")
    first = matches[urls[0]]
    assert first is not None
    return paths, first[2]


def _sizes(name: str, urls: list[str]) -> dict[str, int]:
    from huggingface_hub import HfFileSystem, constants

    files = HfFileSystem(endpoint=constants.ENDPOINT)  # knows the listings that `datasets` has asked for
    try:
        return {url: files.info(url)["size"] for url in urls}
    except Exception as error:
        raise ValueError(f"hub:{name} cannot be loaded: {one_line(error)}; check the network") from None


def _local(name: str, commit: str | None, path: str) -> str | None:
    """Where a file is in the local cache, if it is there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, path, revision=commit, repo_type="dataset")
    return found if isinstance(found, str) and Path(found).exists() else None
