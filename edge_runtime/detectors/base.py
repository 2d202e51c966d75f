"""The seam between edge-fer and face detectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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
