"""Positions of the labels of points, so that they do not cover each other or other points."""

from typing import Literal, NamedTuple

import altair as alt

HEIGHT, WIDTH = 11.0, 5.8  # pixels: of a label, and of each of its characters
AWAY = 8.0  # pixels from the middle of a point to its label
POINT = 5.0  # pixels from the middle of a point to its edge


class Side(NamedTuple):
    """The position of a label relative to its point."""

    dx: int
    """-1: left, 0: centred, 1: right"""
    dy: int
    """-1: above, 0: beside, 1: below"""

    def mark(self, base: alt.Chart) -> alt.Chart:
        """Text of the field `label` on this side of each point of a chart."""
        dx = (AWAY if self.dy == 0 else 0.7 * AWAY) * self.dx
        dy = _down(self)
        aligned: tuple[Literal["center"], Literal["left"], Literal["right"]] = ("center", "left", "right")
        align = aligned[self.dx]
        text = base.mark_text(align=align, baseline="middle", dx=dx, dy=dy, fontSize=10, opacity=0.85)
        return text.encode(text="label:N")


SIDES = [Side(1, 0), Side(-1, 0), Side(0, -1), Side(0, 1), Side(1, -1), Side(1, 1), Side(-1, -1), Side(-1, 1)]

Box = tuple[float, float, float, float]  # left, top, right, bottom


def place_labels(points: list[tuple[float, float]], labels: list[str], width: float) -> list[Side]:
    """The side of each label, chosen one at a time so that it covers least.

    `points` are in pixels, x to the right and y downwards, in a panel of this width.
    """
    taken = [(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in points]
    chosen = []
    for (x, y), label in zip(points, labels, strict=True):
        boxes = {side: _box(x, y, side, WIDTH * len(label)) for side in SIDES}
        side = min(
            SIDES,
            key=lambda side: sum(_overlap(boxes[side], box) for box in taken) + _out(boxes[side], width),
        )
        taken.append(boxes[side])
        chosen.append(side)
    return chosen


def _box(x: float, y: float, side: Side, width: float) -> Box:
    """The box that a label covers."""
    away = AWAY if side.dy == 0 else AWAY * 0.7
    left = x - width / 2 if side.dx == 0 else x + away if side.dx > 0 else x - away - width
    middle = y + _down(side)
    return left, middle - HEIGHT / 2, left + width, middle + HEIGHT / 2


def _down(side: Side) -> float:
    """Pixels from the middle of a point down to the middle of its label."""
    return side.dy * (AWAY + HEIGHT / 2) * (1 if side.dx == 0 else 0.7)


def _overlap(one: Box, other: Box) -> float:
    """The area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)


def _out(box: Box, width: float) -> float:
    """The area of a box outside the sides of the panel."""
    return (max(0.0, -box[0]) + max(0.0, box[2] - width)) * HEIGHT
