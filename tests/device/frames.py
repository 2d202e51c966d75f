"""Generated pictures: a drawn face on a gradient, as binary PGM, from the standard library alone."""

from __future__ import annotations

from pathlib import Path


def write_frames(folder: Path, count: int = 3, width: int = 160, height: int = 120) -> None:
    """Write `count` pictures in which the face moves to the right."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        center = width * (0.4 + 0.1 * index)
        rows = bytearray()
        for y in range(height):
            rows.extend(_gray(x, y, width, height, center) for x in range(width))
        header = f"P5\n{width} {height}\n255\n".encode()
        (folder / f"frame{index}.pgm").write_bytes(header + rows)


def _gray(x: int, y: int, width: int, height: int, center: float) -> int:
    across, down = (x - center) / (0.22 * width), (y / height - 0.5) / 0.4
    if across**2 + down**2 > 1:
        return 40 + 60 * x // width
    eye = (abs(across) - 0.4) ** 2 / 0.03 + (down + 0.25) ** 2 / 0.015 < 1
    mouth = across**2 / 0.2 + (down - 0.5) ** 2 / 0.01 < 1
    return 50 if eye or mouth else 190
