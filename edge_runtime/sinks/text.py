"""Sink `text`: a line for people when something changes."""

from __future__ import annotations

import sys
from typing import TextIO

from edge_runtime.errors import SinkError
from edge_runtime.records import FaceRecord, FrameRecord


def describe_face(face: FaceRecord) -> str:
    """One face in words: track, label, confidence and box."""
    box = face.box
    return (
        f"face {face.track}: {face.label} {face.confidence:.0%} "
        f"at x={box.x:.0f} y={box.y:.0f} w={box.w:.0f} h={box.h:.0f}"
    )


class TextSink:
    """Prints a frame when its faces or their labels differ from those of the frame before."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._shown: tuple[tuple[int, str], ...] | None = None

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: stdout cannot be written.
            BrokenPipeError: the reader has gone.
        """
        state = tuple((face.track, face.label) for face in record.faces)
        if state == self._shown and not record.source:
            return
        self._shown = state
        what = "; ".join(map(describe_face, record.faces)) or "no face"
        where = record.source or f"frame {record.frame}"
        try:
            print(f"{where}: {what}", file=self._stream, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise SinkError(f"cannot write the results to stdout ({error.strerror})") from None

    def close(self) -> None:
        """Stdout stays open."""
