"""The double of Picamera2 keeps the contract that the real one keeps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.device import camera_contract
from tests.edge_runtime.sources import picamera_double


class DoubleRig:
    def stall(self) -> None:
        picamera_double.stall()

    def resume(self) -> None:
        picamera_double.stall(False)

    def elapse(self, frames: int) -> None:
        picamera_double.elapse(frames)

    def held(self) -> AbstractContextManager[None]:
        return picamera_double.held()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[DoubleRig]:
    camera, library = picamera_double.modules()
    monkeypatch.setitem(sys.modules, "picamera2", camera)
    monkeypatch.setitem(sys.modules, "libcamera", library)
    yield DoubleRig()
    picamera_double.modules()


class TestDouble(camera_contract.Surface):
    """Picamera2's own behaviour."""


class TestSourceOnTheDouble(camera_contract.Source):
    """Our source over it."""
