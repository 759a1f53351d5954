"""Work that is divided among processes."""

import os
import re
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def usable_cores() -> int:
    """The number of CPU cores available to this process: on a cluster, those of its job."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Callable[[Task], Result], tasks: Sequence[Task], processes: int, ahead: int = 2
) -> Iterator[Result]:
    """Yield `work(task)` for each task in order, computed in several processes.

    At most `ahead` tasks per process are being computed, or done and waiting for an earlier one. With one
    process, or one task, everything happens in this process. Raises what `work` raises.
    """
    processes = min(processes, len(tasks))
    if processes <= 1:
        yield from map(work, tasks)
        return
    # A forked process inherits `work`, which may be large; where forking is unsafe, it is pickled
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(processes, context, _begin, (os.getpid(), work)) as pool:
        waiting: deque[Future] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(_do, task))
                if len(waiting) >= ahead * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_work: Callable[[Any], Any]  # in a process of the pool


def _begin(parent: int, work: Callable[[Any], Any]) -> None:
    """Prepare a process of the pool: it ends with its parent and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    global _work
    _work = work


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _do(task: Any) -> Any:
    return _work(task)


def parse_part(text: str) -> tuple[int, int]:
    """Parse a part "K/N" and return K and N.

    Raises:
        ValueError: `text` does not have this form, or not 1 <= K <= N.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"part {text} must be K/N with 1 <= K <= N, such as 3/8")
    return int(match[1]), int(match[2])
