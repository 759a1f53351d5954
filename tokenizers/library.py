"""The Hugging Face library, whose Python package has the name of this folder: its compiled module."""

import contextlib
import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType
from typing import Any

import numpy as np


@functools.cache
def library() -> ModuleType:
    """The compiled module of the Hugging Face library, whose Python package has the name of this folder.

    Raises:
        ValueError: the library is not installed.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # documents are encoded by several processes
    try:
        package = distribution("tokenizers")
    except PackageNotFoundError:
        raise ValueError("the package 'tokenizers' is missing: pip install -r requirements.txt") from None
    (name,) = (
        file
        for file in package.files or ()
        if file.suffix in (".so", ".pyd") and file.stem.startswith("tokenizers")
    )
    spec = importlib.util.spec_from_file_location("huggingface.tokenizers", str(package.locate_file(name)))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def library_errors(what: str) -> Iterator[None]:
    """Turn whatever the library raises into a `ValueError` that begins with `what`, in one line.

    A panic of its Rust code is not an `Exception`, and writes a backtrace to standard error, which is
    discarded.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{what}: {reason}") from None
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@functools.cache
def normalizer(form: str) -> Any:
    """The library's normalizer of a Unicode normalization form, such as NFC."""
    return getattr(library().normalizers, form)()


def normalized_offsets(form: str, text: str) -> np.ndarray:
    """The characters of `text` that each character of its normalization comes from: (N, 2) int64.

    The ranges [begin, end) are those of the library. Where several characters become one, it names the first.
    """
    pieces = library().PreTokenizedString(text)
    pieces.normalize(normalizer(form).normalize)
    character = library().Regex(r"[\s\S]")
    pieces.split(lambda _, whole: whole.split(character, "isolated"))
    ranges = [place for _, place, _ in pieces.get_splits("original", "char")]
    return np.array(ranges, dtype=np.int64).reshape(-1, 2)
