"""Install sizes on aarch64, as a table for docs/raspberry-pi.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.device.common import ROOT, FailedError
from tests.device.wheels import installed

DOCS = ROOT / "docs" / "raspberry-pi.md"
BEGIN = "<!-- sizes: begin, written by tests/device/run aarch64 --write-docs -->"
END = "<!-- sizes: end -->"
SMALL_BYTES = 1_000_000
"""Distributions below this size share one row."""


def total_mb(site: Path) -> float:
    """Size of all that a site folder holds, 10^6 bytes."""
    return sum(item.bytes for item in installed(site)) / 1e6


def table(sites: Mapping[str, Path]) -> str:
    """A Markdown table: one row per distribution, one column per system, 10^6 bytes."""
    columns = {name: installed(site) for name, site in sites.items()}
    large: dict[str, None] = {}
    for items in columns.values():
        large.update((item.name, None) for item in items if item.bytes >= SMALL_BYTES)
    lines = [f"| MB | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for name in large:
        cells = []
        for items in columns.values():
            match = [item for item in items if item.name == name]
            cells.append(f"{match[0].bytes / 1e6:.1f} ({match[0].version})" if match else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    rest = [sum(i.bytes for i in items if i.name not in large) for items in columns.values()]
    lines.append(f"| all others | {' | '.join(f'{size / 1e6:.1f}' for size in rest)} |")
    totals = [sum(item.bytes for item in items) for items in columns.values()]
    lines.append(f"| **together** | {' | '.join(f'**{size / 1e6:.1f}**' for size in totals)} |")
    return "\n".join(lines)


def report(sites: Mapping[str, Path], write_docs: bool) -> None:
    """Print the table and, when asked, put it into the documentation.

    Raises:
        FailedError: the documentation has lost the table's markers.
    """
    made = table(sites)
    print(made)
    if not write_docs:
        return
    text = DOCS.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FailedError(f"{DOCS.name} lacks the markers of the table of sizes")
    DOCS.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}")
