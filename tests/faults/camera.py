"""A USB camera of our own behind OpenCV's interface, that breaks when it is told to.

`python -m tests.faults.camera FOLDER ARGUMENT…` runs edge-fer with it. What the camera does stands in
`FOLDER/mode` and may change at any time; `FOLDER/camera` is its device file, which is gone while it is
unplugged. Modes: `ok`, `unplugged`, `stalled`, `garbage` (what is no picture), `noise`, `error` (the driver
raises), `WIDTHxHEIGHT` (another size).
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

FOLDER_VARIABLE = "EDGE_FER_TEST_CAMERA"
INTERVAL_S = 0.01


class Camera:
    """The folder through which a test moves the camera."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = folder / "camera"
        self.set("ok")

    def set(self, mode: str) -> None:
        mode_file = self.folder / "mode"
        temporary = mode_file.with_suffix(".new")
        temporary.write_text(mode)
        temporary.replace(mode_file)
        if mode == "unplugged":
            self.device.unlink(missing_ok=True)
        else:
            self.device.touch()


class BrokenCapture:
    """Stands in for `cv2.VideoCapture`."""

    def __init__(self, path: str, *_: Any) -> None:
        self._folder = Path(os.environ[FOLDER_VARIABLE])
        self._open = Path(path).exists()
        self._garbage = itertools.cycle(
            [
                (True, None),
                (True, np.zeros((0, 0, 3), np.uint8)),
                (True, np.zeros((480, 640), np.uint8)),
                (True, np.zeros((480, 640, 2), np.uint8)),
                (True, np.zeros((480, 640, 3), np.uint16)),
                (False, None),
            ]
        )
        y, x = np.mgrid[:480, :640]
        self._picture = np.dstack([x // 3, y // 2, (x + y) // 5]).astype(np.uint8)
        self._random = np.random.default_rng(1)

    @property
    def _mode(self) -> str:
        return (self._folder / "mode").read_text()

    def isOpened(self) -> bool:
        return self._open

    def set(self, *_: Any) -> bool:
        return True

    def get(self, which: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}.get(which, 25.0)

    def release(self) -> None:
        self._open = False

    def grab(self) -> bool:
        time.sleep(INTERVAL_S)
        while self._mode == "stalled":
            time.sleep(INTERVAL_S)
        if self._mode == "error":
            raise ValueError("the driver has lost its way")
        return self._open and self._mode != "unplugged"

    def retrieve(self, _: Any = None) -> tuple[bool, Any]:
        mode = self._mode
        if mode == "garbage":
            return next(self._garbage)
        if mode == "noise":
            return True, self._random.integers(0, 256, (480, 640, 3), np.uint8)
        if "x" in mode and mode[0].isdigit():
            width, height = map(int, mode.split("x"))
            return True, cv2.resize(self._picture, (width, height))
        return True, self._picture.copy()


def main() -> int:
    """Run edge-fer with the camera, and with whatever else the environment asks for."""
    from edge_runtime.sources import reopening

    folder, *arguments = sys.argv[1:]
    os.environ[FOLDER_VARIABLE] = folder
    cv2.VideoCapture = BrokenCapture  # type: ignore[assignment, misc]
    reopening.FIRST_PAUSE_S = 0.02
    reopening.LONGEST_PAUSE_S = 0.1

    from edge_runtime.__main__ import main as edge_fer

    return edge_fer(arguments)


if __name__ == "__main__":
    sys.exit(main())
