"""A contact sheet: given pictures with what a model says of them, to judge a statement by eye.

Whoever names labels or input range wrongly sees it here at once: smiling faces called `sad`, or the same
answer under every picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import DataError

TILE_PX, TEXT_PX, COLUMNS = 144, 40, 6
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def read_pictures(paths: Sequence[Path]) -> list[npt.NDArray[np.uint8]]:
    """Pictures of files and folders, each a face that fills it, RGB (H, W, 3).

    Raises:
        DataError: a file that is no picture, or a folder without pictures.
    """
    files: list[Path] = []
    for path in paths:
        inside = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
        if not inside:
            raise DataError(f"{path}: no pictures in this folder; expected {', '.join(SUFFIXES)}")
        files += inside
    pictures = []
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such picture")
        picture = (
            cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
        )
        if picture is None:
            raise DataError(f"{file}: not a picture that can be read")
        pictures.append(np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8))
    return pictures


def contact_sheet(
    pictures: Sequence[npt.NDArray[np.uint8]],
    probabilities: npt.NDArray[np.float32],
    labels: tuple[str, ...],
) -> npt.NDArray[np.uint8]:
    """Draw the sheet.

    Args:
        pictures: RGB (H, W, 3) each.
        probabilities: (pictures, labels).

    Returns:
        uint8 BGR (rows * 184, columns * 144, 3).
    """
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (TILE_PX + TEXT_PX), columns * TILE_PX, 3), 255, np.uint8)
    for index, (picture, shares) in enumerate(zip(pictures, probabilities, strict=True)):
        top, left = index // columns * (TILE_PX + TEXT_PX), index % columns * TILE_PX
        tile = cv2.resize(picture[..., ::-1], (TILE_PX, TILE_PX), interpolation=cv2.INTER_LINEAR)
        sheet[top : top + TILE_PX, left : left + TILE_PX] = tile
        for line, place in enumerate(np.argsort(-shares)[:2]):
            text = f"{labels[place]} {shares[place]:.0%}"
            where = (left + 4, top + TILE_PX + 15 + 18 * line)
            shade = (0, 0, 0) if line == 0 else (130, 130, 130)
            cv2.putText(sheet, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.45, shade, 1, cv2.LINE_AA)
    return sheet
