"""Detector `none`: the whole frame is the face, for pictures that are face crops already."""

from __future__ import annotations

from edge_runtime.detectors.base import Detection
from edge_runtime.preprocess import Box, UInt8Array


class WholeFrame:
    """Reports one face that fills the frame."""

    name = "none"

    def detect(self, luma: UInt8Array) -> list[Detection]:
        height, width = luma.shape
        return [Detection(Box(0.0, 0.0, float(width), float(height)), 1.0)]


def load() -> WholeFrame:
    return WholeFrame()
