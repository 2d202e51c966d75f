"""The gate against slower code: instructions per call of the released classifier against the record.

Times on shared machines cannot gate anything. Counts depend on the interpreter and the libraries, so they
are compared where those are the recorded ones, and nowhere else.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.count import digest_of
from benchmarks.host import describe_host
from benchmarks.instructions import count_instructions
from benchmarks.record import LatencyRecord, read_records
from edge_runtime.classifier import DEFAULT_MODEL, resolve_model

RECORDS = Path(__file__).parents[2] / "docs" / "benchmarks" / "x86_64" / "latency-amd.json"
ALLOWED = 0.02
"""Growth that passes; two counts of the same code differed by 0.01 %."""
LIBRARIES = ("numpy", "opencv-python-headless", "ai-edge-litert")


def recorded() -> LatencyRecord:
    """The record of the released classifier that has a count.

    Skips where there is none, or where it was counted under other conditions than are here.
    """
    path = resolve_model(DEFAULT_MODEL)
    counted = [
        record
        for record in read_records(RECORDS)
        if isinstance(record, LatencyRecord)
        and record.model_sha256 == digest_of(path)
        and record.backend_name == "litert"
        and record.instructions_per_call is not None
    ]
    if not counted:
        pytest.skip("no count of the released classifier is recorded")
    record, host = counted[0], describe_host()
    then = record.environment.host
    for what, was, now in (
        ("machine", then.machine, platform.machine()),
        ("Python", then.python, host.python),
        ("counter", record.instructions_source, counter()),
        ("AVX2", "avx2" in then.cpu_features, "avx2" in host.cpu_features),
        *((name, then.libraries.get(name), host.libraries.get(name)) for name in LIBRARIES),
    ):
        if was != now:
            pytest.skip(f"counted with {what} {was}, here is {now}")
    return record


def counter() -> str:
    """What would count here."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return "no valgrind"
    done = subprocess.run([valgrind, "--version"], capture_output=True, text=True, check=True)
    return f"callgrind, {done.stdout.strip()}"


@pytest.mark.slow
def test_a_call_takes_no_more_instructions_than_recorded() -> None:
    record = recorded()
    assert record.instructions_per_call is not None
    job = {"model": str(resolve_model(DEFAULT_MODEL)), "backend": "litert", "threads": 1}
    count, source = count_instructions(job)
    if source != record.instructions_source:
        pytest.skip(f"recorded by {record.instructions_source}, counted here by {source}")
    assert count is not None
    growth = count / record.instructions_per_call - 1
    assert growth < ALLOWED, f"{count:,.0f} instructions per call, {growth:+.1%} against the record"
