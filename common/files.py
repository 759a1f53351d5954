"""Files that are written whole or not at all: first beside their target, then renamed."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_replaceable(folder: Path, marker: str) -> None:
    """Refuse to replace a folder that is not empty and lacks `marker`, the file that shows who made it."""
    if folder.exists() and not (folder / marker).exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} exists and was not made by this command: name another folder")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target`, replacing it, when the block ends without an error.

    The temporary folder is beside the target, named after the process, and removed on an error.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with _naming(target):
            yield temporary
            for path in temporary.rglob("*"):
                _sync(path)
            _sync(temporary)
        if target.exists():
            replaced = target.with_name(f".{target.name}.{os.getpid()}.old")
            target.rename(replaced)
            temporary.rename(target)
            shutil.rmtree(replaced)
        else:
            temporary.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _naming(path):
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write JSON, indented, whole or not at all."""
    write_file(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict | None:
    """The JSON object in a file, or None if there is no such file.

    Raises:
        ValueError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): remove it, and it is made again") from None


def read_manifest(folder: Path, format: int, what: str, command: str) -> dict:
    """The content of a folder's manifest.json; `command` is the module that makes such folders.

    Raises:
        ValueError: it is missing or has another format.
    """
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        raise ValueError(f"{folder} holds no {what}: make it with python -m {command}")
    found = manifest.get("format")
    if isinstance(found, int) and found > format:
        raise ValueError(
            f"{folder} has format {found} and was written by a newer version of Codebook, this one reads "
            f"{format}: update Codebook, or make it again with python -m {command}"
        )
    if found != format:
        raise ValueError(f"{folder} has format {found}, not {format}: make it again with python -m {command}")
    return manifest


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(content: object) -> str:
    """SHA-256 of anything that JSON can hold, in hex; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def _naming(target: Path) -> Iterator[None]:
    """Add the name of what is written to the error of a full disk, which otherwise has none."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from error
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
