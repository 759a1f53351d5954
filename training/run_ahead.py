"""Begin steps before the results of earlier ones are read, so that a GPU never waits for the host."""

import time
from collections import deque
from collections.abc import Callable

from .step import Step, StepResult

AHEAD = 2  # steps queued on a GPU


class RunAhead:
    """Begins steps in order and reads their results in order, each at most `distance` steps later.

    So the host learns of a stop or a non-finite loss at most `distance` steps late. With a `distance` of 0,
    every step is read before the next one begins.
    """

    def __init__(
        self, begin: Callable[[int], Step], done: int, distance: int, pauses: Callable[[int], bool]
    ) -> None:
        """`begin(number)` begins a step; the first number is `done + 1`.

        A step for which `pauses(number)` is true is read before the next one begins.
        """
        self.begin, self.distance, self.pauses = begin, distance, pauses
        self.under_way: deque[tuple[float, Step]] = deque()
        self.begun, self.drains, self.ended = done, False, 0.0

    @property
    def idle(self) -> bool:
        """True if all begun steps have been read: the weights are those after the last of them."""
        return not self.under_way

    def read(self) -> tuple[StepResult, float]:
        """The next result, and its seconds: since the step began, or since the one before ended if later."""
        while self.idle or not (self.drains or len(self.under_way) > self.distance):
            now = time.perf_counter()
            self.begun += 1
            self.under_way.append((now, self.begin(self.begun)))
            self.drains = self.pauses(self.begun)
        now, step = self.under_way.popleft()
        result, since = step.result(), max(now, self.ended)
        self.ended = time.perf_counter()
        return result, self.ended - since

    def drain(self) -> None:
        """Begin no further step until all begun ones have been read."""
        self.drains = True

    def forget(self, done: int) -> None:
        """Restart after step `done`, and drop the steps under way, which have changed nothing."""
        self.under_way.clear()
        self.begun, self.drains = done, False
