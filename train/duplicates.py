"""Pictures that are nearly the same: found by difference hashes, proven by correlation."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

MAX_DISTANCE = 3
"""Bits of 64 in which the hashes of a candidate pair may differ."""
MIN_CORRELATION = 0.98
"""Pearson correlation of the pixels from which on a candidate pair counts as nearly the same."""
MAX_BUCKET = 2000
"""Larger groups of one hash part are pictures without structure, and are passed over."""


def difference_hashes(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """64-bit dHash (N,) of luma pictures (N, H, W): signs of horizontal steps of a 9x8 miniature."""
    small = np.stack([cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA) for image in images])
    bits = small[:, :, 1:] > small[:, :, :-1]
    return np.packbits(bits.reshape(len(images), 64), axis=1).view(">u8").astype(np.uint64).ravel()


def near_pairs(images: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Pairs (i < j) of luma pictures (N, H, W) that are nearly but not exactly the same.

    Hashes that differ in at most three bits agree in one of their four 16-bit parts, so that only
    pictures that share a part need comparing.
    """
    if not len(images):
        return []
    hashes = difference_hashes(images)
    candidates: set[tuple[int, int]] = set()
    for part in range(4):
        values = (hashes >> np.uint64(16 * part)) & np.uint64(0xFFFF)
        order = np.argsort(values, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
            if 2 <= len(bucket) <= MAX_BUCKET:
                distance = _bits(hashes[bucket][:, None] ^ hashes[bucket][None, :])
                for i, j in zip(*np.nonzero(np.triu(distance <= MAX_DISTANCE, 1)), strict=True):
                    first, second = sorted((int(bucket[i]), int(bucket[j])))
                    candidates.add((first, second))
    return [pair for pair in sorted(candidates) if _nearly_same(images[pair[0]], images[pair[1]])]


def _bits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    as_bytes = values[..., None].view(np.uint8)
    table = np.array([bin(value).count("1") for value in range(256)], np.uint8)
    return table[as_bytes].sum(axis=-1, dtype=np.uint8)


def _nearly_same(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    if np.array_equal(first, second):
        return False
    a, b = (image.astype(np.float64).ravel() - image.mean() for image in (first, second))
    scale = np.sqrt((a @ a) * (b @ b))
    return bool(scale > 0 and a @ b / scale >= MIN_CORRELATION)
