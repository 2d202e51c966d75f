"""Compare the timings of two record files, and say which differences are real.

B is judged against A, record by record of the same model, backend and threads. Exit code 1 when
--fail-if-slower finds a regression, or when nothing could be compared.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.files import to_json
from benchmarks.record import LatencyRecord, PipelineRecord, Record, read_records
from benchmarks.stats import Difference, compare_samples
from benchmarks.text import align
from edge_runtime.errors import EdgeFerError, UsageError

DEFAULT_MARGIN = 0.02

Timed = LatencyRecord | PipelineRecord


class NotComparableError(EdgeFerError):
    """The records measure different things, or none is fit for a comparison."""


@dataclass(frozen=True)
class Comparison:
    """One pair of measurements."""

    key: tuple[str, ...]
    processes: tuple[int, int]
    """Processes of A and of B that entered."""
    time: Difference | None
    """None where a side has void records alone."""
    instructions_ratio: float | None
    """Instructions per call of B divided by those of A; None where a side has none."""
    notes: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A.json")
    parser.add_argument("b", type=Path, metavar="B.json")
    parser.add_argument(
        "--across-hosts", action="store_true", help="the hosts are what is compared, so they may differ"
    )
    parser.add_argument(
        "--margin",
        type=parse_percent,
        default=DEFAULT_MARGIN,
        metavar="PERCENT",
        help="call two medians equal when the interval of their ratio lies within this; default 2%%",
    )
    parser.add_argument(
        "--fail-if-slower",
        type=parse_percent,
        metavar="PERCENT",
        help="exit 1 when B costs more than this (by instructions where both count them, else by time), or "
        "when something of A cannot be judged",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")


def parse_percent(text: str) -> float:
    """`5%` or `5` as 0.05."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%?\s*", text)
    if match is None or float(match[1]) > 1000:
        raise argparse.ArgumentTypeError(f"expected a percentage such as 5%. Received: {text!r}")
    return float(match[1]) / 100


def run(arguments: argparse.Namespace) -> int:
    a, b = read_records(arguments.a), read_records(arguments.b)
    comparisons = compare(a, b, arguments.margin, arguments.across_hosts)
    keys = {"A": _by_key(a), "B": _by_key(b)}
    for name, other in (("A", "B"), ("B", "A")):
        for key in keys[name]:
            if key not in keys[other]:
                print(f"benchmarks compare: {' '.join(key)}: only in {name}", file=sys.stderr)
    if arguments.format == "json":
        print(to_json([asdict(comparison) for comparison in comparisons]), end="")
    else:
        print(as_text(comparisons), end="")
    if arguments.fail_if_slower is None:
        return 0
    slower = [found for found in comparisons if regressed(found, arguments.fail_if_slower)]
    for found in slower:
        name = " ".join(found.key)
        print(
            f"benchmarks compare: {name}: more than {arguments.fail_if_slower:.1%} slower", file=sys.stderr
        )
    unjudged = [
        found.key for found in comparisons if found.time is None and found.instructions_ratio is None
    ]
    for key in unjudged:
        print(f"benchmarks compare: {' '.join(key)}: void, so it cannot be judged", file=sys.stderr)
    return 1 if slower or unjudged or keys["A"].keys() - keys["B"].keys() else 0


def compare(
    a: Sequence[Record], b: Sequence[Record], margin: float = DEFAULT_MARGIN, across_hosts: bool = False
) -> list[Comparison]:
    """Compare all measurements that both sides have.

    Raises:
        UsageError: the hosts differ and `across_hosts` does not say that this is meant.
        NotComparableError: nothing in common, unequal conditions, or void records alone.
    """
    first, second = _by_key(a), _by_key(b)
    common = [key for key in first if key in second]
    if not common:
        raise NotComparableError(f"nothing to compare: A has {_names(first)}; B has {_names(second)}")
    comparisons = []
    for key in common:
        _check_conditions(key, first[key], second[key], across_hosts)
        comparisons.append(_compare_one(key, first[key], second[key], margin))
    if all(found.time is None and found.instructions_ratio is None for found in comparisons):
        raise NotComparableError(
            f"every pair has a side whose records are all void ({comparisons[0].notes[0]}); measure again"
        )
    return comparisons


def regressed(comparison: Comparison, limit: float) -> bool:
    """Whether B costs more than A by more than `limit` (a fraction)."""
    if comparison.instructions_ratio is not None:
        return comparison.instructions_ratio > 1 + limit
    time = comparison.time
    return time is not None and time.verdict == "slower" and time.ratio > 1 + limit


def _by_key(records: Sequence[Record]) -> dict[tuple[str, ...], list[Timed]]:
    groups: dict[tuple[str, ...], list[Timed]] = defaultdict(list)
    for record in records:
        if isinstance(record, (LatencyRecord, PipelineRecord)):
            groups[record.KIND, *record.key].append(record)
    return dict(groups)


def _names(groups: dict[tuple[str, ...], list[Timed]]) -> str:
    return ", ".join(" ".join(key) for key in groups) or "no timings"


def _check_conditions(
    key: tuple[str, ...], a: Sequence[Timed], b: Sequence[Timed], across_hosts: bool
) -> None:
    hosts_a, hosts_b = ({r.environment.host.fingerprint for r in side} for side in (a, b))
    name = " ".join(key)
    if len(hosts_a) > 1 or len(hosts_b) > 1:
        raise NotComparableError(f"{name}: a file holds several hosts; compare the files of single hosts")
    if hosts_a != hosts_b and not across_hosts:
        boards = " and ".join(_board(side[0]) for side in (a, b))
        raise UsageError(f"{name}: measured on different hosts ({boards}); --across-hosts if that is meant")
    conditions = {_conditions(record) for record in (*a, *b)}
    if len(conditions) > 1:
        raise NotComparableError(f"{name}: measured under different conditions: {sorted(conditions)}")


def _board(record: Timed) -> str:
    host = record.environment.host
    return f"{host.board or host.cpu or host.machine} [{host.fingerprint}]"


def _conditions(record: Timed) -> str:
    if isinstance(record, LatencyRecord):
        rows, columns = record.frame_hw
        return f"box of {record.box_px} px in {columns}x{rows}"
    return f"realtime={record.realtime}"


def _compare_one(key: tuple[str, ...], a: Sequence[Timed], b: Sequence[Timed], margin: float) -> Comparison:
    notes = []
    good = [[record for record in side if not record.void] for side in (a, b)]
    for name, side, kept in zip("AB", (a, b), good, strict=True):
        if len(kept) < len(side):
            reasons = ", ".join(dict.fromkeys(reason for record in side for reason in record.void))
            notes.append(f"{len(side) - len(kept)} void in {name}: {reasons}")
    for label in ("model_sha256", "backend"):
        seen = [{getattr(record, label) for record in side} for side in (a, b)]
        if seen[0] != seen[1]:
            notes.append(f"{label}: {_short(seen[0])} -> {_short(seen[1])}")
    time = None
    if good[0] and good[1]:
        values = [[record.stages["total"].values_ns for record in side] for side in good]
        time = compare_samples(values[0], values[1], margin)
        if min(len(good[0]), len(good[1])) < 2:
            notes.append(
                "one process per side: what differs from process to process is not in the interval"
            )
    return Comparison(key, (len(good[0]), len(good[1])), time, _instructions(a, b), tuple(notes))


def _short(values: set[str]) -> str:
    return ", ".join(sorted(value[:12] if len(value) == 64 else value for value in values))


def _instructions(a: Sequence[Timed], b: Sequence[Timed]) -> float | None:
    """Ratio of mean instructions per call, if both sides counted in the same way.

    Void records count as well: neither throttling nor neighbours change the number of instructions.
    """
    sides = []
    for side in (a, b):
        counted = [
            (record.instructions_source, record.instructions_per_call)
            for record in side
            if isinstance(record, LatencyRecord) and record.instructions_per_call is not None
        ]
        if not counted:
            return None
        sides.append(counted)
    if len({source for side in sides for source, _ in side}) != 1:
        return None
    means = [sum(count for _, count in side) / len(side) for side in sides]
    return means[1] / means[0]


def as_text(comparisons: Sequence[Comparison]) -> str:
    """A row per comparison; its notes below."""
    rows = [["measurement", "B/A", "(95 %)", "Cliff's delta", "instructions", "verdict"]]
    notes = []
    for found in comparisons:
        name, time = " ".join(found.key), found.time
        instructions = found.instructions_ratio
        rows.append(
            [
                name,
                "-" if time is None else f"{time.ratio:.4f}",
                "-" if time is None else f"{time.interval.low:.4f}..{time.interval.high:.4f}",
                "-" if time is None else f"{time.cliffs_delta:+.2f}",
                "-" if instructions is None else f"{instructions:.4f}",
                "void" if time is None else time.verdict,
            ]
        )
        notes += [f"{name}: {note}\n" for note in found.notes]
    return align(rows) + "".join(notes)
