"""Records as tables of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.record import LatencyRecord, PipelineRecord, summarize


def align(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first row is the header, the first column is text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines) + "\n"


def milliseconds(value: float | None) -> str:
    """Three significant digits, `-` for None."""
    if value is None:
        return "-"
    digits = 1 if value >= 100 else 2 if value >= 10 else 3
    return f"{value:.{digits}f}"


def mebibytes(value: int | None) -> str:
    """Whole MiB, `-` for None."""
    return "-" if value is None else f"{value / 2**20:.0f}"


def latency_text(records: Sequence[LatencyRecord]) -> str:
    """A table with a row per record, then what each figure leaves out."""
    head = ["model and backend", "calls", "p50 ms", "(95 %)", "p90 ms", "p99 ms", "cpu ms", "infer", "bare"]
    rows = [[*head, "load ms", "first", "MiB", "peak", "void"]]
    for record in records:
        total = summarize(record.stages["total"].values_ns)
        infer = summarize(record.stages["infer"].values_ns, intervals=False)
        bare = record.bare_invoke_ns
        low, high = total["p50_ms_interval"]
        rows.append(
            [
                f"{record.model}, {record.backend}",
                str(len(record.cpu_ns)),
                milliseconds(total["p50_ms"]),
                f"{milliseconds(low)}..{milliseconds(high)}",
                milliseconds(total["p90_ms"]),
                milliseconds(total["p99_ms"]),
                milliseconds(sum(record.cpu_ns) / len(record.cpu_ns) / 1e6),
                milliseconds(infer["p50_ms"]),
                milliseconds(None if bare is None else summarize(bare, intervals=False)["p50_ms"]),
                milliseconds(record.load_ms),
                milliseconds(record.first_call_ms),
                mebibytes(record.rss_steady_bytes),
                mebibytes(record.rss_peak_bytes),
                "VOID" if record.void else "no",
            ]
        )
    notes = [
        f"{record.model}, {record.backend}: {record.instructions_per_call:,.0f} instructions per call "
        f"({record.instructions_source})"
        for record in records
        if record.instructions_per_call is not None
    ]
    return align(rows) + "".join(f"{note}\n" for note in notes)


def pipeline_text(records: Sequence[PipelineRecord]) -> str:
    """A block per record: rate, age, drops, load, memory and stages."""
    blocks = []
    for record in records:
        frames, age = len(record.age_ns), summarize(record.age_ns, intervals=False)
        rows = [["stage", "p50 ms", "p90 ms", "p99 ms"]]
        for stage, samples in record.stages.items():
            figures = summarize(samples.values_ns, intervals=False)
            rows.append([stage, *(milliseconds(figures[f"p{p}_ms"]) for p in (50, 90, 99))])
        blocks.append(
            f"{record.model}, {record.backend}, detector {record.detector}, {record.source}"
            f"{' [VOID]' if record.void else ''}\n"
            f"{frames} frames, {frames / record.wall_s:.1f} frames/s, {record.dropped} dropped, faces in "
            f"{record.frames_with_faces} frames, CPU load {record.cpu_s / record.wall_s:.2f}, "
            f"age p50 {milliseconds(age['p50_ms'])} ms p90 {milliseconds(age['p90_ms'])} ms, "
            f"peak {mebibytes(record.rss_peak_bytes)} MiB\n" + align(rows)
        )
    return "\n".join(blocks)
