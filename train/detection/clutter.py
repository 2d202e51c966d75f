"""Drawn furniture: what a camera in a room sees that is no face.

A detector that knows few rooms takes mirrors, windows, framed pictures, cupboards and plants for faces. The
labelled pictures show too few of them, and the pictures of rooms are not trained on: they count the false
alarms. These are drawn at random instead; none is like another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
Points = Sequence[tuple[float, float]]

MOST = 8
"""Things in one picture."""
SIZES = (0.08, 0.9)
"""Smallest and largest, fraction of the picture's shorter side; drawn evenly in the logarithm."""
_BITS = 4
"""Fraction bits of OpenCV's coordinates."""


@dataclass(frozen=True)
class _Pen:
    """Draws in the coordinates of one thing, -1 to 1, onto a picture."""

    canvas: UInt8Array
    center: tuple[float, float]
    axes: npt.NDArray[np.float64]
    """(2, 2): from the thing's coordinates to pixels."""
    angle_deg: float
    rng: np.random.Generator

    def shade(self) -> int:
        return int(self.rng.integers(0, 256))

    def polygon(self, points: Points, shade: int) -> None:
        cv2.fillPoly(self.canvas, [self._pixels(points)], shade, cv2.LINE_AA, _BITS)

    def rectangle(self, left: float, top: float, right: float, bottom: float, shade: int) -> None:
        self.polygon(((left, top), (right, top), (right, bottom), (left, bottom)), shade)

    def line(self, points: Points, shade: int, width: float) -> None:
        thickness = max(1, round(width * float(np.abs(self.axes).max())))
        cv2.polylines(self.canvas, [self._pixels(points)], False, shade, thickness, cv2.LINE_AA, _BITS)

    def ellipse(self, x: float, y: float, rx: float, ry: float, shade: int) -> None:
        (center,) = self._pixels([(x, y)])
        scale = np.linalg.norm(self.axes, axis=0) * 2**_BITS
        radii = (max(1, round(rx * float(scale[0]))), max(1, round(ry * float(scale[1]))))
        cv2.ellipse(
            self.canvas,
            (int(center[0]), int(center[1])),
            radii,
            self.angle_deg,
            0,
            360,
            shade,
            -1,
            cv2.LINE_AA,
            _BITS,
        )

    def _pixels(self, points: Points) -> npt.NDArray[np.int32]:
        moved = np.asarray(points) @ self.axes.T + self.center
        return np.round(moved * 2**_BITS).astype(np.int32)


def draw_clutter(canvas: UInt8Array, rng: np.random.Generator) -> None:
    """Draw one to `MOST` things into a picture, uint8 (height, width), in place."""
    rows, columns = canvas.shape
    plain = canvas.copy()
    low, high = (math.log(size) for size in SIZES)
    for _ in range(int(rng.integers(1, MOST + 1))):
        height = math.exp(rng.uniform(low, high)) * min(rows, columns) / 2
        width = height * math.exp(rng.uniform(-0.5, 0.5))
        angle = float(rng.normal(0, 4 if rng.random() < 0.8 else 25))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        axes = np.array([[cos, -sin], [sin, cos]]) @ np.diag([width, height])
        center = (rng.uniform(0, columns), rng.uniform(0, rows))
        draw = THINGS[int(rng.integers(len(THINGS)))]
        draw(_Pen(canvas, center, axes, angle, rng))
    # What was there shines through: drawn surfaces have no texture of their own.
    cover = rng.uniform(0.5, 1)
    cv2.addWeighted(canvas, cover, plain, 1 - cover, 0, dst=canvas)


def _window(pen: _Pen) -> None:
    frame, glass = pen.shade(), pen.shade()
    rim = pen.rng.uniform(0.05, 0.2)
    pen.rectangle(-1, -1, 1, 1, frame)
    pen.rectangle(rim - 1, rim - 1, 1 - rim, 1 - rim, glass)
    across, down = (int(count) for count in pen.rng.integers(0, 4, 2))
    for share in np.linspace(-1, 1, across + 2)[1:-1]:
        pen.line(((share, -1), (share, 1)), frame, rim / 2)
    for share in np.linspace(-1, 1, down + 2)[1:-1]:
        pen.line(((-1, share), (1, share)), frame, rim / 2)


def _picture(pen: _Pen) -> None:
    inner = 1.0
    for _ in range(int(pen.rng.integers(2, 4))):
        pen.rectangle(-inner, -inner, inner, inner, pen.shade())
        inner *= pen.rng.uniform(0.7, 0.92)
    for _ in range(int(pen.rng.integers(1, 5))):
        x, y = pen.rng.uniform(-0.6 * inner, 0.6 * inner, 2)
        rx, ry = pen.rng.uniform(0.1 * inner, 0.4 * inner, 2)
        pen.ellipse(x, y, rx, ry, pen.shade())


def _disc(pen: _Pen) -> None:
    """A mirror, a plate, a clock or a wreath."""
    pen.ellipse(0, 0, 1, 1, pen.shade())
    rim = pen.rng.uniform(0.5, 0.9)
    pen.ellipse(0, 0, rim, rim, pen.shade())
    if pen.rng.random() < 0.5:
        mark, count = pen.shade(), int(pen.rng.integers(2, 13))
        for turn in pen.rng.uniform(0, 2 * math.pi) + np.arange(count) * 2 * math.pi / count:
            pen.ellipse(0.75 * rim * math.cos(turn), 0.75 * rim * math.sin(turn), 0.08, 0.08, mark)
    if pen.rng.random() < 0.5:
        hand = pen.shade()
        for turn in pen.rng.uniform(0, 2 * math.pi, 2):
            pen.line(((0, 0), (0.7 * rim * math.cos(turn), 0.7 * rim * math.sin(turn))), hand, 0.06)


def _cupboard(pen: _Pen) -> None:
    door, gap, knob = pen.shade(), pen.shade(), pen.shade()
    pen.rectangle(-1, -1, 1, 1, door)
    columns, rows = (int(count) for count in pen.rng.integers(1, 4, 2))
    xs, ys = np.linspace(-1, 1, columns + 1), np.linspace(-1, 1, rows + 1)
    for x in xs:
        pen.line(((x, -1), (x, 1)), gap, 0.04)
    for y in ys:
        pen.line(((-1, y), (1, y)), gap, 0.04)
    handle, height = pen.rng.uniform(0, 0.3), pen.rng.uniform(0.2, 0.8)
    for top, bottom in itertools.pairwise(ys):
        for left, right in itertools.pairwise(xs):
            x, y = (left + right) / 2, top + height * (bottom - top)
            if handle < 0.1:
                pen.ellipse(x, y, 0.06, 0.06, knob)
            else:
                pen.line(((x - handle, y), (x + handle, y)), knob, 0.06)


def _plant(pen: _Pen) -> None:
    low, high = sorted((pen.shade(), pen.shade()))
    for _ in range(int(pen.rng.integers(15, 50))):
        turn, reach = pen.rng.uniform(0, 2 * math.pi), math.sqrt(pen.rng.random())
        rx, ry = pen.rng.uniform(0.05, 0.25, 2)
        shade = int(pen.rng.integers(low, high + 1))
        pen.ellipse(reach * math.cos(turn), reach * math.sin(turn) * 0.8 - 0.2, rx, ry, shade)
    if pen.rng.random() < 0.6:
        pen.polygon(((-0.35, 0.5), (0.35, 0.5), (0.25, 1.1), (-0.25, 1.1)), pen.shade())


def _bars(pen: _Pen) -> None:
    """Blinds, a railing, a shelf or the back of a chair."""
    if pen.rng.random() < 0.5:
        pen.rectangle(-1, -1, 1, 1, pen.shade())
    shade, width = pen.shade(), pen.rng.uniform(0.03, 0.15)
    upright = pen.rng.random() < 0.5
    for share in np.linspace(-1, 1, int(pen.rng.integers(3, 9))):
        ends = ((share, -1), (share, 1)) if upright else ((-1, share), (1, share))
        pen.line(ends, shade, width)
    if pen.rng.random() < 0.4:
        pen.line([(math.cos(t), -1 - 0.3 * math.sin(t)) for t in np.linspace(0, math.pi, 9)], shade, width)


def _lamp(pen: _Pen) -> None:
    top, shade = pen.rng.uniform(0.2, 0.8), pen.shade()
    base = pen.shade()
    pen.line(((0, 0), (0, 1)), base, pen.rng.uniform(0.04, 0.2))
    pen.ellipse(0, 1, 0.5, 0.12, base)
    pen.polygon(((-top, -1), (top, -1), (0.9, 0.1), (-0.9, 0.1)), shade)


def _spots(pen: _Pen) -> None:
    """A few spots on a plain shape: a socket, a handbag, a cushion with buttons."""
    body = pen.shade()
    if pen.rng.random() < 0.5:
        pen.ellipse(0, 0, 0.8, 1, body)
    else:
        pen.rectangle(-0.8, -1, 0.8, 1, body)
    spot = pen.shade()
    for _ in range(int(pen.rng.integers(1, 6))):
        x, y = pen.rng.uniform(-0.7, 0.7, 2)
        rx, ry = pen.rng.uniform(0.05, 0.25, 2)
        pen.ellipse(x, y, rx, ry, spot)


THINGS: tuple[Callable[[_Pen], None], ...] = (
    _window,
    _picture,
    _disc,
    _cupboard,
    _plant,
    _bars,
    _lamp,
    _spots,
)
