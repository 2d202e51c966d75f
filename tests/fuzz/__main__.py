"""`python -m tests.fuzz --cases 1000000`: bad input for every parser, shard by shard, to be continued.

Each case is a function of seed, parser and number, so that any finding can be repeated alone:
`python -m tests.fuzz --target contract --case 4711`. A run that was interrupted goes on where it stopped
when it is started again with the same `--out`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.targets import TARGETS, make_case

SHARD = 20_000
"""Cases per process: a leak of memory does not hide behind the next parser, and a crash costs little."""
STUCK_S = 120.0
START_S = 600.0
"""Longest wait for the first case: imports on a busy machine."""
POLL_S = 0.2


@dataclass
class State:
    """How far a run is; kept as JSON."""

    seed: int
    done: dict[str, int] = field(default_factory=dict)
    crashes: list[dict[str, Any]] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder of state and findings")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--case", type=int, help="run this case of --target alone, with its traceback")
    args = parser.parse_args()
    if args.case is not None:
        return repeat(args.target[0], args.seed, args.case)
    try:
        return run(args)
    except KeyboardInterrupt:
        print("\nfuzz: interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def repeat(name: str, seed: int, number: int) -> int:
    """One case, with everything to see."""
    target = TARGETS[name]
    data = make_case(target, target.seeds(), seed, number)
    print(f"{len(data)} bytes: {data[:400]!r}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "input").write_bytes(data)
        target.run(Path(folder), data)
    return 0


def run(args: argparse.Namespace) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    state = _load(args.out / "state.json", args.seed)
    names = args.target or list(TARGETS)
    shares = {name: TARGETS[name].share for name in names}
    wanted = {name: -(-args.cases * share // sum(shares.values())) for name, share in shares.items()}
    started_s = time.monotonic()
    jobs = list(_jobs(args, state, wanted))
    running: list[Shard] = []
    before = sum(state.done.values())
    while jobs or running:
        while jobs and len(running) < args.jobs:
            running.append(Shard(args.out, *jobs.pop(0)))
        time.sleep(POLL_S)
        for shard in [shard for shard in running if shard.ended(state)]:
            running.remove(shard)
            if shard.rest is not None:
                jobs.insert(0, shard.rest)
            _save(args.out / "state.json", state)
        now = sum(state.done.values())
        rate = (now - before) / max(1e-9, time.monotonic() - started_s)
        _bar(now, sum(wanted.values()), rate, ", ".join(shard.name for shard in running))
    print(file=sys.stderr)
    return _report(args.out, state, wanted)


class Shard:
    """A process with its part of a parser's cases."""

    def __init__(self, out: Path, name: str, seed: int, first: int, end: int) -> None:
        self.name, self.end = name, end
        self.rest: tuple[str, int, int, int] | None = None
        self._seed, self._first = seed, first
        self._progress = out / f"progress-{name}-{first}"
        self._progress.write_bytes(struct.pack("<q", first - 1))
        job = {
            "target": name,
            "seed": seed,
            "first": first,
            "end": end,
            "step": 1,
            "findings": str(out / "findings.jsonl"),
            "progress": str(self._progress),
        }
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", json.dumps(job)],
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env={**os.environ, "OPENCV_LOG_LEVEL": "SILENT", "OMP_NUM_THREADS": "1"},
        )
        self._at, self._moved_s = first - 1, time.monotonic()

    def ended(self, state: State) -> bool:
        """Whether it ended; a crash is written down and the rest of the shard goes on after it."""
        (at,) = struct.unpack("<q", self._progress.read_bytes())
        if at != self._at:
            self._at, self._moved_s = at, time.monotonic()
        stuck = time.monotonic() - self._moved_s > (START_S if at < self._first else STUCK_S)
        if stuck:
            self._process.kill()
            self._process.wait()
        status = self._process.poll()
        if status is None:
            return False
        (at,) = struct.unpack("<q", self._progress.read_bytes())
        self._progress.unlink()
        if status == 0:
            state.done[self.name] = max(state.done.get(self.name, 0), self.end)
            return True
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        reason = (
            "hangs" if stuck else signal.Signals(-status).name if status < 0 else f"exit {status} {last}"
        )
        state.crashes.append({"target": self.name, "seed": self._seed, "case": at, "problem": reason})
        if at < self._first:
            raise SystemExit(f"fuzz: {self.name} cannot start: {reason}")
        state.done[self.name] = max(state.done.get(self.name, 0), at + 1)
        if at + 1 < self.end:
            self.rest = (self.name, self._seed, at + 1, self.end)
        return True


def _jobs(
    args: argparse.Namespace, state: State, wanted: dict[str, int]
) -> Iterator[tuple[str, int, int, int]]:
    """Shards of all parsers in turn, so that an interrupted run has seen them all."""
    ranges = {
        name: [(first, min(first + SHARD, end)) for first in range(state.done.get(name, 0), end, SHARD)]
        for name, end in wanted.items()
    }
    while any(ranges.values()):
        for name, shards in ranges.items():
            if shards:
                yield (name, args.seed, *shards.pop(0))


def _load(path: Path, seed: int) -> State:
    if path.exists():
        state = State(**json.loads(path.read_text()))
        if state.seed == seed:
            return state
        raise SystemExit(f"fuzz: {path} is of seed {state.seed}; give another --out")
    return State(seed)


def _save(path: Path, state: State) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(vars(state), indent=1))
    temporary.replace(path)


def _bar(done: int, wanted: int, rate: float, what: str) -> None:
    if not sys.stderr.isatty():
        return
    width = 30
    filled = int(width * min(1.0, done / max(1, wanted)))
    left_s = (wanted - done) / rate if rate > 0 else 0
    bar = "#" * filled + "-" * (width - filled)
    print(
        f"\r\033[K{bar} {done:,}/{wanted:,} {rate:,.0f}/s {left_s:.0f} s  {what}", end="", file=sys.stderr
    )


def _report(out: Path, state: State, wanted: dict[str, int]) -> int:
    path = out / "findings.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    kinds: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], int] = {}
    for finding in [*found, *state.crashes]:
        key = (finding["target"], finding["problem"].partition(": ")[0])
        kinds[key] += 1
        first.setdefault(key, finding["case"])
    for name in wanted:
        print(f"{name}: {state.done.get(name, 0):,} cases")
    print(f"in all: {sum(state.done.values()):,} cases, {len(kinds)} kinds of finding, seed {state.seed}")
    for (name, problem), count in kinds.most_common():
        print(f"  {name}: {problem}, {count} times, first: --target {name} --case {first[name, problem]}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
