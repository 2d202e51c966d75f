"""The report of `convert all` as one HTML page without scripts or outside resources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from convert.layers import ROUNDING_DB

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 360, 60, 20, 20, 50
LABEL_GAP, LABEL_WIDTH, LABEL_HEIGHT = 22, 90, 15
_MEASURES = ("top-1", "average precision")
"""What classifiers and detectors are measured by."""
_EXPLAINED = ("", "Agreement is average precision against the answers of Keras. ")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.3em .6em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
)


def page(document: Mapping[str, Any]) -> str:
    """HTML of a report as `convert all` writes it to `report.json`."""
    name = escape(str(document["model"]))
    made = [item for item in document["formats"] if item.get("file")]
    detects = document.get("task") == "detect"
    measure = _MEASURES[detects]
    head = (
        f"{document['macs'] / 1e6:.1f} million multiply-accumulates, "
        f"{document['parameters']:,} parameters. "
        f"Compared with Keras on {document['images']} pictures of {document['split']}"
        f"{_reference(made, measure)}. "
        f"{_EXPLAINED[detects]}"
        "Times are CPU medians of one inference on the machine that converted, one thread."
    )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<style>{_STYLE}</style><h1>{name}</h1><p>{escape(head)}</p>"
        f"{_table(document['formats'], measure)}{_picture(made, measure)}"
        f"{_runtimes(made, measure)}{_layers(made)}</html>\n"
    )


def _share(item: Mapping[str, Any], prefix: str = "") -> Mapping[str, float] | None:
    """Accuracy with its interval; for a detector the average precision, which has none."""
    precision = item.get(f"{prefix}average_precision")
    if precision is not None:
        return {"top1": precision, "low": precision, "high": precision}
    found: Mapping[str, float] | None = item[f"{prefix}accuracy"]
    return found


def _agreement(item: Mapping[str, Any]) -> str:
    return f"{100 * item.get('argmax_agreement', item.get('agreement')):.2f}"


def _interval(share: Mapping[str, float] | None) -> str:
    if share is None or share["low"] == share["high"]:
        return ""
    return f"{100 * share['low']:.2f} to {100 * share['high']:.2f}"


def _reference(made: Sequence[Mapping[str, Any]], measure: str) -> str:
    share = _share(made[0], "reference_") if made else None
    return f", where Keras itself has {share['top1']:.2%} {measure}" if share else ""


def _table(formats: Sequence[Mapping[str, Any]], measure: str) -> str:
    """One row per format; intervals have a column where there are any."""
    intervals = any(item.get("file") and _interval(_share(item)) for item in formats)
    between = ("95 % interval",) if intervals else ()
    titles = ("format", "bytes", f"{measure} %", *between, "agreement %", "XNNPACK pieces", "CPU ms")
    rows = ["<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"]
    for item in formats:
        if not item.get("file"):
            name, reason = escape(item["format"]), escape(str(item["reason"]))
            span = len(titles) - 1
            rows.append(f'<tr><td>{name}</td><td colspan="{span}">not written: {reason}</td></tr>')
            continue
        accuracy, delegation = _share(item), item["xnnpack"]
        cells = (
            item["format"],
            f"{item['size_bytes']:,}",
            f"{100 * accuracy['top1']:.2f}" if accuracy else "",
            *((_interval(accuracy),) if intervals else ()),
            _agreement(item),
            "" if delegation is None else str(delegation["partitions"]),
            f"{item['cpu_ms']:.2f}",
        )
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _runtimes(formats: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Every format on every runtime that examined it."""
    rows = [f"<tr><th>runtime</th><th>format</th><th>agreement %</th><th>{measure} %</th></tr>"]
    for item in formats:
        for parity in (item, *item.get("elsewhere", ())) if item.get("file") else ():
            accuracy = _share(parity)
            cells = (
                parity["backend"],
                item["format"],
                _agreement(parity),
                f"{100 * accuracy['top1']:.2f}" if accuracy else "",
            )
            rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<h2>On every runtime</h2><table>{''.join(rows)}</table>"


def _layers(formats: Sequence[Mapping[str, Any]]) -> str:
    """The layers of each format that lose most."""
    titles = ("layer", "operation", "format", "signal to noise, dB", "its own loss, dB")
    rows = ["<tr>" + "".join(f"<th>{title}</th>" for title in titles) + "</tr>"]
    for item in formats:
        for layer in item.get("worst_layers", ()):
            if layer["sqnr_db"] >= ROUNDING_DB:
                continue
            cells = (
                layer["name"],
                layer["op"],
                item["format"],
                f"{layer['sqnr_db']:.1f}",
                f"{layer['drop_db']:.1f}",
            )
            rows.append("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>")
    return f"<h2>Where precision is lost</h2><table>{''.join(rows)}</table>" if len(rows) > 1 else ""


def _picture(formats: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Accuracy with its interval against size, as SVG; size on a logarithmic axis."""
    points = [(item, share) for item in formats if (share := _share(item)) is not None]
    if not points:
        return ""
    sizes = [item["size_bytes"] / 1000 for item, _ in points]
    first, last = math.log10(min(sizes) / 1.3), math.log10(max(sizes) * 1.6)
    low = min(share["low"] for _, share in points)
    high = max(share["high"] for _, share in points)
    whiskers = (
        "" if all(share["low"] == share["high"] for _, share in points) else " with its 95 % interval"
    )
    margin = 0.0 if whiskers else 0.1 * max(high - low, 1e-2)
    low, high = low - margin, high + margin
    span = max(high - low, 1e-3)

    def x(size_kb: float) -> float:
        return LEFT + (math.log10(size_kb) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return TOP + (high - share) / span * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<h2>Accuracy against size</h2><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="accuracy against size" font-size="12" font-family="sans-serif">',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">size, kB; {measure}{whiskers}</text>',
    ]
    for tick in _ticks(10**first, 10**last):
        parts.append(
            f'<path d="M{x(tick):.1f} {HEIGHT - BOTTOM}v4" stroke="#888"/>'
            f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
        )
    for tick in (low, (low + high) / 2, high):
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 4:.0f}" text-anchor="end">{tick:.1%}</text>')
    for (_, accuracy), size in zip(points, sizes, strict=True):
        middle = f"{x(size):.1f}"
        parts.append(
            f'<path d="M{middle} {y(accuracy["low"]):.1f}V{y(accuracy["high"]):.1f}" stroke="#9bc"/>'
            f'<circle cx="{middle}" cy="{y(accuracy["top1"]):.1f}" r="4" fill="#146"/>'
        )
    dots = [(x(size), y(share["top1"])) for (_, share), size in zip(points, sizes, strict=True)]
    for (item, _), dot, label in zip(points, dots, _label_places(dots), strict=True):
        parts.append(
            f'<path d="M{dot[0]:.1f} {dot[1]:.1f}L{label[0]:.1f} {label[1]:.1f}" stroke="#bbb"/>'
            f'<text x="{label[0] + 3:.1f}" y="{label[1] + 4:.1f}" stroke="#fff" stroke-width="4" '
            f'paint-order="stroke">{escape(item["format"])}</text>'
        )
    return "".join([*parts, "</svg>"])


def _ticks(first: float, last: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two values."""
    powers = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    return [m * 10.0**power for power in powers for m in (1, 2, 5) if first <= m * 10.0**power <= last]


def _label_places(dots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A place for each dot's name, to its right, so that no two names cover each other."""
    taken: list[tuple[float, float]] = []
    for across, down in dots:
        start = across + LABEL_GAP
        tries = (down + sign * step * LABEL_HEIGHT for step in range(len(dots) + 1) for sign in (-1, 1))
        place = next(
            y
            for y in tries
            if all(abs(y - other) >= LABEL_HEIGHT or abs(start - x) > LABEL_WIDTH for x, other in taken)
        )
        taken.append((start, place))
    return taken
