"""Runs cases in a process of its own, with little memory and a stopwatch."""

from __future__ import annotations

import json
import logging
import mmap
import resource
import signal
import struct
import sys
import tempfile
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from edge_runtime.errors import EdgeFerError
from tests.fuzz.targets import TARGETS, Target, make_case

MEMORY_BYTES = 600 << 20
"""Address space beyond what the process has when it starts: the largest picture takes 256 MB decoded."""
CASE_TIMEOUT_S = 10.0


class Hang(BaseException):
    """A case takes too long."""


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang


def check(target: Target, folder: Path, data: bytes) -> str | None:
    """What is wrong with how a target takes an input, or None: the place and type of an exception."""
    signal.setitimer(signal.ITIMER_REAL, CASE_TIMEOUT_S)
    try:
        target.run(folder, data)
    except EdgeFerError as error:
        return None if str(error).strip() else f"{type(error).__name__} without a word"
    except (Exception, Hang) as error:
        ours = [
            place
            for place in traceback.extract_tb(error.__traceback__)
            if "edge_runtime" in place.filename
            or "/train/" in place.filename
            or "/benchmarks/" in place.filename
        ]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "outside"
        return f"{type(error).__name__} at {where}: {str(error)[:120]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def limit_memory() -> None:
    """More address space than `MEMORY_BYTES` on top of what is mapped now is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def work(job: dict[str, Any]) -> None:
    """Run a shard: cases `first`, `first + step`, … below `end`; one JSON line per finding."""
    target = TARGETS[job["target"]]
    good = target.seeds()
    # Here and not where it is imported: other tests look at the log.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _hang)
    findings = Path(job["findings"])
    scratch = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="edge-fer-fuzz-", dir=scratch) as folder,
        Path(job["progress"]).open("r+b") as file,
        mmap.mmap(file.fileno(), 8) as progress,
    ):
        # Parsers import when they are first used; that is not the input's doing.
        check(target, Path(folder), good[0])
        limit_memory()
        for number in range(job["first"], job["end"], job["step"]):
            progress[:] = struct.pack("<q", number)
            data = make_case(target, good, job["seed"], number)
            problem = check(target, Path(folder), data)
            if problem:
                found = {"target": target.name, "seed": job["seed"], "case": number, "problem": problem}
                with findings.open("a") as stream:
                    stream.write(json.dumps(found) + "\n")
        progress[:] = struct.pack("<q", job["end"])


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
