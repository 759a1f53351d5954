"""Stopping on request: something asks, the step under way ends, a checkpoint is written.

What asks:

1) a signal to any process of the run: SIGINT, SIGTERM or SIGUSR2
2) a file that is there, named by the environment's STOP_FILE: what a batch script can write when a signal
   cannot be trusted to arrive
3) the time that `max_seconds` gives

Imports nothing but the standard library, so that the trainer can call `listen` before it imports torch:
a Ctrl-C during those seconds then stops the run as cleanly as a later one.
"""

import ctypes
import os
import signal
import sys
import time
from types import FrameType

STOPPED = 75  # exit code of a run that was stopped on request and can go on (EX_TEMPFAIL)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

_began = time.monotonic()
_signal: tuple[str, float] | None = None  # the first one's name and time
_looked = float("-inf")  # when the file was looked for
_arrivals = -1  # a pipe: a byte for every signal, also while the main thread waits in a collective


def listen() -> None:
    """From now on signals ask for a stop; a Ctrl-C a second or more after the first stops at once.

    Torchrun hands on the Ctrl-C that its processes have got from the terminal, too. When torchrun itself
    is killed, its processes are asked to stop.
    """
    global _arrivals
    _arrivals, writing = os.pipe()
    os.set_blocking(_arrivals, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in SIGNALS:
        signal.signal(number, _ask)
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


def no_longer() -> None:
    """From now on SIGINT and SIGTERM end this process at once, in a way that the user sees."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def asked(max_seconds: float | None = None, look: bool = False) -> str:
    """Why this process is asked to stop; empty where it is not. With `look` the file is looked for, too,
    once a second."""
    global _looked
    if _signal:
        return _signal[0]
    now = time.monotonic()
    if max_seconds is not None and now - _began >= max_seconds:
        return f"max_seconds {max_seconds:g}"
    name = os.environ.get("STOP_FILE")
    if look and name and now - _looked >= 1:
        _looked = now
        if os.path.exists(name):
            return f"the file {name}"
    return ""


def arrivals() -> int:
    """A file descriptor that can be read when a signal has arrived, whatever the main thread does."""
    return _arrivals


def _ask(number: int, frame: FrameType | None) -> None:
    global _signal
    now = time.monotonic()
    if _signal and number == signal.SIGINT and now - _signal[1] >= 1:
        os._exit(128 + signal.SIGINT)
    _signal = _signal or (signal.Signals(number).name, now)
