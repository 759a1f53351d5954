"""When one of several ranks is gone or stands still, the others end promptly and say which.

A collective waits for everybody. Gloo notices a connection that breaks and raises on some ranks; NCCL
notices nothing; a process that was stopped breaks no connection. So a thread on every rank, which runs also
while the main thread waits in a collective, looks for two things: that the main thread has made no step for
longer than the time-out, and that this process was asked to stop and then made none (torchrun asks so when it
has lost another process). Then it raises the alarm: through the store by which the ranks have met, everybody
is asked to answer. Who does not is named.
"""

import os
import select
import sys
import threading
import time
from typing import NoReturn

import torch.distributed as dist

from common.errors import Failed

from . import stop

LOOK = 0.5  # seconds between two looks
ANSWER = 2.0  # seconds in which a rank that is there has answered
AGAIN = "the same command resumes from the last checkpoint"
GRACE = 10.0  # seconds, and twice the last step's: a step that was asked to be the last one takes no longer


class Watchdog(threading.Thread):
    """Watches over the main thread of one rank of several."""

    def __init__(self, rank: int, world_size: int, timeout: float) -> None:
        super().__init__(daemon=True, name="watchdog")
        self.rank, self.world_size, self.timeout = rank, world_size, timeout
        self.store: dist.Store | None = None  # none as long as the ranks have not met
        self.doing, self.last, self.step_seconds = "joining the others", time.monotonic(), 0.0
        self.alone = ""  # what the main thread does while the others may wait for it
        self.asked: float | None = None  # when a signal came, unless a step has ended since
        self.alarmed = threading.Lock()  # whoever takes it speaks for this process, and keeps it
        self.start()

    def meet(self, store: dist.Store) -> None:
        """The ranks have met; `store` is a connection for the watchdog alone."""
        self.store = store

    def beat(self, doing: str) -> None:
        """The main thread lives, all ranks have agreed; it is `doing` this next."""
        now = time.monotonic()
        self.step_seconds = now - self.last
        self.doing, self.last, self.asked = doing, now, None

    def run(self) -> None:
        """Look, until the process ends."""
        while True:
            if select.select([stop.arrivals()], [], [], LOOK)[0]:
                while _drain(stop.arrivals()):
                    pass
                self.asked = self.asked or time.monotonic()
                time.sleep(LOOK)
            now, asked, store = time.monotonic(), self.asked, self.store
            silent = now - self.last > self.timeout
            # Before the ranks have met there is nothing to keep
            grace = GRACE + 2 * self.step_seconds if store else ANSWER
            if silent or (asked and now - asked > grace):
                self._end_by_thread(store, f"no step for {now - self.last:.0f} s")
            try:
                alarm = store is not None and store.check(["alarm"])
            except RuntimeError:
                alarm = False  # the store is gone, and the main thread will notice
            if store and alarm:
                store.set(f"here {self.rank}", self.alone)
                time.sleep(2 * ANSWER)
                if self.alarmed.acquire(blocking=False):
                    _exit()

    def failed(self, error: BaseException) -> None:
        """The main thread has failed: returns if this rank is to say so, raises `Failed` where another one is
        the reason, and ends the process in silence if another rank has spoken.
        """
        self.alarmed.acquire()
        if self.store is None:
            return
        if isinstance(error, RuntimeError) and (missing := self._missing(self.store)):
            raise Failed(missing) from error
        if not self._speaks(self.store):
            _exit()

    def _end_by_thread(self, store: dist.Store | None, why: str) -> NoReturn:
        if self.alarmed.acquire(blocking=False):
            if store is None:
                message = f"rank {self.rank} waits for the others in vain"
            else:
                message = self._missing(store)
                if not message and self._speaks(store):
                    message = f"{why}: {self._alone(store)}"
            if message:
                print(f"codebook: {message}", file=sys.stderr)
            _exit()
        while True:  # the main thread is about to end the process
            time.sleep(LOOK)

    def _alone(self, store: dist.Store) -> str:
        """What those ranks do that the others wait for."""
        alone = [(rank, store.get(f"here {rank}").decode()) for rank in range(self.world_size)]
        said = " and ".join(f"{called(rank)} is {what}" for rank, what in alone if what)
        return said or f"all ranks are {self.doing}"

    def _speaks(self, store: dist.Store) -> bool:
        """Whether this is the first rank that has something to say; the others then know that it is."""
        try:
            store.set(f"here {self.rank}", self.alone)
            store.set(f"spoke {self.rank}", "")
            return store.add("speakers", 1) == 1
        except RuntimeError:
            return True

    def _missing(self, store: dist.Store) -> str:
        """Raise the alarm, and say who does not answer; empty if all do.

        Ends the process in silence where another rank speaks.
        """
        try:
            store.set(f"here {self.rank}", self.alone)
            first = store.add("alarm", 1) == 1
            time.sleep(ANSWER)
            others = [rank for rank in range(self.world_size) if rank != self.rank]
            spoke = any(store.check([f"spoke {rank}"]) for rank in others)
            missing = [rank for rank in others if not store.check([f"here {rank}"])]
        except RuntimeError:
            return f"{called(0)}, or the torchrun that started it, is gone ({self.doing}): {AGAIN}"
        if missing and not spoke and self._speaks(store):
            ranks = " and ".join(map(called, missing))
            verbs = "is gone or stands" if len(missing) == 1 else "are gone or stand"
            return f"{ranks} of {self.world_size} {verbs} still ({self.doing}): {AGAIN}"
        if spoke or missing or not first:
            _exit()
        return ""


def called(rank: int) -> str:
    """A rank for a person, with its node where a job on a cluster says which nodes it has (NODELIST)."""
    nodes = os.environ.get("NODELIST", "").split()
    if len(nodes) < 2:
        return f"rank {rank}"
    return f"rank {rank} on {nodes[rank // int(os.environ['LOCAL_WORLD_SIZE'])]}"


def _drain(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 64)
    except BlockingIOError:
        return b""


def _exit() -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
