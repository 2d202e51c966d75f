import pytest

from benchmarks.instructions import (
    FEW_CALLS,
    MOST_CALLS,
    PROBE_CALLS,
    InstructionCounter,
    instructions_in,
    per_call_of,
)
from benchmarks.profile import operator_times
from benchmarks.sampler import MeasurementError

CALLGRIND = """\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  python -m benchmarks.measure_instructions
part: 1

events: Ir
summary: 6188890123

fn=(1) main
16 400
totals: 6188890123
"""


def test_the_total_of_a_callgrind_file() -> None:
    assert instructions_in(CALLGRIND) == 6188890123


def test_a_callgrind_file_without_total_is_refused() -> None:
    with pytest.raises(MeasurementError, match="no total"):
        instructions_in("events: Ir\n")


@pytest.mark.parametrize(
    ("per_call", "calls"),
    [
        (60e6, [FEW_CALLS, PROBE_CALLS]),
        (12e6, [FEW_CALLS, PROBE_CALLS, FEW_CALLS + 84]),
        (5e6, [FEW_CALLS, PROBE_CALLS, FEW_CALLS + 200]),
        (1e4, [FEW_CALLS, PROBE_CALLS, MOST_CALLS]),
    ],
)
def test_cheap_calls_are_counted_more_often_than_dear_ones(per_call: float, calls: list[int]) -> None:
    asked = []

    def total(count: int) -> int:
        asked.append(count)
        return int(4e9 + per_call * count)

    assert per_call_of(total) == pytest.approx(per_call)
    assert asked == calls


def test_noise_between_runs_stays_a_small_share() -> None:
    noise = iter((1e6, 1e6, -1e6))
    found = per_call_of(lambda count: int(4e9 + 12e6 * count + next(noise)))
    assert found == pytest.approx(12e6, rel=0.0025)


def test_runs_that_do_not_grow_are_refused() -> None:
    with pytest.raises(MeasurementError, match="count again"):
        per_call_of(lambda count: int(4e9))


def test_more_work_takes_more_instructions() -> None:
    try:
        counter = InstructionCounter()
    except OSError as error:
        pytest.skip(f"no hardware counter: {error}")
    try:
        start = counter.read()
        sum(range(10_000))
        few = counter.read() - start
        sum(range(100_000))
        many = counter.read() - start - few
    finally:
        counter.close()
    assert many > 5 * few


def test_operator_times_are_means_per_node_slowest_first() -> None:
    events = [
        {"cat": "Session", "name": "model_run", "dur": 900},
        {"cat": "Node", "name": "a_kernel_time", "dur": 10, "args": {"op_name": "Relu"}},
        {"cat": "Node", "name": "a_kernel_time", "dur": 20, "args": {"op_name": "Relu"}},
        {"cat": "Node", "name": "b_fence_before", "dur": 99, "args": {"op_name": "Conv"}},
        {"cat": "Node", "name": "b_kernel_time", "dur": 70, "args": {"op_name": "Conv"}},
    ]
    assert operator_times(events) == [
        {"name": "b", "kind": "Conv", "mean_us": 70.0},
        {"name": "a", "kind": "Relu", "mean_us": 15.0},
    ]
