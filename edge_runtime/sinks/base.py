"""The seam between edge-fer and whoever wants the results."""

from __future__ import annotations

from typing import Protocol

from edge_runtime.records import FrameRecord


class Sink(Protocol):
    """Takes one record per processed frame."""

    def write(self, record: FrameRecord) -> None:
        """Deliver a record.

        Raises:
            SinkError: it cannot be delivered, e.g. the disk is full.
        """
        ...

    def close(self) -> None:
        """Flush and release; idempotent."""
        ...
