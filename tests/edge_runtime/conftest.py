"""What the tests of the device share: a tiny model, a real portrait, and videos where there are any."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.preprocess import UInt8Array

ROOT = Path(__file__).parents[2]
MEDIA = ROOT.parent / "shared" / "media"


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """A .tflite with random weights, a contract and self-test vectors."""
    return ROOT / "tests" / "data" / "tiny.tflite"


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder with real videos beside the checkout."""
    if not MEDIA.is_dir():
        pytest.skip(f"no videos in {MEDIA}")
    return MEDIA


@pytest.fixture(scope="session")
def portrait() -> UInt8Array:
    """A frame of the demo, BGR (480, 640, 3), with one face."""
    pytest.importorskip("skimage", reason="needs the extra `demo`")
    from edge_runtime.sources import SourceOptions
    from edge_runtime.sources.demo import open_demo

    return open_demo("1", SourceOptions()).render(0)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of 64x48 pixels in which nothing is a face."""
    path = tmp_path / "gradient.png"
    row = np.linspace(0, 255, 64, dtype=np.uint8)
    cv2.imwrite(str(path), np.dstack([np.tile(row, (48, 1))] * 3))
    return path
