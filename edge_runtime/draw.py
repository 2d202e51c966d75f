"""Draw what was seen into a picture, with OpenCV alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.contract import UNCERTAIN
from edge_runtime.errors import SinkError, UsageError
from edge_runtime.preprocess import UInt8Array
from edge_runtime.records import FaceRecord

FONT = cv2.FONT_HERSHEY_SIMPLEX
INK = (255, 255, 255)
PAPER = (38, 30, 24)
ACCENT = (96, 214, 255)
MUTED = (170, 170, 170)
PAPER_OPACITY = 0.72
REFERENCE_HEIGHT_PX = 480
"""Height of the frame at which text is drawn at its nominal size."""


def annotate(image: UInt8Array, faces: Sequence[FaceRecord]) -> UInt8Array:
    """A copy of a BGR (H, W, 3) picture with each face's box, label and probabilities."""
    drawn = image.copy()
    unit = max(0.5, min(image.shape[0], image.shape[1]) / REFERENCE_HEIGHT_PX)
    for face in faces:
        _draw_box(drawn, face, unit)
    for face in faces:
        _draw_panel(drawn, face, unit)
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


def _draw_panel(image: UInt8Array, face: FaceRecord, unit: float) -> None:
    """Title and one bar per class, beside the box where there is room, else over it."""
    scale = 0.45 * unit
    line = round(17 * unit)
    pad = round(6 * unit)
    bar = round(60 * unit)
    names = list(face.probabilities)
    thin = max(1, round(unit))
    name_px = max(_text_width(name, scale, thin) for name in names)
    title = f"{face.label} {face.confidence:.0%}"
    title_px = _text_width(title, scale * 1.25, thin)
    width = max(name_px + pad + bar + pad + _text_width("100%", scale, thin), title_px) + 2 * pad
    height = round(line * 1.4) + line * len(names) + 2 * pad
    left, top = _place(image, face, width, height, pad)
    _shade(image, left, top, width, height)
    baseline = top + pad + line
    cv2.putText(image, title, (left + pad, baseline), FONT, scale * 1.25, ACCENT, thin, cv2.LINE_AA)
    baseline += round(line * 1.2)
    best = max(face.probabilities, key=lambda name: face.probabilities[name])
    for name, probability in face.probabilities.items():
        color = ACCENT if name == best else INK
        cv2.putText(image, name, (left + pad, baseline), FONT, scale, color, thin, cv2.LINE_AA)
        bar_left = left + pad + name_px + pad
        bar_top = baseline - round(9 * unit)
        full = (bar_left + bar, baseline)
        cv2.rectangle(image, (bar_left, bar_top), full, (90, 90, 90), -1)
        filled = (bar_left + round(bar * min(1.0, max(0.0, probability))), baseline)
        if filled[0] > bar_left:
            cv2.rectangle(image, (bar_left, bar_top), filled, color, -1)
        percent_left = bar_left + bar + pad
        cv2.putText(
            image, f"{probability:.0%}", (percent_left, baseline), FONT, scale, color, thin, cv2.LINE_AA
        )
        baseline += line


def _text_width(text: str, scale: float, thickness: int) -> int:
    return int(cv2.getTextSize(text, FONT, scale, thickness)[0][0])


def _place(image: UInt8Array, face: FaceRecord, width: int, height: int, pad: int) -> tuple[int, int]:
    """Top left corner of a panel: right of the box, left of it, or inside the picture's edge."""
    rows, columns = image.shape[:2]
    box = face.box
    right = round(box.x + box.w) + pad
    left = round(box.x) - pad - width
    if right + width <= columns:
        x = right
    elif left >= 0:
        x = left
    else:
        x = max(0, columns - width)
    y = min(max(0, round(box.y)), max(0, rows - height))
    return x, y


def _shade(image: UInt8Array, left: int, top: int, width: int, height: int) -> None:
    area = image[max(0, top) : top + height, max(0, left) : left + width]
    paper = np.empty_like(area)
    paper[:] = PAPER
    cv2.addWeighted(paper, PAPER_OPACITY, area, 1 - PAPER_OPACITY, 0, dst=area)
