"""Records of benchmarks: every raw value, the host and its state, one schema for all boards.

A record file is a JSON list of records. docs/benchmarks.md describes the fields; `SCHEMA` rises when
their meaning changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.accuracy_record import AccuracyRecord, PeerRecord
from benchmarks.files import to_json, write_text
from benchmarks.host import HostInfo, HostState
from benchmarks.schema import RecordError, parse, to_document
from benchmarks.stats import PERCENTILES, percentiles

SCHEMA = 1
LATENCY_STAGES = ("preprocess", "infer", "total")

_RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Samples:
    """All timings of one stage; statistics are derived, never stored alone."""

    values_ns: tuple[int, ...]
    warmups_ns: tuple[int, ...]
    """Calls before the timed ones, in their order."""


@dataclass(frozen=True)
class Environment:
    """The host and its state around one run."""

    host: HostInfo
    states: tuple[HostState, ...]
    """Before, during (every other second) and after the run."""
    others_cpu: float | None
    """CPUs kept busy by other programs during the run, mean."""
    steal: float | None
    """Share of CPU time that a hypervisor gave to others, 0..1."""
    idle_watts: float | None
    """Power before the run, where it can be measured."""
    run_watts: float | None
    """Mean power during the run."""
    energy_source: str | None
    """`Pi PMIC` or `RAPL package`."""
    void: tuple[str, ...]
    """Why the run must not enter a summary; empty for a good run."""
    warnings: tuple[str, ...]
    """What a reader should know, and what to do about it."""


@dataclass(frozen=True)
class OperatorTime:
    """One operator of the runtime's own profile."""

    name: str
    kind: str
    mean_us: float


@dataclass(frozen=True)
class LatencyRecord:
    """Time, memory and power of one model in one fresh process."""

    KIND: ClassVar[str] = "latency"

    started: str
    """UTC, ISO 8601."""
    model: str
    model_file: str
    model_sha256: str
    model_bytes: int
    backend: str
    """Runtime, version, delegate and threads, e.g. `ai-edge-litert 2.3.0 xnnpack threads=1`."""
    backend_name: str
    threads: int
    frame_hw: tuple[int, ...]
    """Synthetic frame that the face was cut from."""
    box_px: int
    """Side of the face's box in it."""
    stages: dict[str, Samples]
    """By `LATENCY_STAGES`; total = preprocess + infer of the same call."""
    cpu_ns: tuple[int, ...]
    """CPU time of the process per timed call, all threads."""
    warmup_steady: bool
    """Whether the calls had stopped getting faster when timing began."""
    import_ms: float
    """Importing the runtime's package."""
    load_ms: float
    """From the file to an interpreter that is ready."""
    first_call_ms: float
    rss_before_load_bytes: int | None
    rss_steady_bytes: int | None
    rss_peak_bytes: int | None
    operators: dict[str, int] | None
    """Operators by name as the interpreter lists them; `DELEGATE` counts delegated partitions."""
    bare_invoke_ns: tuple[int, ...] | None
    """The interpreter's invoke alone, on a tensor set before; None where the runtime has no such call."""
    litert_benchmark_ms: float | None
    """Median of LiteRT's own benchmark tool on the same file, 0.01 ms resolution."""
    operator_profile: tuple[OperatorTime, ...] | None
    instructions_per_call: float | None
    instructions_source: str | None
    """`hardware counter`, or the version of valgrind."""
    environment: Environment

    @property
    def void(self) -> tuple[str, ...]:
        return self.environment.void

    @property
    def key(self) -> tuple[str, ...]:
        """What is measured, whichever version of it: model, backend, threads."""
        return (self.model, self.backend_name, f"threads={self.threads}")

    @property
    def millijoules_per_call(self) -> float | None:
        """Energy of the whole board (Pi PMIC) or package (RAPL) per call, idle power included."""
        watts, values = self.environment.run_watts, self.stages["total"].values_ns
        return None if watts is None else watts * sum(values) / len(values) / 1e6

    def problem(self) -> str | None:
        """The first thing that contradicts itself, or None."""
        if tuple(self.stages) != LATENCY_STAGES:
            return f"stages must be {', '.join(LATENCY_STAGES)}"
        counts = {len(samples.values_ns) for samples in self.stages.values()} | {len(self.cpu_ns)}
        if len(counts) != 1 or counts == {0}:
            return "stages and cpu_ns must hold the same number of values, at least one"
        if any(value < 0 for samples in self.stages.values() for value in samples.values_ns):
            return "times must not be negative"
        return None

    def derived(self, intervals: bool = True) -> dict[str, Any]:
        """Figures for readers without this program; all but the intervals are checked on reading."""
        bare = self.bare_invoke_ns
        summary = {stage: summarize(s.values_ns, intervals) for stage, s in self.stages.items()}
        return {
            "calls": len(self.cpu_ns),
            **summary["total"],
            "cpu_ms_per_call": sum(self.cpu_ns) / len(self.cpu_ns) / 1e6,
            "millijoules_per_call": self.millijoules_per_call,
            "summary": summary,
            "bare_invoke": None if bare is None else summarize(bare, intervals),
        }


@dataclass(frozen=True)
class MemorySample:
    """Resident memory at one frame."""

    t_s: float
    """Seconds since the first frame."""
    rss_bytes: int


@dataclass(frozen=True)
class PipelineRecord:
    """Whole frames from a source, in one fresh process."""

    KIND: ClassVar[str] = "pipeline"

    started: str
    model: str
    model_file: str
    model_sha256: str
    backend: str
    backend_name: str
    threads: int
    source: str
    """Description of the source, without its path."""
    realtime: bool
    """Whether frames came at the source's own rate, with stale ones dropped."""
    detector: str
    stages: dict[str, Samples]
    """By stage of `edge_runtime.records.STAGES`, a value per frame; warm-ups are the first frames."""
    age_ns: tuple[int, ...]
    """Age of each timed frame when its record was ready."""
    wall_s: float
    """From the first timed frame's arrival to the last record."""
    cpu_s: float
    """CPU time of the process in that time, all threads."""
    frames_with_faces: int
    faces: int
    dropped: int
    memory: tuple[MemorySample, ...]
    rss_peak_bytes: int | None
    environment: Environment

    @property
    def void(self) -> tuple[str, ...]:
        return self.environment.void

    @property
    def key(self) -> tuple[str, ...]:
        """What is measured, whichever version of it: model, backend, threads, detector, source."""
        return (self.model, self.backend_name, f"threads={self.threads}", self.detector, self.source)

    def problem(self) -> str | None:
        counts = {len(samples.values_ns) for samples in self.stages.values()} | {len(self.age_ns)}
        if len(counts) != 1 or counts == {0}:
            return "stages and age_ns must hold the same number of values, at least one"
        if "total" not in self.stages or self.wall_s <= 0:
            return "a pipeline record needs the stage total and a positive wall_s"
        return None

    def derived(self, intervals: bool = True) -> dict[str, Any]:
        """Figures for readers without this program; all but the intervals are checked on reading."""
        frames = len(self.age_ns)
        summary = {stage: summarize(s.values_ns, intervals) for stage, s in self.stages.items()}
        return {
            "frames": frames,
            **summary["total"],
            "frames_per_s": frames / self.wall_s,
            "cpu_load": self.cpu_s / self.wall_s,
            "age": summarize(self.age_ns, intervals),
            "summary": summary,
        }


Record = LatencyRecord | PipelineRecord | AccuracyRecord | PeerRecord
_KINDS: dict[str, type[Record]] = {
    cls.KIND: cls for cls in (LatencyRecord, PipelineRecord, AccuracyRecord, PeerRecord)
}
_DERIVED: dict[str, tuple[str, ...]] = {
    "latency": ("calls", "cpu_ms_per_call", "millijoules_per_call", "bare_invoke", "summary"),
    "pipeline": ("frames", "frames_per_s", "cpu_load", "age", "summary"),
    "accuracy": (),
    "peer": (),
}
_PERCENTILE_KEYS = tuple(f"p{p}_ms{suffix}" for p in PERCENTILES for suffix in ("", "_interval"))


def summarize(values_ns: Sequence[int], intervals: bool = True) -> dict[str, Any]:
    """`p50_ms`, `p90_ms`, `p99_ms` and their 95 % intervals; null where there are too few values."""
    found = percentiles(values_ns, intervals)
    summary: dict[str, Any] = {}
    for p in PERCENTILES:
        percentile = found[p]
        summary[f"p{p}_ms"] = None if percentile is None else percentile.value_ms
        interval = None if percentile is None else percentile.interval_ms
        summary[f"p{p}_ms_interval"] = None if interval is None else list(interval)
    return summary


def to_dict(record: Record) -> dict[str, Any]:
    """JSON object of a record, derived figures included."""
    return {"schema": SCHEMA, "kind": record.KIND, **record.derived(), **to_document(record)}


def from_dict(document: Any, where: str) -> Record:
    """Validate a JSON object and make a record of it.

    Raises:
        RecordError: another schema or kind, a field that is wrong, or a derived figure that does not
            follow from the raw values.
    """
    if not isinstance(document, dict):
        raise RecordError(f"{where}: expected an object. Received: {str(document)[:60]!r}")
    if document.get("schema") != SCHEMA:
        raise RecordError(
            f"{where}: schema {document.get('schema')!r} is not supported; this program reads {SCHEMA}"
        )
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise RecordError(f"{where}: kind must be one of {', '.join(_KINDS)}. Received: {kind!r}")
    derived_keys = {"schema", "kind", *_DERIVED[kind], *_PERCENTILE_KEYS}
    raw = {key: value for key, value in document.items() if key not in derived_keys}
    record: Record = parse(_KINDS[kind], raw, where)
    problem = record.problem()
    if problem:
        raise RecordError(f"{where}: {problem}")
    for key, value in record.derived(intervals=False).items():
        if key not in document or not _same(document[key], value, key):
            raise RecordError(f"{where}: {key} does not follow from the raw values; measure again")
    return record


def _same(written: Any, computed: Any, key: str) -> bool:
    """Equality up to rounding; intervals, which are drawn at random, are not compared."""
    if key.endswith("_interval"):
        return True
    if isinstance(computed, dict):
        return isinstance(written, dict) and all(
            name in written and _same(written[name], value, name) for name, value in computed.items()
        )
    if isinstance(computed, float) and isinstance(written, (int, float)):
        return abs(written - computed) <= _RELATIVE_TOLERANCE * max(abs(written), abs(computed))
    return bool(written == computed)


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write a record file, whole or not at all."""
    write_text(path, to_json([to_dict(record) for record in records]))


def read_records(path: Path) -> list[Record]:
    """Read and validate a record file.

    Raises:
        RecordError: missing, not JSON, or a record that does not hold.
    """
    documents = read_documents(path)
    return [from_dict(document, f"{path}, record {n}") for n, document in enumerate(documents, start=1)]


def read_documents(path: Path) -> list[Any]:
    """The JSON list in a file.

    Raises:
        RecordError: missing, unreadable, not JSON or no list.
    """
    try:
        documents = json.loads(path.read_text())
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read ({error})") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not JSON ({error}); a run that was cut off? Measure again") from None
    if not isinstance(documents, list):
        raise RecordError(f"{path}: expected a list of records. Received: {type(documents).__name__}")
    return documents
