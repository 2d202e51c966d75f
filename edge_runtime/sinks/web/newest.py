"""A value that several wait for and of which only the newest counts."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """For one event loop; whoever is slow misses values, and nothing queues up."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._serial = 0
        self._changed = asyncio.Event()

    def put(self, value: T) -> None:
        """Replace the value and wake all who wait."""
        self._value = value
        self._serial += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def forget(self) -> None:
        """Drop the value; serial numbers go on."""
        self._value = None

    async def after(self, serial: int) -> tuple[int, T]:
        """The newest value and its serial number, as soon as that is above `serial`."""
        while self._serial <= serial or self._value is None:
            await self._changed.wait()
        return self._serial, self._value

    @property
    def serial(self) -> int:
        return self._serial
