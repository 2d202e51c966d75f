"""A small set of pictures in YOLO layout: a face is a bright square with a dark middle."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_runtime.datasets.yolo import BoxedImages

RECIPE = """
task = "detect"
description = "tiny"

[model]
architecture = "edge_face"
parameters = { stem = [4, 4], fine = [8], coarse = [8], head = [8, 8] }

[data]
height = 48
width = 64
alarm_prefix = "room_"

[scenes]
scenes = 8
noise = 0
jpeg = 0

[train]
epochs = 2
cooldown_epochs = 1
warmup_epochs = 0.5
batch_size = 4
"""


def picture(rng: np.random.Generator, faces: int) -> tuple[np.ndarray, np.ndarray]:
    image = rng.integers(60, 90, (60, 80), dtype=np.uint8)
    boxes = []
    for index in range(faces):
        size = int(rng.integers(14, 24))
        x, y = 40 * index + int(rng.integers(0, 14)), int(rng.integers(0, 60 - size))
        image[y : y + size, x : x + size] = 220
        third = size // 3
        image[y + third : y + 2 * third, x + third : x + 2 * third] = 10
        boxes.append((x, y, size, size))
    return image, np.array(boxes, np.float32).reshape(-1, 4)


def boxed_images(count: int = 12) -> BoxedImages:
    rng = np.random.default_rng(5)
    pairs = [picture(rng, index % 3) for index in range(count)]
    splits = np.array(["validation" if index % 4 == 3 else "Training" for index in range(count)])
    names = tuple(f"{'room' if index % 3 == 0 else 'desk'}_{index:02d}" for index in range(count))
    return BoxedImages(
        tuple(image for image, _ in pairs), tuple(boxes for _, boxes in pairs), names, splits, "memory"
    )


def write_yolo(root: Path, data: BoxedImages) -> Path:
    for image, boxes, name, split in zip(data.images, data.boxes, data.names, data.splits, strict=True):
        for kind in ("images", "labels"):
            (root / kind / str(split)).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / str(split) / f"{name}.png"), image)
        height, width = image.shape
        lines = [
            f"0 {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}"
            for x, y, w, h in boxes
        ]
        (root / "labels" / str(split) / f"{name}.txt").write_text("\n".join(lines))
    return root
