"""Linear maps between the conventions in which data sets and detectors frame a face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class BoxMap:
    """Move and resize a box in units of its own size.

    One set of pictures frames a face from the hairline, another from the brows; the ratio between two
    conventions is the same for near and far faces, so four numbers describe it.
    """

    dx: float = 0.0
    """Move of the centre to the right, fraction of the box's width."""
    dy: float = 0.0
    """Move of the centre down, fraction of the box's height."""
    scale_w: float = 1.0
    """New width over old width."""
    scale_h: float = 1.0
    """New height over old height."""

    def __post_init__(self) -> None:
        if not (0.1 <= self.scale_w <= 10 and 0.1 <= self.scale_h <= 10):
            raise ValueError(f"scales of a box map must be 0.1..10. Received: {self}")
        if not (abs(self.dx) <= 2 and abs(self.dy) <= 2):
            raise ValueError(f"moves of a box map must be -2..2. Received: {self}")

    def apply(self, boxes: npt.NDArray) -> npt.NDArray:
        """Map boxes (..., 4) as x, y, w, h; type and shape stay."""
        mapped = np.empty_like(boxes)
        w, h = boxes[..., 2], boxes[..., 3]
        mapped[..., 2] = w * self.scale_w
        mapped[..., 3] = h * self.scale_h
        mapped[..., 0] = boxes[..., 0] + w * (0.5 + self.dx) - mapped[..., 2] / 2
        mapped[..., 1] = boxes[..., 1] + h * (0.5 + self.dy) - mapped[..., 3] / 2
        return mapped

    def apply_one(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        """As `apply` for one box in plain numbers, where calls of numpy would cost more than the sums."""
        new_w, new_h = w * self.scale_w, h * self.scale_h
        new_x = x + w * (0.5 + self.dx) - new_w / 2
        return new_x, y + h * (0.5 + self.dy) - new_h / 2, new_w, new_h

    def inverse(self) -> BoxMap:
        """The map that takes mapped boxes back."""
        return BoxMap(-self.dx / self.scale_w, -self.dy / self.scale_h, 1 / self.scale_w, 1 / self.scale_h)

    def then(self, other: BoxMap) -> BoxMap:
        """The map that applies this one first and `other` to its result."""
        return BoxMap(
            self.dx + other.dx * self.scale_w,
            self.dy + other.dy * self.scale_h,
            self.scale_w * other.scale_w,
            self.scale_h * other.scale_h,
        )
