"""What light, lens, sensor and codec do to a picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from train.detection.recipe import SceneSection

UInt8Array = npt.NDArray[np.uint8]


def distort(pixels: UInt8Array, section: SceneSection, rng: np.random.Generator) -> UInt8Array:
    """Change brightness, contrast and gamma; sometimes blur, add noise and compress.

    Args:
        pixels: uint8 (height, width).
    """
    pixels = _tone(pixels, section, rng)
    if rng.random() < section.blur:
        pixels = _blur(pixels, rng)
    if rng.random() < section.noise:
        noise = rng.standard_normal(pixels.shape, np.float32) * rng.uniform(2, 14)
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    if rng.random() < section.jpeg:
        quality = int(rng.integers(20, 90))
        _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)  # type: ignore[assignment]
    return pixels


def _tone(pixels: UInt8Array, section: SceneSection, rng: np.random.Generator) -> UInt8Array:
    gain = 1 + rng.uniform(-section.contrast, section.contrast)
    offset = 255 * rng.uniform(-section.brightness, section.brightness)
    gamma = math.exp(rng.uniform(-section.contrast, section.contrast))
    middle = float(pixels.mean())
    values = 255 * (np.arange(256) / 255) ** gamma
    table = np.clip((values - middle) * gain + middle + offset, 0, 255).astype(np.uint8)
    return cv2.LUT(pixels, table)  # type: ignore[return-value]


def _blur(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    if rng.random() < 0.7:
        return cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.3))  # type: ignore[return-value]
    length = int(rng.integers(2, 6))
    kernel = np.zeros((length, length), np.float32)
    if rng.random() < 0.7:
        kernel[length // 2] = 1 / length
    else:
        kernel[:, length // 2] = 1 / length
    return cv2.filter2D(pixels, -1, kernel)  # type: ignore[return-value]
