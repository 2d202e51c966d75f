"""MQTT against a real Mosquitto: delivery, last will, outages, and the bounded outbox."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import EventSettings
from edge_runtime.sinks import open_sink
from edge_runtime.sinks.mqtt import MqttSettings, MqttSink, discovery_documents
from edge_runtime.sinks.outbox import Outbox
from tests.edge_runtime.test_events import record

mqtt = pytest.importorskip("paho.mqtt.client", reason="needs the extra `mqtt`")
AT_ONCE = EventSettings(0.0, 0.1, 0.0, 0.0)


def wait_for(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Broker:
    """A Mosquitto of one's own that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.skip("no mosquitto on this machine")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._command = [program, "-c", str(config)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(listens)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None


class Listener:
    """Subscribes to everything and keeps what comes."""

    def __init__(self, port: int) -> None:
        self.messages: list[tuple[str, str]] = []
        self.subscribed = False
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(("127.0.0.1"), port)
        self._client.loop_start()
        wait_for(lambda: self.subscribed)

    def _on_subscribe(self, *_: Any) -> None:
        self.subscribed = True

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self.messages.append((message.topic, message.payload.decode()))

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload in list(self.messages) if name == topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    listener = Listener(broker.port)
    yield listener
    listener.close()


def make(broker: Broker, **settings: Any) -> MqttSink:
    return MqttSink(f"127.0.0.1:{broker.port}", MqttSettings(**settings), AT_ONCE)


def play(sink: MqttSink, first_s: float, count: int) -> None:
    """`count` faces arrive one after the other, and all leave at last."""
    for index in range(count):
        sink.write(record(first_s + index * 0.01, [(index + 1, "happy")]))
    sink.write(record(first_s + 100, []))


def tracks(payloads: list[str], kind: str) -> list[int]:
    documents = [json.loads(payload) for payload in payloads]
    return [document["track"] for document in documents if document["event"] == kind]


def test_events_status_and_summary_arrive(broker: Broker, listener: Listener) -> None:
    sink = make(broker, topic="hall/face", summary_s=0.05)
    wait_for(lambda: listener.of("hall/face/status") == ["online"])
    play(sink, 0, 3)
    time.sleep(0.06)
    sink.write(record(200, [(9, "happy")]))
    sink.close()
    sink.close()
    wait_for(lambda: listener.of("hall/face/status") == ["online", "offline"])
    events = listener.of("hall/face/event")
    assert tracks(events, "arrived") == [1, 2, 3, 9]
    assert tracks(events, "left") == [1, 2, 3, 9]
    state = json.loads(listener.of("hall/face/state")[-1])
    assert (state["faces"], state["label"], state["confidence"]) == (1, "happy", 0.9)


def test_nothing_is_lost_through_an_outage(broker: Broker, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.db"
    sink = make(broker, outbox=str(outbox), summary_s=0)
    wait_for(sink._client.is_connected)
    broker.stop()
    wait_for(lambda: not sink._client.is_connected())
    play(sink, 0, 30)
    assert len(Outbox(str(outbox), 100)) == 60
    broker.start()
    listener = Listener(broker.port)
    wait_for(sink._client.is_connected)

    def delivered() -> bool:
        sink.write(record(300, []))
        return len(listener.of("edge-fer/event")) >= 60

    wait_for(delivered)
    sink.close()
    listener.close()
    assert tracks(listener.of("edge-fer/event"), "arrived") == list(range(1, 31))
    assert len(Outbox(str(outbox), 100)) == 0


def test_what_waits_survives_a_restart(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = str(tmp_path / "outbox.db")
    broker.stop()
    sink = make(broker, outbox=outbox, summary_s=0)
    play(sink, 0, 2)
    with caplog.at_level(logging.WARNING):
        sink.close()
    assert "4 events were not delivered" in caplog.text
    broker.start()
    listener = Listener(broker.port)
    again = make(broker, outbox=outbox, summary_s=0)
    wait_for(again._client.is_connected)
    again.close()
    wait_for(lambda: len(listener.of("edge-fer/event")) == 4)
    listener.close()


def test_a_process_that_dies_leaves_its_last_will(broker: Broker, listener: Listener) -> None:
    code = (
        "import os, sys, time\n"
        "from edge_runtime.sinks import open_sink\n"
        f"sink = open_sink('mqtt:127.0.0.1:{broker.port}')\n"
        "while not sink._client.is_connected(): time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    wait_for(lambda: listener.of("edge-fer/status") == ["online", "offline"])


def test_home_assistant_is_told(broker: Broker, listener: Listener) -> None:
    sink = make(broker, discovery=True)
    wanted = discovery_documents("edge-fer")
    wait_for(lambda: all(listener.of(topic) for topic in wanted))
    sink.close()
    for topic, document in wanted.items():
        assert json.loads(listener.of(topic)[0]) == document
        assert document["state_topic"] == "edge-fer/state"
        assert document["availability_topic"] == "edge-fer/status"
    assert len({document["unique_id"] for document in wanted.values()}) == 2


def test_the_outbox_is_bounded_and_the_oldest_give_way(tmp_path: Path) -> None:
    outbox = Outbox(str(tmp_path / "outbox.db"), 3)
    for number in range(5):
        outbox.put("t", str(number))
    assert [payload for _, _, payload in outbox.waiting(9)] == ["2", "3", "4"]
    assert outbox.discarded == 2
    outbox.remove(outbox.waiting(1)[0][0])
    assert len(outbox) == 2
    outbox.close()


def test_wrong_settings_are_one_line(tmp_path: Path) -> None:
    for address in (":1883", "host:port", "host:0"):
        with pytest.raises(UsageError, match="mqtt:HOST"):
            open_sink(f"mqtt:{address}")
    with pytest.raises(UsageError, match="without # and"):
        open_sink("mqtt:host", mqtt={"topic": "a/#"})
    with pytest.raises(SinkError, match="cannot read the MQTT password"):
        open_sink("mqtt:host", mqtt={"username": "me", "password_file": str(tmp_path / "none")})
    with pytest.raises(SinkError, match="cannot keep messages"):
        open_sink("mqtt:host", mqtt={"outbox": str(tmp_path / "none" / "outbox.db")})


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(SinkError, match=r"pip install 'edge-fer\[mqtt\]'"):
        open_sink("mqtt:host")
