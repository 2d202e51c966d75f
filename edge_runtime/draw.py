"""Draw what was seen into a picture, with OpenCV alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.contract import UNCERTAIN
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.preprocess import Box, UInt8Array
from edge_runtime.records import FaceRecord

FONT = cv2.FONT_HERSHEY_SIMPLEX
INK = (255, 255, 255)
PAPER = (38, 30, 24)
ACCENT = (96, 214, 255)
MUTED = (170, 170, 170)
TROUGH = (90, 90, 90)
PAPER_OPACITY = 0.72
REFERENCE_HEIGHT_PX = 480
"""Height of the frame at which text is drawn at its nominal size."""


def annotate(image: UInt8Array, faces: Sequence[FaceRecord], *, panels: bool = True) -> UInt8Array:
    """A copy of a BGR (H, W, 3) picture with each face's box and label.

    Args:
        panels: whether the probabilities stand beside the faces.
    """
    drawn = image.copy()
    unit = max(0.5, min(image.shape[0], image.shape[1]) / REFERENCE_HEIGHT_PX)
    for face in faces:
        _draw_box(drawn, face, unit)
    taken = [face.box for face in faces]
    for face in faces:
        panel = _Panel(face, unit) if panels else None
        place = panel.place(drawn.shape[:2], taken) if panel is not None else None
        if panel is None or place is None:
            _draw_tag(drawn, face, unit)
        else:
            panel.draw(drawn, round(place.x), round(place.y))
            taken.append(place)
    return drawn


def write_image(path: str | os.PathLike[str], image: UInt8Array) -> None:
    """Write a picture to a temporary name beside `path` and rename it.

    Raises:
        UsageError: the suffix names no format that OpenCV writes.
        SinkError: it cannot be written there.
    """
    target = Path(path)
    data = _encode(target, image)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SinkError(f"{target}: cannot write the picture ({error.strerror})") from None


def check_image_path(path: str | os.PathLike[str]) -> None:
    """Refuse a path that `write_image` could not write, before any work is done.

    Raises:
        UsageError: the suffix names no format that OpenCV writes.
        SinkError: the folder does not exist.
    """
    target = Path(path)
    _encode(target, np.zeros((1, 1, 3), np.uint8))
    if target.is_dir():
        raise SinkError(f"{target}: is a folder; give a file name")
    if not target.parent.is_dir():
        raise SinkError(f"{target}: cannot write the picture (no folder {target.parent})")


def _encode(target: Path, image: UInt8Array) -> bytes:
    try:
        ok, data = cv2.imencode(target.suffix or "?", image)
    except cv2.error:
        ok = False
    if not ok:
        raise UsageError(f"{target}: not a picture's name; end it in .png or .jpg")
    return data.tobytes()


def _draw_box(image: UInt8Array, face: FaceRecord, unit: float) -> None:
    color = MUTED if face.label == UNCERTAIN else ACCENT
    left, top = round(face.box.x), round(face.box.y)
    right, bottom = round(face.box.x + face.box.w), round(face.box.y + face.box.h)
    thick = max(1, round(2 * unit))
    cv2.rectangle(image, (left, top), (right, bottom), PAPER, thick + 2, cv2.LINE_AA)
    cv2.rectangle(image, (left, top), (right, bottom), color, thick, cv2.LINE_AA)


def _title(face: FaceRecord) -> str:
    return f"{face.label} {face.confidence:.0%}"


def _draw_tag(image: UInt8Array, face: FaceRecord, unit: float) -> None:
    """The title alone, above the box or inside its top, where a panel would cover other faces."""
    scale, thin, pad = 0.5 * unit, max(1, round(unit)), round(4 * unit)
    width = _text_width(_title(face), scale, thin) + 2 * pad
    height = round(20 * unit)
    left = min(max(0, round(face.box.x)), max(0, image.shape[1] - width))
    top = round(face.box.y) - height
    if top < 0:
        top = max(0, round(face.box.y))
    _shade(image, left, top, width, height)
    origin = (left + pad, top + height - round(6 * unit))
    cv2.putText(image, _title(face), origin, FONT, scale, ACCENT, thin, cv2.LINE_AA)


class _Panel:
    """Title and one bar per class, to be placed beside a face."""

    def __init__(self, face: FaceRecord, unit: float) -> None:
        self._face = face
        self._unit = unit
        self._scale = 0.45 * unit
        self._line = round(17 * unit)
        self._pad = round(6 * unit)
        self._bar = round(60 * unit)
        self._thin = max(1, round(unit))
        self._name_px = max(self._width(name) for name in face.probabilities)
        row_px = self._name_px + self._pad + self._bar + self._pad + self._width("100%")
        title_px = _text_width(_title(face), self._scale * 1.25, self._thin)
        self.width = max(row_px, title_px) + 2 * self._pad
        self.height = round(self._line * 1.4) + self._line * len(face.probabilities) + 2 * self._pad

    def _width(self, text: str) -> int:
        return _text_width(text, self._scale, self._thin)

    def place(self, image_hw: tuple[int, int], taken: Sequence[Box]) -> Box | None:
        """Beside, below or above the face where it covers nothing that is taken, else None."""
        rows, columns = image_hw
        box, gap = self._face.box, self._pad
        level = min(max(0.0, box.y), float(max(0, rows - self.height)))
        aligned = min(max(0.0, box.x), float(max(0, columns - self.width)))
        corners = (
            (box.x + box.w + gap, level),
            (box.x - gap - self.width, level),
            (aligned, box.y + box.h + gap),
            (aligned, box.y - gap - self.height),
        )
        for x, y in corners:
            spot = Box(x, y, self.width, self.height)
            fits = 0 <= x <= columns - self.width and 0 <= y <= rows - self.height
            if fits and not any(spot.iou(other) for other in taken):
                return spot
        return None

    def draw(self, image: UInt8Array, left: int, top: int) -> None:
        _shade(image, left, top, self.width, self.height)
        face, scale, thin, pad = self._face, self._scale, self._thin, self._pad
        baseline = top + pad + self._line
        origin = (left + pad, baseline)
        cv2.putText(image, _title(face), origin, FONT, scale * 1.25, ACCENT, thin, cv2.LINE_AA)
        baseline += round(self._line * 1.2)
        best = max(face.probabilities, key=lambda name: face.probabilities[name])
        bar_left = left + pad + self._name_px + pad
        for name, probability in face.probabilities.items():
            color = ACCENT if name == best else INK
            bar_top = baseline - round(9 * self._unit)
            filled = bar_left + round(self._bar * min(1.0, max(0.0, probability)))
            cv2.putText(image, name, (left + pad, baseline), FONT, scale, color, thin, cv2.LINE_AA)
            cv2.rectangle(image, (bar_left, bar_top), (bar_left + self._bar, baseline), TROUGH, -1)
            if filled > bar_left:
                cv2.rectangle(image, (bar_left, bar_top), (filled, baseline), color, -1)
            origin = (bar_left + self._bar + pad, baseline)
            cv2.putText(image, f"{probability:.0%}", origin, FONT, scale, color, thin, cv2.LINE_AA)
            baseline += self._line


def _text_width(text: str, scale: float, thickness: int) -> int:
    return int(cv2.getTextSize(text, FONT, scale, thickness)[0][0])


def _shade(image: UInt8Array, left: int, top: int, width: int, height: int) -> None:
    area = image[max(0, top) : top + height, max(0, left) : left + width]
    paper = np.empty_like(area)
    paper[:] = PAPER
    cv2.addWeighted(paper, PAPER_OPACITY, area, 1 - PAPER_OPACITY, 0, dst=area)
