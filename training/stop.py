"""Stopping on request: the step under way ends, a checkpoint is written, and the run exits.

A stop is requested by:

1) a signal to any process of the run: SIGINT, SIGTERM or SIGUSR2
2) the file named by the environment variable STOP_FILE, once it exists: a batch script can write it where
   signals may not arrive
3) the time limit `max_seconds`

Imports only the standard library, so that the trainer can call `listen` before it imports torch, which takes
seconds: a request during that time is not lost. A Ctrl-C then exits at once, as there is nothing to save.
"""

import ctypes
import os
import signal
import sys
import time
from types import FrameType

STOPPED = 75  # exit code of a run that was stopped on request and can be resumed (EX_TEMPFAIL)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

_began = time.monotonic()
_signal: tuple[str, float] | None = None  # the first one's name and time
_begun = False  # there may be something to save
_looked = float("-inf")  # time of the last look for the file
_arrivals = -1  # a pipe that gets a byte for every signal, even while the main thread waits in a collective


def listen() -> None:
    """Handle signals as requests to stop; a second Ctrl-C, a second or more after the first, exits at once.

    The delay is there because torchrun forwards a Ctrl-C that its processes also get from the terminal. If
    torchrun itself is killed, its processes are asked to stop.
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


def begin() -> None:
    """From now on a Ctrl-C waits for the end of a step."""
    global _begun
    _begun = True


def no_longer() -> None:
    """From now on SIGINT and SIGTERM end this process at once, in a way that the user sees."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def asked(max_seconds: float | None = None, look: bool = False) -> str:
    """The reason why this process is asked to stop; empty if it is not.

    With `look` it also checks for the file, at most once a second.
    """
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
    """A file descriptor that becomes readable when a signal arrives, whatever the main thread does."""
    return _arrivals


def _ask(number: int, frame: FrameType | None) -> None:
    global _signal
    now = time.monotonic()
    if number == signal.SIGINT and not _begun and "TORCHELASTIC_RUN_ID" not in os.environ:
        os._exit(128 + signal.SIGINT)
    if _signal and number == signal.SIGINT and now - _signal[1] >= 1:
        os._exit(128 + signal.SIGINT)
    _signal = _signal or (signal.Signals(number).name, now)
