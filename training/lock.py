"""A lock that allows one run in a folder at a time."""

import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path
from typing import IO

PATIENCE = 10.0  # seconds to wait: a run that was asked to stop first writes its checkpoint


def lock_folder(folder: Path) -> IO[str]:
    """Lock a folder until the returned file is closed or this process ends, for whatever reason.

    It is a POSIX lock of this process alone: child processes do not inherit it. It also works on network file
    systems that support such locks.

    Raises:
        ValueError: another process still holds the lock after `PATIENCE` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = open(folder / ".lock", "a+")
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                print(
                    f"codebook: {folder} cannot be locked: do not start a second run in it", file=sys.stderr
                )
                return file
            if not isinstance(error, BlockingIOError):
                raise
            if time.monotonic() < end:
                time.sleep(0.1)
                continue
            file.seek(0)
            raise ValueError(
                f"{folder} is being written by {file.read().strip() or 'another process'}: "
                "wait for it, stop it, or choose another folder"
            ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file
