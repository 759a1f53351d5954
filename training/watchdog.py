"""When one of several ranks exits or hangs, the others end promptly and name it.

A collective waits for all ranks. Gloo notices a broken connection and raises on some ranks; NCCL notices
nothing; and a process that was stopped breaks no connection. So every rank has a thread, which also runs
while the main thread waits in a collective. It raises the alarm in two cases: the main thread has completed
no step within the time-out, or this process was asked to stop and has completed no step since (torchrun asks
when it has lost another process). On an alarm all ranks are asked, through the store by which they found each
other, to respond. Those that do not are named.
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

LOOK = 0.5  # seconds between checks
ANSWER = 2.0  # seconds within which a running rank responds
AGAIN = "the same command resumes from the last checkpoint"
GRACE = 10.0  # seconds, plus twice the last step's, in which a step must end after a request to stop


class Watchdog(threading.Thread):
    """Watches the main thread of one of several ranks."""

    def __init__(self, rank: int, world_size: int, timeout: float) -> None:
        super().__init__(daemon=True, name="watchdog")
        self.rank, self.world_size, self.timeout = rank, world_size, timeout
        self.store: dist.Store | None = None  # None until the ranks have met
        self.doing, self.last, self.step_seconds = "joining the other ranks", time.monotonic(), 0.0
        self.alone = ""  # what the main thread is doing while the other ranks may be waiting for it
        self.asked: float | None = None  # time of a signal, unless a step has ended since
        self.alarmed = threading.Lock()  # the thread that acquires it reports for this process, and keeps it
        self.start()

    def meet(self, store: dist.Store) -> None:
        """Record that the ranks have met; `store` is a connection for the watchdog alone."""
        self.store = store

    def beat(self, doing: str) -> None:
        """Record that the main thread runs, in step with all ranks, and what it is `doing` next."""
        now = time.monotonic()
        self.step_seconds = now - self.last
        self.doing, self.last, self.asked = doing, now, None

    def run(self) -> None:
        """Watch until the process ends."""
        while True:
            if select.select([stop.arrivals()], [], [], LOOK)[0]:
                while _drain(stop.arrivals()):
                    pass
                self.asked = self.asked or time.monotonic()
                time.sleep(LOOK)
            now, asked, store = time.monotonic(), self.asked, self.store
            silent = now - self.last > self.timeout
            # Before the ranks have met there is nothing to save
            grace = GRACE + 2 * self.step_seconds if store else ANSWER
            if silent or (asked and now - asked > grace):
                self._end_by_thread(store, f"no step completed for {now - self.last:.0f} s")
            try:
                alarm = store is not None and store.check(["alarm"])
            except RuntimeError:
                alarm = False  # the store is unreachable; the main thread will notice
            if store and alarm:
                store.set(f"here {self.rank}", self.alone)
                time.sleep(2 * ANSWER)
                if self.alarmed.acquire(blocking=False):
                    _exit()

    def failed(self, error: BaseException) -> None:
        """Handle a failure of the main thread.

        Returns if this rank should report it, raises `Failed` if a missing rank is the cause, and ends the
        process silently if another rank has already reported.
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
                message = f"rank {self.rank}: the other ranks did not connect"
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
        """The ranks that the others are waiting for, and what they are doing."""
        alone = [(rank, store.get(f"here {rank}").decode()) for rank in range(self.world_size)]
        said = " and ".join(f"{called(rank)} is {what}" for rank, what in alone if what)
        return said or f"all ranks are {self.doing}"

    def _speaks(self, store: dist.Store) -> bool:
        """Claim the right to report for all ranks; True if this rank is the first to do so."""
        try:
            store.set(f"here {self.rank}", self.alone)
            store.set(f"spoke {self.rank}", "")
            return store.add("speakers", 1) == 1
        except RuntimeError:
            return True

    def _missing(self, store: dist.Store) -> str:
        """Raise the alarm, and return a message that names the ranks that do not respond; empty if all do.

        Ends the process silently if another rank reports.
        """
        try:
            store.set(f"here {self.rank}", self.alone)
            first = store.add("alarm", 1) == 1
            time.sleep(ANSWER)
            others = [rank for rank in range(self.world_size) if rank != self.rank]
            spoke = any(store.check([f"spoke {rank}"]) for rank in others)
            missing = [rank for rank in others if not store.check([f"here {rank}"])]
        except RuntimeError:
            return f"{called(0)}, or the torchrun that started it, has exited ({self.doing}): {AGAIN}"
        if missing and not spoke and self._speaks(store):
            ranks = " and ".join(map(called, missing))
            verbs = "has exited or hangs" if len(missing) == 1 else "have exited or hang"
            return f"{ranks} of {self.world_size} {verbs} ({self.doing}): {AGAIN}"
        if spoke or missing or not first:
            _exit()
        return ""


def called(rank: int) -> str:
    """The name of a rank in messages, with its node if the job lists several nodes in NODELIST."""
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
