"""Random changes of training pictures, in numpy and OpenCV so that every Keras backend can use them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from train.sections import AugmentSection

ERASED_AREA = (0.02, 0.2)
"""Smallest and largest part of the picture that erasing covers."""


def augment_batch(
    images: npt.NDArray[np.uint8], section: AugmentSection, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Change every picture of a batch on its own.

    Args:
        images: uint8 (N, H, W, C).
        rng: the only source of randomness.

    Returns:
        float32 (N, H, W, C), 0..255.
    """
    result = np.empty(images.shape, np.float32)
    for index, image in enumerate(images):
        result[index] = _augment(image, section, rng)
    return result


def mixup(
    images: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    alpha: float,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Blend each picture (N, H, W, C) and its target (N, classes) with another of the batch."""
    part = np.float32(rng.beta(alpha, alpha))
    other = rng.permutation(len(images))
    return (
        part * images + (1 - part) * images[other],
        part * targets + (1 - part) * targets[other],
    )


def _augment(image: npt.NDArray, section: AugmentSection, rng: np.random.Generator) -> npt.NDArray:
    picture = image.astype(np.float32)
    if section.flip and rng.random() < 0.5:
        picture = picture[:, ::-1]
    if section.rotation_deg or section.shift or section.scale:
        picture = _affine(picture, section, rng)
    if section.contrast:
        gain = 1 + rng.uniform(-section.contrast, section.contrast)
        picture = (picture - picture.mean()) * gain + picture.mean()
    if section.brightness:
        picture = picture + 255 * rng.uniform(-section.brightness, section.brightness)
    picture = np.clip(picture, 0, 255)
    if section.erase and rng.random() < section.erase:
        _erase(picture, rng)
    return picture.reshape(image.shape)


def _affine(picture: npt.NDArray, section: AugmentSection, rng: np.random.Generator) -> npt.NDArray:
    height, width = picture.shape[:2]
    angle = rng.uniform(-section.rotation_deg, section.rotation_deg)
    factor = 1 + rng.uniform(-section.scale, section.scale)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, factor)
    matrix[:, 2] += rng.uniform(-section.shift, section.shift, 2) * np.array([width, height])
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _erase(picture: npt.NDArray, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    area = rng.uniform(*ERASED_AREA) * height * width
    ratio = np.exp(rng.uniform(-1, 1))
    h = int(np.clip(round(np.sqrt(area * ratio)), 1, height))
    w = int(np.clip(round(np.sqrt(area / ratio)), 1, width))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    picture[top : top + h, left : left + w] = rng.uniform(0, 255)
