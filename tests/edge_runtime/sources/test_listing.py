"""What `edge-fer sources` says of devices."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from edge_runtime.__main__ import main
from edge_runtime.preprocess import UInt8Array
from edge_runtime.sources import listing


def capability(card: bytes, capabilities: int, of_device: int) -> bytes:
    return struct.pack("<16s32s32sIII12x", b"uvcvideo", card, b"usb-1", 1, capabilities, of_device)


def test_capability_of_the_device_counts_where_it_is_told() -> None:
    whole = listing.CAP_DEVICE_CAPS | listing.CAP_VIDEO_CAPTURE
    assert listing.parse_capability(capability(b"Webcam", whole, 1)) == ("Webcam", True)
    # The second node of a USB camera carries metadata, no pictures.
    assert listing.parse_capability(capability(b"Webcam", whole, 0x00800000)) == ("Webcam", False)
    assert listing.parse_capability(capability(b"Old", 1, 0)) == ("Old", True)
    assert len(capability(b"x", 0, 0)) == listing.CAPABILITY_BYTES


def test_devices_that_are_no_cameras_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video3").write_text("no device")
    (tmp_path / "video-notes").touch()
    monkeypatch.setattr(listing, "DEVICES", tmp_path)
    (found,) = listing._v4l2()
    assert (found.source, found.usable) == ("v4l2:3", False)


def test_verb_lists_the_demo(portrait: UInt8Array, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources", "--format", "json"]) == 0
    found = {item["source"]: item for item in json.loads(capsys.readouterr().out)}
    assert found["demo"]["usable"]
    assert main(["sources"]) == 0
    assert "demo 640x480" in capsys.readouterr().out
