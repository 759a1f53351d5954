"""Steps are begun before those before them have been read, so that a GPU never waits for the host."""

import time
from collections import deque
from collections.abc import Callable

from .step import Step, StepResult

AHEAD = 2  # steps that a GPU has in store


class RunAhead:
    """Begins steps in order and reads them in order, each up to `distance` steps later.

    The host learns of a stop, or of a loss that is not finite, that many steps late, and no later. With a
    `distance` of 0 every step is read before the next one begins.
    """

    def __init__(
        self, begin: Callable[[int], Step], done: int, distance: int, pauses: Callable[[int], bool]
    ) -> None:
        """`begin(number)` begins a step, the first after so many that are `done`; after a step that `pauses`
        none begins before it has been read.
        """
        self.begin, self.distance, self.pauses = begin, distance, pauses
        self.under_way: deque[tuple[float, Step]] = deque()
        self.begun, self.drains, self.ended = done, False, 0.0

    @property
    def idle(self) -> bool:
        """Whether all steps that were begun have been read: the weights are those after the last of them."""
        return not self.under_way

    def read(self) -> tuple[StepResult, float]:
        """The next step, and the seconds that it took: since it began, or since the one before had ended."""
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
        """Begin no step before all have been read."""
        self.drains = True

    def forget(self, done: int) -> None:
        """Begin anew after so many steps: those that are under way have changed nothing."""
        self.under_way.clear()
        self.begun, self.drains = done, False
