"""Steps begun before earlier ones are read: how many, in which order, and when none may begin."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from training.run_ahead import RunAhead


@dataclass
class Device:
    """Records which steps are begun and read, in order."""

    events: list[tuple[str, int]] = field(default_factory=list)

    def begin(self, number: int) -> "Begun":
        self.events.append(("begin", number))
        return Begun(self, number)

    def under_way(self) -> list[int]:
        """The number of steps under way after each event."""
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
def test_steps_are_read_in_order_and_none_begins_before_a_pausing_one_is_read(distance, done, pauses, drains):
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


def test_with_a_distance_of_0_each_step_is_read_before_the_next_begins():
    device = Device()
    steps = RunAhead(device.begin, 0, 0, lambda number: False)
    for _ in range(3):
        steps.read()
        assert steps.idle
    assert device.events == [(what, number) for number in (1, 2, 3) for what in ("begin", "read")]


def test_with_a_distance_of_2_the_third_step_begins_before_the_first_is_read():
    device = Device()
    steps = RunAhead(device.begin, 0, 2, lambda number: number == 4)
    steps.read()
    assert device.events == [("begin", 1), ("begin", 2), ("begin", 3), ("read", 1)]
    steps.read(), steps.read(), steps.read()
    assert steps.idle and device.events[4:] == [("begin", 4), ("read", 2), ("read", 3), ("read", 4)]


def test_steps_under_way_can_be_dropped_and_begun_again():
    device = Device()
    steps = RunAhead(device.begin, 0, 2, lambda number: False)
    assert steps.read()[0] == 1
    steps.forget(1)
    assert steps.idle and steps.read()[0] == 2
    assert [number for what, number in device.events if what == "begin"] == [1, 2, 3, 2, 3, 4]
