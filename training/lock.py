"""One run in a folder at a time."""

import errno
import fcntl
import os
import socket
import sys
import time
from pathlib import Path
from typing import IO

PATIENCE = 10.0  # seconds: a run that was just asked to stop writes its checkpoint first


def lock_folder(folder: Path) -> IO[str]:
    """Hold a folder until the file that is returned is closed, or this process ends, however it ends.

    The lock is the kernel's and this process's alone: a child does not keep it. It works on a network's file
    systems where these support POSIX locks.

    Raises:
        ValueError: another process holds it, and goes on doing so.
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
                print(f"codebook: {folder} cannot be locked: start no second run in it", file=sys.stderr)
                return file
            if not isinstance(error, BlockingIOError):
                raise
            if time.monotonic() < end:
                time.sleep(0.1)
                continue
            file.seek(0)
            raise ValueError(
                f"{folder} is being written by {file.read().strip() or 'another process'}: "
                "wait for it or stop it, or name another folder"
            ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file
