"""Training pictures for a detector, composed from labelled ones in numpy and OpenCV."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.datasets.yolo import BoxedImages, clip_boxes
from edge_runtime.errors import DataError
from train.detection.clutter import draw_clutter
from train.detection.photometry import distort
from train.detection.recipe import BoxDataSection, SceneSection

FloatArray = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

MAX_GROWTH = 2.0
"""Pictures are not enlarged more: a camera's faces are never that soft."""
LEAST_COVER = 0.5
"""Pictures around one face are not made smaller than this share of the scene."""


@dataclass(frozen=True)
class Scene:
    pixels: UInt8Array
    """uint8 (height, width)."""
    boxes: FloatArray
    """(faces, 4) x, y, w, h in pixels, cut at the edges."""
    visible: FloatArray
    """(faces,) share of each box's area that is inside, 0..1."""


@dataclass(frozen=True)
class _Placed:
    """Boxes of one picture in the scene, before they are cut."""

    boxes: FloatArray
    region: tuple[int, int, int, int]
    """Left, top, right, bottom of what the picture may cover."""


class SceneMaker:
    """Draws scenes; every scene depends on the generator that it is given alone."""

    def __init__(
        self, data: BoxedImages, source: BoxDataSection, section: SceneSection, input_hw: tuple[int, int]
    ) -> None:
        """
        Raises:
            DataError: no picture has a share, or none with a face where scenes of one face are drawn.
        """
        self._data = data
        self._section = section
        self._hw = input_hw
        faces = np.array([len(boxes) > 0 for boxes in data.boxes])
        weights = _weights(data.names, source)
        if not (weights * faces if section.single else weights).any():
            raise DataError(
                f"{data.source}: [data] shares leave no picture to draw scenes from; names of "
                f"pictures with faces must begin with one of: {', '.join(source.shares)}"
            )
        self._all = _cumulative(weights)
        self._with_faces = _cumulative(weights * faces)
        kinds = [section.single, section.mosaic, section.whole, section.background]
        self._kinds = np.cumsum(kinds) / sum(kinds)

    def make(self, rng: np.random.Generator) -> Scene:
        """Draw one scene."""
        kind = int(np.searchsorted(self._kinds, rng.random(), side="right"))
        canvas = np.empty(self._hw, np.uint8)
        canvas[:] = 0 if rng.random() < 0.5 else rng.integers(0, 256)
        placed: list[_Placed]
        if kind == 0:
            if rng.random() < 0.5:
                self._background(canvas, (0, 0, self._hw[1], self._hw[0]), rng)
            placed = [self._single(canvas, rng)]
        elif kind == 1:
            placed = self._mosaic(canvas, rng)
        elif kind == 2:
            placed = [
                self._whole(canvas, (0, 0, self._hw[1], self._hw[0]), self._draw(self._all, rng), rng)
            ]
        else:
            self._background(canvas, (0, 0, self._hw[1], self._hw[0]), rng)
            placed = []
        boxes, visible = _cut(placed, self._hw)
        return Scene(distort(canvas, self._section, rng), boxes, visible)

    def _draw(self, cumulative: npt.NDArray, rng: np.random.Generator) -> int:
        return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))

    def _single(self, canvas: UInt8Array, rng: np.random.Generator) -> _Placed:
        """A picture scaled so that one of its faces gets a drawn height, at a drawn place."""
        height, width = self._hw
        row = self._draw(self._with_faces, rng)
        rows, columns = self._data.images[row].shape
        boxes = self._data.boxes[row]
        face = boxes[rng.integers(len(boxes))]
        low, high = (math.log(share * height) for share in self._section.face_height)
        scale = math.exp(rng.uniform(low, high)) / max(float(face[3]), 1.0)
        least = LEAST_COVER * min(width / columns, height / rows)
        scale = min(max(scale, least), MAX_GROWTH)
        target = [rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height]
        center = [float(face[0] + face[2] / 2), float(face[1] + face[3] / 2)]
        if rng.random() < 0.8:
            # Move the picture so that it covers the scene where it is large enough to.
            for axis, (size, extent) in enumerate(((columns, width), (rows, height))):
                edges = sorted((center[axis] * scale, extent - (size - center[axis]) * scale))
                target[axis] = min(max(target[axis], edges[0]), edges[1])
        return self._place(canvas, row, scale, center, target, (0, 0, width, height), rng)

    def _mosaic(self, canvas: UInt8Array, rng: np.random.Generator) -> list[_Placed]:
        height, width = self._hw
        count = 2 if rng.random() < 0.6 else 3
        xs, ys = (_cuts(extent, count, rng) for extent in (width, height))
        placed = []
        for top, bottom in itertools.pairwise(ys):
            for left, right in itertools.pairwise(xs):
                region = (left, top, right, bottom)
                if rng.random() < 0.12:
                    self._background(canvas, region, rng)
                else:
                    row = self._draw(self._all, rng)
                    placed.append(self._whole(canvas, region, row, rng, fill=True))
        return placed

    def _whole(
        self,
        canvas: UInt8Array,
        region: tuple[int, int, int, int],
        row: int,
        rng: np.random.Generator,
        fill: bool = False,
    ) -> _Placed:
        """A whole picture within a region, as the device frames it; with `fill`, covering most of it."""
        left, top, right, bottom = region
        rows, columns = self._data.images[row].shape
        fits = ((right - left) / columns, (bottom - top) / rows)
        scale = min(fits)
        center = [columns / 2, rows / 2]
        target = [left + columns * scale / 2, top + rows * scale / 2]
        if fill:
            scale = scale * (max(fits) / scale) ** rng.uniform(0, 1) * math.exp(rng.uniform(-0.2, 0.4))
            target = [(left + right) / 2, (top + bottom) / 2]
            boxes = self._data.boxes[row]
            if len(boxes):
                face = boxes[rng.integers(len(boxes))]
                share = rng.uniform(0, 1)
                center[0] += share * (float(face[0] + face[2] / 2) - center[0])
                center[1] += share * (float(face[1] + face[3] / 2) - center[1])
        return self._place(canvas, row, min(scale, MAX_GROWTH), center, target, region, rng)

    def _background(
        self, canvas: UInt8Array, region: tuple[int, int, int, int], rng: np.random.Generator
    ) -> None:
        """Fill a region with a part of a picture that shows no face."""
        left, top, right, bottom = region
        part = self._faceless((right - left, bottom - top), rng)
        if part is not None:
            if self._section.varied and rng.random() < self._section.varied:
                part = self._vary(part, rng)
            canvas[top:bottom, left:right] = part
        if self._section.clutter and rng.random() < self._section.clutter:
            draw_clutter(canvas[top:bottom, left:right], rng)

    def _faceless(self, size: tuple[int, int], rng: np.random.Generator) -> UInt8Array | None:
        """A part of a picture without a face, scaled to a size (width, height); None if none was met."""
        for _ in range(8):
            row = self._draw(self._all, rng)
            image, boxes = self._data.images[row], self._data.boxes[row]
            share = rng.uniform(0.25, 1.0 if not len(boxes) else 0.6)
            h = max(8, round(image.shape[0] * share))
            w = max(8, min(image.shape[1], round(h * size[0] / size[1])))
            y = int(rng.integers(0, max(1, image.shape[0] - h + 1)))
            x = int(rng.integers(0, max(1, image.shape[1] - w + 1)))
            grown = 0.15 * boxes[:, 2:]
            ends = boxes[:, :2] + boxes[:, 2:] + grown
            clear = (ends < (x, y)).any(axis=1) | (boxes[:, :2] - grown > (x + w, y + h)).any(axis=1)
            if clear.all():
                part = image[y : y + h, x : x + w]
                interpolation = cv2.INTER_AREA if h > size[1] else cv2.INTER_LINEAR
                part = cv2.resize(part, size, interpolation=interpolation)  # type: ignore[assignment]
                return part[:, ::-1] if rng.random() < 0.5 else part
        return None

    def _vary(self, part: UInt8Array, rng: np.random.Generator) -> UInt8Array:
        """What no picture shows and yet is no face: turned, laid over another, or inverted."""
        height, width = part.shape
        if rng.random() < 0.5:
            other = self._faceless((width, height), rng)
            if other is not None:
                cover = rng.uniform(0.3, 0.7)
                part = cv2.addWeighted(part, cover, other, 1 - cover, 0)  # type: ignore[assignment]
        quarters = int(rng.integers(4))
        if quarters:
            part = np.rot90(part, quarters)
            if quarters % 2:
                part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        return 255 - part if rng.random() < 0.2 else part

    def _place(
        self,
        canvas: UInt8Array,
        row: int,
        scale: float,
        center: Sequence[float],
        target: Sequence[float],
        region: tuple[int, int, int, int],
        rng: np.random.Generator,
    ) -> _Placed:
        """Warp a picture into a region: `center` of the picture comes to `target` of the scene."""
        image, boxes = self._data.images[row], self._data.boxes[row]
        section = self._section
        angle = 0.0
        if section.rotation_deg and rng.random() < 0.6:
            limit = section.rotation_deg
            angle = math.radians(float(np.clip(rng.normal(0, limit / 2.5), -limit, limit)))
        stretch = math.exp(rng.uniform(-section.stretch, section.stretch) / 2)
        flip = -1.0 if rng.random() < 0.5 else 1.0
        image, shrunk = _shrunk(image, scale)
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]])
        linear = turn @ np.diag([flip * scale * stretch, scale / stretch])
        shift = np.asarray(target) - linear @ np.asarray(center)
        left, top, right, bottom = region
        # warpAffine takes pixel centres at whole numbers, boxes take them at halves.
        to_shrunk = linear / shrunk
        warp = np.empty((2, 3))
        warp[:, :2] = to_shrunk
        warp[:, 2] = shift - (left, top) + to_shrunk @ (0.5, 0.5) - 0.5
        cv2.warpAffine(
            image,
            warp,
            (right - left, bottom - top),
            dst=canvas[top:bottom, left:right],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_TRANSPARENT,
        )
        return _Placed(_turned(boxes, linear, shift), region)


def _turned(boxes: FloatArray, linear: npt.NDArray, shift: npt.NDArray) -> FloatArray:
    """Boxes (N, 4) after an affine map: bounds of the ellipse in each box, as a face fills it."""
    half = boxes[:, 2:] / 2
    centers = (boxes[:, :2] + half) @ linear.T + shift
    extent = np.sqrt((half**2) @ (linear**2).T)
    return np.concatenate([centers - extent, 2 * extent], axis=1).astype(np.float32)


def _cut(placed: list[_Placed], hw: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Boxes cut at their regions, those outside left out, and the share of each that is visible."""
    boxes, visible = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
    for item in placed:
        left, top, right, bottom = item.region
        moved = item.boxes - np.array([left, top, 0, 0], np.float32)
        cut = clip_boxes(moved, (bottom - top, right - left))
        cut[:, :2] += (left, top)
        share = (cut[:, 2] * cut[:, 3]) / np.maximum(item.boxes[:, 2] * item.boxes[:, 3], 1e-6)
        inside = share > 0.02
        boxes.append(cut[inside])
        visible.append(share[inside].astype(np.float32))
    return np.concatenate(boxes), np.concatenate(visible)


def _shrunk(image: UInt8Array, scale: float) -> tuple[UInt8Array, float]:
    """The picture, halved as often as it stays larger than wanted, so that warping does not alias."""
    factor = 1.0
    while scale / factor <= 0.5:
        factor /= 2
    if factor < 1:
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor  # type: ignore[return-value]
    return image, factor


def _weights(names: Sequence[str], source: BoxDataSection) -> FloatArray:
    """Probability (N,) of each picture: the shares of the recipe, even within a share."""
    weights = np.ones(len(names), np.float32)
    if not source.shares:
        return weights
    weights[:] = 0
    for prefix, share in source.shares.items():
        members = np.array([name.startswith(prefix) for name in names])
        weights[members] = share / max(members.sum(), 1)
    return weights


def _cumulative(weights: npt.NDArray) -> npt.NDArray[np.float64]:
    return np.cumsum(weights.astype(np.float64))


def _cuts(extent: int, count: int, rng: np.random.Generator) -> list[int]:
    """Edges of `count` columns or rows of somewhat different size."""
    step = extent / count
    inner = [round(step * (index + rng.uniform(-0.2, 0.2))) for index in range(1, count)]
    return [0, *inner, extent]
