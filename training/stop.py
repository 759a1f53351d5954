"""Stopping on request: a signal asks, the step under way ends, a checkpoint is written.

Imports nothing but the standard library, so that the trainer can call `listen` before it imports torch:
a Ctrl-C during those seconds then stops the run as cleanly as a later one.
"""

import os
import signal

STOPPED = 75  # exit code of a run that was stopped on request and can go on (EX_TEMPFAIL)

_asked = False


def listen() -> None:
    """From now on SIGINT and SIGTERM ask for a stop; a second SIGINT stops at once."""
    signal.signal(signal.SIGINT, _ask)
    signal.signal(signal.SIGTERM, _ask)


def asked() -> bool:
    """Whether a stop was asked for."""
    return _asked


def _ask(number: int, frame: object) -> None:
    global _asked
    if _asked and number == signal.SIGINT:
        os._exit(128 + signal.SIGINT)
    _asked = True
