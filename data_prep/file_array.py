"""Read parts of a 1-d array that is stored in many files."""

import os
import resource
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

OPEN_FILES = max(64, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)  # of those that a process may open


def file_state(path: Path) -> tuple[int, ...]:
    """The identity, size and time of a file: another state is another content."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def check_unchanged(path: Path, state: tuple[int, ...]) -> None:
    """Check that a file is in the `state` in which it was opened.

    Raises:
        OSError: it was deleted, replaced or written to.
    """
    with suppress(OSError):
        if file_state(path) == state:
            return
    raise OSError(
        f"{path} was changed or deleted while it was in use: restore it; "
        "the same command resumes from the last checkpoint"
    )


class _Descriptor:
    """An open file, which is closed when nobody uses it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(maxsize=OPEN_FILES)
def _open(path: Path, state: tuple[int, ...]) -> _Descriptor:
    """The descriptor of a file; one that is no longer among the last `OPEN_FILES` used ones is closed.

    Raises:
        OSError: the file is not in the `state` in which it was first opened, or cannot be opened.
    """
    check_unchanged(path, state)
    return _Descriptor(path)


class _File:
    """The values of a 1-d .npy file, or some of the first, read without mapping it."""

    def __init__(self, path: Path, left_out: int) -> None:
        """Without the last `left_out` values."""
        self.path, self.state = path, file_state(path)
        array = np.load(path, mmap_mode="r")
        self.dtype, self.offset, self.length = array.dtype, array.offset, len(array) - left_out

    def read(self, start: int, count: int) -> np.ndarray:
        """Read `count` values from `start` on, or those up to the end."""
        size = self.dtype.itemsize * min(count, self.length - start)
        raw = os.pread(_open(self.path, self.state).number, size, self.offset + start * self.dtype.itemsize)
        if len(raw) < size:
            raise OSError(f"{self.path} was truncated while it was in use: encode it again")
        return np.frombuffer(raw, self.dtype)


class FileArray:
    """A 1-d array that continues from file to file, and from the last to the first.

    Values are read from the files, not from a mapping: mapped memory would count as this process's, and a
    truncated file would kill it with a signal. The files need not stay open, so there may be thousands.
    """

    def __init__(self, paths: list[Path], left_out: int = 0) -> None:
        """The values of .npy files, but for the last `left_out` of each."""
        self.files = [_File(path, left_out) for path in paths]
        lengths = np.array([file.length for file in self.files])
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.files else 0

    def read(self, starts: np.ndarray, count: int) -> np.ndarray:
        """Read `count` values from each of the `starts` on: (starts, count) int64.

        Raises:
            OSError: a file cannot be read, or was changed.
        """
        found = np.empty((len(starts), count), dtype=np.int64)
        numbers = np.searchsorted(self.ends, starts, side="right")
        places = starts - self.begins[numbers]
        for row, number, place in zip(found, numbers.tolist(), places.tolist(), strict=True):
            done = 0
            while done < count:
                values = self.files[number].read(place, count - done)
                row[done : done + len(values)] = values
                done, number, place = done + len(values), (number + 1) % len(self.files), 0
        return found
