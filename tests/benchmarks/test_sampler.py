import pytest

from benchmarks.child import memory_bytes
from benchmarks.sampler import MeasurementError, cpu_of_others, run_watched, void_reasons, warnings_for
from edge_runtime.errors import ContractError
from tests.benchmarks.fabricate import HOST, state


def reasons(*flags: int | None, others: float | None = 0.0, steal: float | None = 0.0) -> list[str]:
    return void_reasons([state(float(n), bits) for n, bits in enumerate(flags)], others, steal)


def test_a_calm_run_is_not_void() -> None:
    assert reasons(0, 0, 0) == []


@pytest.mark.parametrize("bit", range(4))
def test_a_live_flag_in_any_sample_makes_a_run_void(bit: int) -> None:
    assert len(reasons(0, 1 << bit, 0)) == 1
    assert len(reasons(1 << bit, 0, 0)) == 1


def test_an_old_flag_is_a_warning_a_new_one_makes_the_run_void() -> None:
    old = 0x50000
    assert reasons(old, old, old) == []
    states = [state(0.0, old), state(1.0, old)]
    assert "under-voltage" in " ".join(warnings_for(HOST, states, 0.0))
    assert "between two samples: throttled" in reasons(0, 0, 0x40000)[0]


def test_a_busy_machine_makes_a_run_void() -> None:
    assert "0.50 CPUs busy" in reasons(0, 0, others=0.5)[0]
    assert "hypervisor took 5.0%" in reasons(0, 0, steal=0.05)[0]
    assert reasons(None, None, others=None, steal=None) == []
    assert any("unknown" in warning for warning in warnings_for(HOST, [state()], None))


def test_thermal_events_of_a_pc_make_a_run_void() -> None:
    states = [state(0.0, None, thermal_events=7), state(1.0, None, thermal_events=9)]
    assert void_reasons(states, 0.0, 0.0) == ["the CPU throttled 2 times"]


def test_the_cpu_of_others_leaves_our_own_out() -> None:
    start = state(10.0, jiffies={"busy": 1000, "steal": 0, "total": 4000})
    end = state(20.0, jiffies={"busy": 3000, "steal": 80, "total": 8000})
    # 2,000 jiffies of 10 ms are 20 s of CPU in 10 s, of which 15 s were ours.
    others, steal = cpu_of_others(start, end, used_s=15.0)
    assert others == pytest.approx(0.5)
    assert steal == pytest.approx(0.02)
    assert cpu_of_others(state(0.0, jiffies=None), end, 0.0) == (None, None)


def test_an_error_in_the_process_comes_back_as_itself() -> None:
    job = {"model": "missing.tflite", "backend": "auto", "threads": 1, "calls": 5}
    with pytest.raises(ContractError, match="no such model file"):
        run_watched("benchmarks.measure_latency", job)


def test_a_process_that_dies_is_reported_with_its_last_words() -> None:
    with pytest.raises(MeasurementError, match=r"No module named benchmarks\.nothing"):
        run_watched("benchmarks.nothing", {})


def test_memory_of_this_process_is_known_on_linux() -> None:
    now, most = memory_bytes("VmRSS"), memory_bytes("VmHWM")
    assert now is not None
    assert most is not None
    assert 1 << 20 < now <= most
