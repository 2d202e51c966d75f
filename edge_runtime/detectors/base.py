"""The seam between edge-fer and face detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_runtime.preprocess import Box


@dataclass(frozen=True)
class Detection:
    """One face that a detector found."""

    box: Box
    """In pixels of the frame, in the box convention of `edge_runtime.preprocess.Box`."""
    score: float
    """Confidence 0..1; 1.0 where the method has none."""


class Detector(Protocol):
    """Finds faces in one luma frame; not thread-safe."""

    name: str
    """Name on the command line: `edge`, `haar`, `yunet`, `none`."""

    def detect(self, luma: npt.NDArray[np.uint8]) -> list[Detection]:
        """Find faces.

        Args:
            luma: uint8 (H, W), full range.

        Returns:
            Detections, best score first, then largest box first.
        """
        ...


@runtime_checkable
class LocalDetector(Detector, Protocol):
    """A detector that can look for one face near a place at a fraction of the cost of a whole frame.

    The others search every frame whole.
    """

    def detect_near(self, luma: npt.NDArray[np.uint8], box: Box) -> Detection | None:
        """Find the face that was in `box` in a frame shortly before, of about the same size.

        Args:
            luma: uint8 (H, W), full range.

        Returns:
            The detection that overlaps `box` most, or None.
        """
        ...
