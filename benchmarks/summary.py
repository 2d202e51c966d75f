"""From records to rows of a summary: processes pooled, void ones left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.accuracy_record import AccuracyRecord
from benchmarks.host import HostInfo
from benchmarks.record import LatencyRecord, Record, summarize


@dataclass(frozen=True)
class KindOfOperator:
    """All operators of one kind in a graph."""

    kind: str
    nodes: int
    us: float
    """Microseconds per call of all of them together; median over processes."""


@dataclass(frozen=True)
class LatencyRow:
    """One model on one backend, number of threads and host, over all its good processes."""

    host: HostInfo
    model: str
    model_sha256: str
    model_bytes: int
    backend: str
    threads: int
    processes: int
    calls: int
    """Timed calls of all processes together."""
    p50_ms: float
    """Median over processes of each one's p50; the other figures likewise."""
    p50_span_ms: tuple[float, float]
    """Lowest to highest p50 among the processes; with one, its bootstrap interval."""
    p90_ms: float
    p99_ms: float | None
    stages_p50_ms: dict[str, float]
    cpu_ms: float
    bare_invoke_p50_ms: float | None
    litert_benchmark_ms: float | None
    load_ms: float
    first_call_ms: float
    rss_steady_bytes: int | None
    rss_peak_bytes: int | None
    partitions: int | None
    """Delegated partitions."""
    instructions_per_call: float | None
    instructions_source: str | None
    """How they were counted; other ways give other counts."""
    millijoules_per_call: float | None
    operators: tuple[KindOfOperator, ...]
    """By the runtime's own profile, slowest first; empty where it gives none."""


def latency_rows(records: Sequence[Record]) -> list[LatencyRow]:
    """Rows by host, model, backend and threads; records that are void never enter."""
    groups: dict[tuple[str, ...], list[LatencyRecord]] = defaultdict(list)
    for record in records:
        if isinstance(record, LatencyRecord) and not record.void:
            host = record.environment.host.fingerprint
            identity = (host, record.model, record.model_sha256, record.backend, str(record.threads))
            groups[identity].append(record)
    return [_latency_row(group) for group in groups.values()]


def _latency_row(group: Sequence[LatencyRecord]) -> LatencyRow:
    first = group[0]
    with_intervals = len(group) == 1
    totals = [summarize(record.stages["total"].values_ns, with_intervals) for record in group]
    medians = [float(total["p50_ms"]) for total in totals]
    low, high = totals[0]["p50_ms_interval"] if with_intervals else (min(medians), max(medians))
    stages = {
        stage: median(_p50(record.stages[stage].values_ns) for record in group) for stage in first.stages
    }
    bare = [_p50(record.bare_invoke_ns) for record in group if record.bare_invoke_ns]
    operators = first.operators
    return LatencyRow(
        host=first.environment.host,
        model=first.model,
        model_sha256=first.model_sha256,
        model_bytes=first.model_bytes,
        backend=first.backend,
        threads=first.threads,
        processes=len(group),
        calls=sum(len(record.cpu_ns) for record in group),
        p50_ms=median(medians),
        p50_span_ms=(float(low), float(high)),
        p90_ms=median(total["p90_ms"] for total in totals),
        p99_ms=_median_or_none([total["p99_ms"] for total in totals]),
        stages_p50_ms=stages,
        cpu_ms=median(sum(record.cpu_ns) / len(record.cpu_ns) / 1e6 for record in group),
        bare_invoke_p50_ms=median(bare) if bare else None,
        litert_benchmark_ms=_median_or_none([record.litert_benchmark_ms for record in group]),
        load_ms=median(record.load_ms for record in group),
        first_call_ms=median(record.first_call_ms for record in group),
        rss_steady_bytes=_rounded(_median_or_none([record.rss_steady_bytes for record in group])),
        rss_peak_bytes=_rounded(_median_or_none([record.rss_peak_bytes for record in group])),
        partitions=None if operators is None else operators.get("DELEGATE", 0),
        instructions_per_call=_median_or_none([record.instructions_per_call for record in group]),
        instructions_source=next((r.instructions_source for r in group if r.instructions_source), None),
        millijoules_per_call=_median_or_none([record.millijoules_per_call for record in group]),
        operators=_operators(group),
    )


def _operators(group: Sequence[LatencyRecord]) -> tuple[KindOfOperator, ...]:
    sums: dict[str, list[float]] = defaultdict(list)
    nodes: dict[str, int] = {}
    for record in group:
        profile = record.operator_profile or ()
        for kind in {operator.kind for operator in profile}:
            alike = [operator.mean_us for operator in profile if operator.kind == kind]
            sums[kind].append(sum(alike))
            nodes[kind] = len(alike)
    kinds = [KindOfOperator(kind, nodes[kind], median(values)) for kind, values in sums.items()]
    return tuple(sorted(kinds, key=lambda item: (-item.us, item.kind)))


def _p50(values_ns: Sequence[int]) -> float:
    return median(values_ns) / 1e6


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


@dataclass(frozen=True)
class ParetoPoint:
    """A model's accuracy against its cost on one host."""

    row: LatencyRow
    accuracy: AccuracyRecord
    on_front: bool
    """No other model of the same host is both faster and at least as accurate."""


def pareto(rows: Sequence[LatencyRow], accuracies: Sequence[AccuracyRecord]) -> list[ParetoPoint]:
    """Points of all rows whose model has an accuracy record, matched by file digest and name.

    The name tells one pass from an average of two, which takes twice the time. Where accuracies are of
    several sets of pictures, those of the set with most models count: others are not like them.
    """
    sets = Counter((record.data.split, record.data.digest) for record in accuracies)
    chosen = min(sets, key=lambda item: (-sets[item], item), default=None)
    by_model = {
        (record.model_sha256, record.model): record
        for record in accuracies
        if (record.data.split, record.data.digest) == chosen
    }
    names = ((row, (row.model_sha256, row.model)) for row in rows)
    pairs = [(row, by_model[name]) for row, name in names if name in by_model]
    return [
        ParetoPoint(row, accuracy, not any(_dominates(other, (row, accuracy)) for other in pairs))
        for row, accuracy in pairs
    ]


def _dominates(other: tuple[LatencyRow, AccuracyRecord], point: tuple[LatencyRow, AccuracyRecord]) -> bool:
    if other[0].host.fingerprint != point[0].host.fingerprint:
        return False
    cheaper = other[0].p50_ms - point[0].p50_ms
    better = other[1].top1 - point[1].top1
    return cheaper <= 0 and better >= 0 and (cheaper < 0 or better > 0)
