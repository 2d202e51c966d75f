"""Run a program in a fresh process and watch the host while it runs."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import parsers
from benchmarks.host import HostInfo, HostState, describe_host, read_state
from benchmarks.record import Environment
from edge_runtime import errors
from edge_runtime.errors import EdgeFerError

SAMPLE_EVERY_S = 2.0
BASELINE_S = 1.0
IDLE_FOR_S = 3.0
BUSY_LIMIT_CPUS = 0.1
"""Others may keep this many CPUs busy, on average, before a run is void."""
STEAL_LIMIT = 0.01
"""A hypervisor may take this share of CPU time before a run is void."""


class MeasurementError(EdgeFerError):
    """The measuring process failed or was killed."""


def run_watched(
    module: str, job: Mapping[str, Any], prefix: Sequence[str] = (), timeout_s: float | None = None
) -> tuple[dict[str, Any], Environment]:
    """Run `python -m MODULE JOB RESULT` in a fresh process and watch the host meanwhile.

    The watching happens here, in the parent, so that it costs the measured process nothing.

    Args:
        module: module of `benchmarks` that calls `serve`.
        job: JSON object for it.
        prefix: words before the interpreter, e.g. valgrind's.
        timeout_s: kill the process after this time.

    Returns:
        the process's result and what was seen around it.

    Raises:
        MeasurementError: it was killed or took too long.
        EdgeFerError: an expected failure in it, of the same class and message.
    """
    host = describe_host()
    baseline = read_state()
    time.sleep(BASELINE_S)
    states = [read_state()]
    used_before_s = _own_cpu_s()
    with tempfile.TemporaryDirectory(prefix="edge-fer-bench-") as folder:
        result_path = Path(folder) / "result.json"
        words = [*prefix, sys.executable, "-m", module, json.dumps(job), str(result_path)]
        with subprocess.Popen(
            words, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as child:
            try:
                messages = _watch(child, states, timeout_s)
            except BaseException:
                child.kill()
                raise
        result = _read_result(result_path, child.returncode, messages)
    states.append(read_state())
    used_s = _own_cpu_s() - used_before_s
    return result, _environment(host, baseline, states, used_s)


def wait_until_idle(limit_s: float) -> bool:
    """Wait until other programs leave the CPUs alone for `IDLE_FOR_S` seconds; whether they did in time."""
    deadline = time.monotonic() + limit_s
    while True:
        start, used_before_s = read_state(), _own_cpu_s()
        time.sleep(IDLE_FOR_S)
        end = read_state()
        others, steal = cpu_of_others(start, end, _own_cpu_s() - used_before_s)
        if not void_reasons([start, end], others, steal):
            return True
        if time.monotonic() > deadline:
            return False


def child_environment() -> dict[str, str]:
    """Environment in which a fresh interpreter finds this very package, also inside a zip archive."""
    home = str(Path(benchmarks.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}


def _watch(child: subprocess.Popen[bytes], states: list[HostState], timeout_s: float | None) -> str:
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            _, messages = child.communicate(timeout=SAMPLE_EVERY_S)
        except subprocess.TimeoutExpired:
            states.append(read_state())
            if deadline is not None and time.monotonic() > deadline:
                raise MeasurementError(f"the measurement took longer than {timeout_s:.0f} s") from None
        else:
            return messages.decode(errors="replace")


def _read_result(path: Path, returncode: int, messages: str) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        last = (messages.strip().splitlines() or ["no message"])[-1]
        raise MeasurementError(f"the measuring process ended with code {returncode}: {last}") from None
    if "error" in result:
        raise _error_class(result["kind"])(result["error"])
    return result


def _error_class(name: str) -> type[EdgeFerError]:
    found = getattr(errors, name, EdgeFerError)
    return found if isinstance(found, type) and issubclass(found, EdgeFerError) else EdgeFerError


def _own_cpu_s() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _environment(
    host: HostInfo, baseline: HostState, states: Sequence[HostState], used_s: float
) -> Environment:
    others, steal = cpu_of_others(states[0], states[-1], used_s)
    idle_watts, run_watts, source = _power(baseline, states)
    return Environment(
        host=host,
        states=tuple(states),
        others_cpu=others,
        steal=steal,
        idle_watts=idle_watts,
        run_watts=run_watts,
        energy_source=source,
        void=tuple(void_reasons(states, others, steal)),
        warnings=tuple(warnings_for(host, states, others)),
    )


def cpu_of_others(start: HostState, end: HostState, used_s: float) -> tuple[float | None, float | None]:
    """Mean number of CPUs that other programs kept busy, and the share that a hypervisor took.

    Args:
        used_s: CPU time of this program and its children between the two states.
    """
    if start.jiffies is None or end.jiffies is None or end.t_s <= start.t_s:
        return None, None
    passed = {key: end.jiffies[key] - start.jiffies[key] for key in start.jiffies}
    busy_s = passed["busy"] / os.sysconf("SC_CLK_TCK")
    others = max(0.0, busy_s - used_s) / (end.t_s - start.t_s)
    return others, passed["steal"] / passed["total"] if passed["total"] else None


def void_reasons(states: Sequence[HostState], others: float | None, steal: float | None) -> list[str]:
    """Why a run between these states must not enter a summary."""
    reasons = []
    bits = [state.throttled for state in states if state.throttled is not None]
    live = {name: None for value in bits for name in parsers.live_flags(value)}
    if live:
        reasons.append(f"the board reported during the run: {', '.join(live)}")
    elif bits:
        # A flag that was raised and fell between two samples is still in the sticky bits.
        new = parsers.sticky_flags(bits[-1] & ~bits[0])
        if new:
            reasons.append(f"the board reported between two samples: {', '.join(new)}")
    events = [state.thermal_events for state in states if state.thermal_events is not None]
    if events and events[-1] > events[0]:
        reasons.append(f"the CPU throttled {events[-1] - events[0]} times")
    if others is not None and others > BUSY_LIMIT_CPUS:
        reasons.append(f"other programs kept {others:.2f} CPUs busy; {BUSY_LIMIT_CPUS} is the limit")
    if steal is not None and steal > STEAL_LIMIT:
        reasons.append(f"the hypervisor took {steal:.1%} of the CPU time; {STEAL_LIMIT:.0%} is the limit")
    return reasons


def warnings_for(host: HostInfo, states: Sequence[HostState], others: float | None) -> list[str]:
    """What weakens a run without spoiling it, each with what to do."""
    found = []
    bits = next((state.throttled for state in states if state.throttled is not None), None)
    if bits is not None and parsers.sticky_flags(bits):
        names = ", ".join(parsers.sticky_flags(bits))
        found.append(f"since boot the board has reported: {names}; check power supply and cooling")
    if host.governor not in (None, "performance"):
        found.append(f"governor is {host.governor!r}; `performance` gives steadier times")
    if others is None:
        found.append("how busy other programs were is unknown: /proc/stat cannot be read")
    return found


def _power(
    baseline: HostState, states: Sequence[HostState]
) -> tuple[float | None, float | None, str | None]:
    """Watts before the run, watts during it, and where they come from."""
    during = [state.watts for state in states[1:-1] if state.watts is not None]
    if during:
        return baseline.watts, sum(during) / len(during), "Pi PMIC"
    idle, run = _rapl_watts(baseline, states[0]), _rapl_watts(states[0], states[-1])
    return idle, run, None if run is None else "RAPL package"


def _rapl_watts(start: HostState, end: HostState) -> float | None:
    if start.energy_uj is None or end.energy_uj is None or end.energy_uj < start.energy_uj:
        return None  # unreadable, or the counter wrapped
    return (end.energy_uj - start.energy_uj) / 1e6 / (end.t_s - start.t_s)
