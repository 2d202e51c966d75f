"""Write the tables of a document from record files, or check that they match.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`. NAME is one of hosts, latency,
cost, ratio, operators, pipeline, accuracy, classes, pareto, picture, peers, void. --check writes nothing
and exits 1 when the document differs from the records.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy_record import AccuracyRecord, ClassFigures, PeerRecord
from benchmarks.files import write_bytes, write_text
from benchmarks.record import LatencyRecord, PipelineRecord, Record, read_records
from benchmarks.summary import LatencyRow, ParetoPoint, latency_rows, pareto
from benchmarks.text import mebibytes, milliseconds
from edge_runtime.errors import EdgeFerError, UsageError

REFERENCE_PREFIX = "mini-xception"
"""Name of the model that the table of ratios counts in."""
PARETO_PICTURE = "benchmarks/pareto.png"
"""Where the picture lies, seen from the document."""
SMALL_SHARE = 0.04
"""Kinds of operators with less of the time stand together in one row."""
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("document", type=Path, metavar="FILE.md")
    parser.add_argument(
        "--records", type=Path, required=True, metavar="DIR", help="folder of record files (*.json)"
    )
    parser.add_argument("--check", action="store_true", help="only say whether the document matches")


def run(arguments: argparse.Namespace) -> int:
    try:
        text = arguments.document.read_text()
    except OSError as error:
        raise UsageError(f"{arguments.document}: cannot be read ({error.strerror})") from None
    records = read_folder(arguments.records)
    fresh = fill(text, records)
    if not arguments.check:
        _draw_pictures(fresh, records, arguments.document.parent)
    if fresh == text:
        print(f"{arguments.document}: matches the records")
        return 0
    if arguments.check:
        raise EdgeFerError(
            f"{arguments.document}: does not match the records in {arguments.records}; write it again "
            f"with: python -m benchmarks tables {arguments.document} --records {arguments.records}"
        )
    write_text(arguments.document, fresh)
    print(f"{arguments.document}: written")
    return 0


def _draw_pictures(text: str, records: Sequence[Record], folder: Path) -> None:
    """Draw what the document shows beside its tables.

    Raises:
        EdgeFerError: matplotlib is not installed.
    """
    if PARETO_PICTURE not in text:
        return
    try:
        from benchmarks.pictures import pareto_png
    except ImportError as error:
        raise EdgeFerError(
            f"the picture needs matplotlib ({error}). Install: pip install matplotlib"
        ) from None
    write_bytes(folder / PARETO_PICTURE, pareto_png(_points(records)))


def read_folder(folder: Path) -> list[Record]:
    """All records of a folder, files in the order of their names.

    Raises:
        RecordError: a file does not hold.
        UsageError: there are no record files.
    """
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise UsageError(f"{folder}: no record files (*.json) there")
    return [record for file in files for record in read_records(file)]


def fill(text: str, records: Sequence[Record]) -> str:
    """The document with every generated block made anew.

    Raises:
        EdgeFerError: a block has an unknown name, or there is none.
    """
    if not _BLOCK.search(text):
        raise EdgeFerError("the document has no block <!-- generated: NAME --> … <!-- end -->")

    def replace(match: re.Match[str]) -> str:
        if match[2] not in TABLES:
            raise EdgeFerError(f"unknown table {match[2]!r}; choose one of {', '.join(TABLES)}")
        return f"{match[1]}\n{TABLES[match[2]](records)}\n{match[3]}"

    return _BLOCK.sub(replace, text)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns after the first are right-aligned. A word when it has no rows."""
    if not rows:
        return "No records.\n"
    rule = ["---", *("---:" for _ in head[1:])]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def hosts_table(records: Sequence[Record]) -> str:
    """The machines, one row each."""
    hosts = {}
    for record in records:
        timed = isinstance(record, (LatencyRecord, PipelineRecord))
        host = record.environment.host if timed else record.host  # type: ignore[union-attr]
        hosts[host.fingerprint] = host
    head = ["host", "board", "CPU", "CPUs", "memory GiB", "OS", "kernel", "Python", "virtual"]
    rows = [
        [
            host.fingerprint[:8],
            host.board or "not known",
            host.cpu or host.machine,
            str(host.cores),
            "-" if host.memory_bytes is None else f"{host.memory_bytes / 2**30:.1f}",
            host.os or "not known",
            host.kernel,
            host.python,
            {True: "yes", False: "no", None: "not known"}[host.virtual],
        ]
        for host in hosts.values()
    ]
    return markdown(head, rows)


def _named(rows: Sequence[LatencyRow]) -> list[tuple[str, LatencyRow]]:
    """Rows with a name each; the board is part of it where there are several hosts."""
    several = len({row.host.fingerprint for row in rows}) > 1
    boards = [f", {row.host.board or row.host.cpu} [{row.host.fingerprint[:8]}]" for row in rows]
    return [
        (f"{row.model}, {row.backend}{board if several else ''}", row)
        for row, board in zip(rows, boards, strict=True)
    ]


def latency_table(records: Sequence[Record]) -> str:
    """Times per call of every combination."""
    head = ["model, runtime", "processes x calls", "p50 ms", "span of p50", "p90 ms", "p99 ms", "CPU ms"]
    rows = [
        [
            name,
            f"{row.processes} x {row.calls // row.processes}",
            milliseconds(row.p50_ms),
            f"{milliseconds(row.p50_span_ms[0])} to {milliseconds(row.p50_span_ms[1])}",
            milliseconds(row.p90_ms),
            milliseconds(row.p99_ms),
            milliseconds(row.cpu_ms),
        ]
        for name, row in _named(latency_rows(records))
    ]
    return markdown(head, rows)


def cost_table(records: Sequence[Record]) -> str:
    """What else a combination costs: stages, load, memory, instructions, energy."""
    head = ["model, runtime", "preprocess ms", "infer ms", "bare invoke ms", "LiteRT's tool ms", "load ms"]
    head += ["first call ms", "steady MiB", "peak MiB", "partitions", "Minstr per call", "mJ per call"]
    rows = [
        [
            name,
            milliseconds(row.stages_p50_ms["preprocess"]),
            milliseconds(row.stages_p50_ms["infer"]),
            milliseconds(row.bare_invoke_p50_ms),
            "-" if row.litert_benchmark_ms is None else f"{row.litert_benchmark_ms:.2f}",
            milliseconds(row.load_ms),
            milliseconds(row.first_call_ms),
            mebibytes(row.rss_steady_bytes),
            mebibytes(row.rss_peak_bytes),
            "-" if row.partitions is None else str(row.partitions),
            "-" if row.instructions_per_call is None else f"{row.instructions_per_call / 1e6:.2f}",
            "-" if row.millijoules_per_call is None else f"{row.millijoules_per_call:.2f}",
        ]
        for name, row in _named(latency_rows(records))
    ]
    return markdown(head, rows)


def ratio_table(records: Sequence[Record]) -> str:
    """Every model's cost as a multiple of the reference's on the same host with as many threads.

    Of several runtimes the reference's is the one on which it takes least CPU time.
    """
    rows = latency_rows(records)
    references: dict[tuple[str, int], LatencyRow] = {}
    for row in sorted(rows, key=lambda row: row.cpu_ms):
        if row.model.startswith(REFERENCE_PREFIX):
            references.setdefault((row.host.fingerprint, row.threads), row)
    head = ["model, runtime", "bytes", "CPU ms per call", "x CPU time", "x p50", "x bare invoke"]
    head += ["x instructions"]
    cells = []
    for name, row in _named(rows):
        reference = references.get((row.host.fingerprint, row.threads))
        if reference is None:
            continue
        cells.append(
            [
                name,
                f"{row.model_bytes:,}",
                milliseconds(row.cpu_ms),
                _times(row.cpu_ms, reference.cpu_ms),
                _times(row.p50_ms, reference.p50_ms),
                _times(row.bare_invoke_p50_ms, reference.bare_invoke_p50_ms),
                _times(row.instructions_per_call, reference.instructions_per_call)
                if row.instructions_source == reference.instructions_source
                else "-",
            ]
        )
    return markdown(head, cells)


def _times(value: float | None, reference: float | None) -> str:
    return "-" if value is None or not reference else f"{value / reference:.2f}"


def operators_table(records: Sequence[Record]) -> str:
    """Where the time goes inside of a runtime that profiles itself, by kind of operator."""
    rows = []
    for name, row in _named(latency_rows(records)):
        total = sum(item.us for item in row.operators)
        shown = [item for item in row.operators if item.us >= SMALL_SHARE * total]
        small = [item for item in row.operators if item not in shown]
        kinds = [(item.kind, item.nodes, item.us) for item in shown]
        if small:
            kinds.append(("others", sum(item.nodes for item in small), sum(item.us for item in small)))
        rows += [
            [name, kind, str(nodes), f"{us:.1f}", f"{100 * us / total:.1f}"] for kind, nodes, us in kinds
        ]
    return markdown(["model, runtime", "operator", "nodes", "us per call", "share %"], rows)


def pipeline_table(records: Sequence[Record]) -> str:
    """Whole frames."""
    head = ["source, detector, runtime", "frames", "frames/s", "dropped", "age p50 ms", "age p95 ms"]
    head += ["detect p50 ms", "infer p50 ms", "total p50 ms", "total p90 ms", "CPU load", "peak MiB"]
    rows = []
    for record in records:
        if not isinstance(record, PipelineRecord) or record.void:
            continue
        figures = record.derived(intervals=False)
        stages = figures["summary"]
        rows.append(
            [
                f"{record.source}; {record.detector}; {record.model}, {record.backend}",
                str(figures["frames"]),
                f"{figures['frames_per_s']:.1f}",
                str(record.dropped),
                milliseconds(figures["age"]["p50_ms"]),
                milliseconds(float(np.percentile(record.age_ns, 95)) / 1e6),
                milliseconds(stages["detect"]["p50_ms"]),
                milliseconds(stages["infer"]["p50_ms"]),
                milliseconds(figures["p50_ms"]),
                milliseconds(figures["p90_ms"]),
                f"{figures['cpu_load']:.2f}",
                mebibytes(record.rss_peak_bytes),
            ]
        )
    return markdown(head, rows)


def accuracy_table(records: Sequence[Record]) -> str:
    """Accuracy of every model and split."""
    head = ["model", "split", "n", "top-1 %", "95 % interval", "leak-free %", "FER+ majority %"]
    head += ["balanced %", "macro F1 %", "ECE %", "bytes"]
    rows = []
    for record in records:
        if not isinstance(record, AccuracyRecord):
            continue
        low, high = record.top1_interval
        rows.append(
            [
                record.model,
                record.data.split,
                str(record.n),
                f"{100 * record.top1:.2f}",
                f"{100 * low:.2f} to {100 * high:.2f}",
                *(
                    "-" if subset is None else f"{100 * subset.top1:.2f}"
                    for subset in (record.leak_free, record.ferplus)
                ),
                f"{100 * record.balanced_accuracy:.2f}",
                f"{100 * record.macro_f1:.2f}",
                f"{100 * record.ece:.2f}",
                str(record.model_bytes),
            ]
        )
    return markdown(head, rows)


def classes_table(records: Sequence[Record]) -> str:
    """Precision, recall and F1 per class, a column per model."""
    found = [record for record in records if isinstance(record, AccuracyRecord)]
    support: dict[str, dict[str, None]] = {}
    for record in found:
        for label, row in record.classes.items():
            support.setdefault(label, {})[str(row.support)] = None
    head = ["precision / recall / F1 %", "images", *(f"{r.model} on {r.data.split}" for r in found)]
    rows = [
        [label, ", ".join(images), *(_class_cell(record.classes.get(label)) for record in found)]
        for label, images in support.items()
    ]
    return markdown(head, rows)


def _class_cell(figures: ClassFigures | None) -> str:
    if figures is None:
        return "-"
    shares = (figures.precision, figures.recall, figures.f1)
    return " / ".join("-" if share is None else f"{100 * share:.1f}" for share in shares)


def _points(records: Sequence[Record]) -> list[ParetoPoint]:
    accuracies = [record for record in records if isinstance(record, AccuracyRecord)]
    return pareto(latency_rows(records), accuracies)


def pareto_picture(records: Sequence[Record]) -> str:
    """Link to the picture of accuracy against time, which is drawn when the document is written."""
    return f"![Accuracy against latency]({PARETO_PICTURE})\n" if _points(records) else "No records.\n"


def pareto_table(records: Sequence[Record]) -> str:
    """Accuracy against time, one thread counted like any other."""
    points = sorted(_points(records), key=lambda point: point.row.p50_ms)
    names = [name for name, _ in _named([point.row for point in points])]
    rows = [
        [
            name,
            milliseconds(point.row.p50_ms),
            f"{100 * point.accuracy.top1:.2f}",
            "yes" if point.on_front else "no",
        ]
        for name, point in zip(names, points, strict=True)
    ]
    return markdown(["model, runtime", "p50 ms", "top-1 %", "on the front"], rows)


def peers_table(records: Sequence[Record]) -> str:
    """Other programs."""
    head = ["program", "task", "images", "answered", "top-1 %", "95 % interval", "CPU ms per image"]
    head += ["CPU s until ready", "peak MiB", "installed MB"]
    rows = []
    for record in records:
        if not isinstance(record, PeerRecord):
            continue
        interval = record.top1_interval
        rows.append(
            [
                record.peer,
                record.task,
                str(record.n),
                str(record.answered),
                "-" if record.top1 is None else f"{100 * record.top1:.2f}",
                "-" if interval is None else f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}",
                milliseconds(record.cpu_ms_per_image),
                f"{record.import_cpu_s:.2f}",
                mebibytes(record.rss_peak_bytes),
                "-" if record.installed_bytes is None else f"{record.installed_bytes / 1e6:.0f}",
            ]
        )
    return markdown(head, rows)


def void_table(records: Sequence[Record]) -> str:
    """Runs that were measured and enter no table, with the reason."""
    rows = [[" ".join(record.key), "; ".join(record.void)] for record in records if record.void]
    return markdown(["run", "why it is void"], rows)


TABLES: dict[str, Callable[[Sequence[Record]], str]] = {
    "hosts": hosts_table,
    "latency": latency_table,
    "cost": cost_table,
    "ratio": ratio_table,
    "operators": operators_table,
    "pipeline": pipeline_table,
    "accuracy": accuracy_table,
    "classes": classes_table,
    "pareto": pareto_table,
    "picture": pareto_picture,
    "peers": peers_table,
    "void": void_table,
}
