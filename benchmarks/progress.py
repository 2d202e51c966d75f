"""A progress bar on stderr where somebody watches, silence where nobody does."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield the items and show how many are done.

    tqdm draws the bar; without it (a device has numpy and the runtime alone) a plain count does.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield from _counted(items, description, total)
        return
    yield from tqdm(items, desc=description, total=total, file=sys.stderr, leave=False)


def _counted(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    step = max(1, total // 100)
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0 or done == total:
            print(f"\r{description}: {done}/{total}", end="", file=sys.stderr, flush=True)
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
