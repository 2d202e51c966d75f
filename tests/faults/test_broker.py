"""The MQTT broker goes away under a running edge-fer, and comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt.client", reason="needs the extra `mqtt`")

from tests.edge_runtime.sinks.test_mqtt import Broker, Listener, wait_for
from tests.faults.conftest import Running, Starter

WANTED = 12


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Broker(folder)
    yield broker
    broker.stop()


def watch(start: Starter, tiny: str, folder: Path, port: int, limit: int) -> Running:
    """Pictures without a face between pictures with one: many events in a short time."""
    settings = folder / "settings.toml"
    settings.write_text(
        f"[mqtt]\noutbox = '{folder}/outbox.db'\noutbox_limit = {limit}\nsummary_s = 0\n"
        "[events]\narrive_after_s = 0.0\nleave_after_s = 0.0\nchange_after_s = 0.0\nmin_interval_s = 0.0\n"
    )
    return start(
        *("flicker", "run", "--config", str(settings), "--source", "demo:0", "--realtime"),
        *("--model", tiny, "--sink", f"mqtt:127.0.0.1:{port}", "--sink", f"events:{folder}/events"),
        module="tests.faults.disturbed",
    )


def happened(folder: Path) -> list[tuple[str, int]]:
    path = folder / "events"
    return [
        (event["event"], event["track"])
        for event in map(json.loads, path.read_text().splitlines() if path.exists() else [])
    ]


def received(listener: Listener) -> list[tuple[str, int]]:
    """Kind and track of every event, in order of arrival; one that came twice counts once."""
    events = [json.loads(payload) for payload in listener.of("edge-fer/event")]
    return list(dict.fromkeys((event["event"], event["track"]) for event in events))


def test_nothing_is_lost_and_the_order_is_kept(
    start: Starter, tiny: str, tmp_path: Path, broker: Broker
) -> None:
    broker.start()
    listener = Listener(broker.port)
    running = watch(start, tiny, tmp_path, broker.port, 10_000)
    running.wait_until(lambda: len(received(listener)) > 2)
    broker.stop()
    running.wait_for_log("no connection to the MQTT broker")
    listener.close()
    at_outage = len(happened(tmp_path))
    running.wait_until(lambda: len(happened(tmp_path)) > at_outage + WANTED)
    broker.start()
    after = Listener(broker.port)
    running.wait_for_log("connected to the MQTT broker")
    running.wait_until(lambda: len(received(after)) > WANTED)
    assert running.end() == 0
    wanted = happened(tmp_path)
    wait_for(lambda: received(after)[-1:] == wanted[-1:])
    got = list(dict.fromkeys(received(listener) + received(after)))
    after.close()
    assert got == wanted
    assert running.log.count("no connection to the MQTT broker") == 1
    assert "Traceback" not in running.log


def test_beyond_the_bound_the_oldest_give_way_and_are_counted(
    start: Starter, tiny: str, tmp_path: Path, broker: Broker
) -> None:
    """The broker is not there from the beginning."""
    running = watch(start, tiny, tmp_path, broker.port, 6)
    running.wait_for_log("no connection to the MQTT broker")
    running.wait_until(lambda: len(happened(tmp_path)) > WANTED)
    assert running.end() == 0
    wanted = happened(tmp_path)
    assert "6 events were not delivered" in running.log
    assert f"{len(wanted) - 6} events gave way to newer ones" in running.log
    broker.start()
    listener = Listener(broker.port)
    again = watch(start, tiny, tmp_path, broker.port, 10_000)
    again.wait_until(lambda: len(received(listener)) > 6)
    assert again.end() == 0
    # The newest six of the first run, in their order, before those of the second.
    assert received(listener)[:6] == wanted[-6:]
    listener.close()
