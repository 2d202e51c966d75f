"""The seam between edge-fer and whoever wants the results."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from edge_runtime.records import FrameRecord
from edge_runtime.sources.base import Frame

Item = TypeVar("Item", contravariant=True)


class Writer(Protocol[Item]):
    """Takes things one by one and writes each where it belongs."""

    def write(self, item: Item, /) -> None:
        """
        Raises:
            SinkError: it cannot be written.
        """
        ...

    def close(self) -> None:
        """Flush and release; idempotent."""
        ...


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


@runtime_checkable
class Holding(Protocol):
    """A sink that keeps in memory what it cannot write for now, instead of failing."""

    def settle(self) -> bool:
        """Write what it keeps, if that can be done; whether it keeps nothing any more."""
        ...


@runtime_checkable
class Onlooker(Protocol):
    """A sink that shows pictures as well, as long as somebody looks at them."""

    description: str
    """For the log: where it shows them."""

    @property
    def is_looking(self) -> bool:
        """Whether the next frame's picture is wanted; asked before it is made."""
        ...

    def look(self, frame: Frame, record: FrameRecord) -> None:
        """See a frame with its record, before the record is written; pixels are valid during the call."""
        ...
