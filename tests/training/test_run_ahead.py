"""Steps begun before those before them are read: how many, in which order, and when none is."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from training.run_ahead import RunAhead


@dataclass
class Device:
    """What is begun and read, in order."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def begin(self, number: int) -> "Begun":
        self.events.append(("begin", number))
        return Begun(self, number)

    def under_way(self) -> list[int]:
        """How many steps were under way after each event."""
        begun = read = 0
        found = []
        for what, number in self.events:
            begun, read = (number, read) if what == "begin" else (begun, number)
            found.append(begun - read)
        return found


@dataclass
class Begun:
    device: Device
    number: int

    def result(self) -> int:
        self.device.events.append(("read", self.number))
        return self.number


@given(st.integers(0, 3), st.integers(0, 50), st.sets(st.integers(0, 90)), st.sets(st.integers(0, 90)))
def test_steps_are_read_in_order_and_none_is_begun_behind_one_that_pauses(distance, done, pauses, drains):
    device = Device()
    steps = RunAhead(device.begin, done, distance, lambda number: number in pauses)
    for number in range(done + 1, done + 31):
        result, seconds = steps.read()
        assert result == number and seconds >= 0
        assert steps.idle or (distance > 0 and number not in pauses)
        if number in drains:
            steps.drain()
            begun = steps.begun
            while not steps.idle:
                assert steps.begun == begun
                steps.read()
            break
    for what in ("begin", "read"):
        numbers = [number for event, number in device.events if event == what]
        assert numbers == list(range(done + 1, done + 1 + len(numbers)))
    assert max(device.under_way()) - done <= distance + 1


def test_with_a_distance_of_nothing_each_step_is_read_before_the_next_begins():
    device = Device()
    steps = RunAhead(device.begin, 0, 0, lambda number: False)
    for _ in range(3):
        steps.read()
        assert steps.idle
    assert device.events == [(what, number) for number in (1, 2, 3) for what in ("begin", "read")]


def test_a_host_ahead_begins_the_third_step_before_it_reads_the_first():
    device = Device()
    steps = RunAhead(device.begin, 0, 2, lambda number: number == 4)
    steps.read()
    assert device.events == [("begin", 1), ("begin", 2), ("begin", 3), ("read", 1)]
    steps.read(), steps.read(), steps.read()
    assert steps.idle and device.events[4:] == [("begin", 4), ("read", 2), ("read", 3), ("read", 4)]


def test_what_is_under_way_can_be_forgotten_and_begun_anew():
    device = Device()
    steps = RunAhead(device.begin, 0, 2, lambda number: False)
    assert steps.read()[0] == 1
    steps.forget(1)
    assert steps.idle and steps.read()[0] == 2
    assert [number for what, number in device.events if what == "begin"] == [1, 2, 3, 2, 3, 4]
