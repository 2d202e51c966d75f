"""The report of `convert all` as one HTML page without scripts or outside resources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 60, 20, 20, 50
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3em .6em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
)


def page(document: Mapping[str, Any]) -> str:
    """HTML of a report as `convert all` writes it to `report.json`."""
    name = escape(str(document["model"]))
    made = [item for item in document["formats"] if item.get("file")]
    head = (
        f"{document['macs'] / 1e6:.1f} million multiply-accumulates, "
        f"{document['parameters']:,} parameters. "
        f"Accuracy and agreement with Keras on {document['images']} pictures of {document['split']}. "
        "Times are medians of one inference on the machine that converted, one thread."
    )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style><h1>{name}</h1><p>{escape(head)}</p>"
        f"{_table(document['formats'])}{_picture(made)}</html>\n"
    )


def _table(formats: Sequence[Mapping[str, Any]]) -> str:
    titles = ("format", "bytes", "top-1 %", "95 % interval", "agreement %", "XNNPACK pieces", "ms")
    rows = ["<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"]
    for item in formats:
        if not item.get("file"):
            reason = escape(str(item["reason"]))
            rows.append(
                f'<tr><td>{escape(item["format"])}</td><td colspan="6">not written: {reason}</td></tr>'
            )
            continue
        accuracy, delegation = item["accuracy"], item["xnnpack"]
        cells = (
            item["format"],
            f"{item['size_bytes']:,}",
            f"{100 * accuracy['top1']:.2f}" if accuracy else "",
            f"{100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f}" if accuracy else "",
            f"{100 * item['argmax_agreement']:.2f}",
            "" if delegation is None else str(delegation["partitions"]),
            f"{item['time_ms']:.2f}",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _picture(formats: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy with its interval against size, as SVG; size on a logarithmic axis."""
    points = [item for item in formats if item["accuracy"]]
    if not points:
        return ""
    sizes = [math.log2(item["size_bytes"]) for item in points]
    first, last = math.floor(min(sizes)), math.ceil(max(sizes))
    last = max(last, first + 1)
    low = min(item["accuracy"]["low"] for item in points)
    high = max(item["accuracy"]["high"] for item in points)
    span = max(high - low, 1e-3)

    def x(size: float) -> float:
        return LEFT + (size - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return TOP + (high - share) / span * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="accuracy against size" '
        'font-size="12" font-family="sans-serif">',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">size, kB</text>',
    ]
    for power in range(first, last + 1):
        parts.append(
            f'<text x="{x(power):.0f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{2**power / 1000:.0f}</text>"
        )
    for share in (low, (low + high) / 2, high):
        parts.append(f'<text x="{LEFT - 6}" y="{y(share) + 4:.0f}" text-anchor="end">{share:.1%}</text>')
    for number, (item, size) in enumerate(zip(points, sizes, strict=True)):
        accuracy = item["accuracy"]
        middle = f"{x(size):.1f}"
        parts.append(
            f'<path d="M{middle} {y(accuracy["low"]):.1f}V{y(accuracy["high"]):.1f}" stroke="#9bc"/>'
            f'<circle cx="{middle}" cy="{y(accuracy["top1"]):.1f}" r="4" fill="#146"/>'
            # Formats of one size would cover each other's names: they are written in steps.
            f'<text x="{x(size) + 6:.1f}" y="{y(accuracy["top1"]) - 6 - 12 * (number % 3):.1f}">'
            f"{escape(item['format'])}</text>"
        )
    return "".join([*parts, "</svg>"])
