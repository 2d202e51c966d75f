"""Sink `mqtt:HOST[:PORT]`: events and one summary a second to an MQTT broker.

Below the configured topic: `status` (`online` or, as last will, `offline`; retained), `event` (QoS 1) and
`state` (the summary, QoS 0). Events wait in an outbox until the broker has confirmed them; summaries of an
outage are worth nothing afterwards and are not kept.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_runtime.errors import SinkError, UsageError
from edge_runtime.events import EventDetector, EventSettings
from edge_runtime.numbers import whole_number
from edge_runtime.records import FrameRecord
from edge_runtime.sinks.outbox import Outbox

log = logging.getLogger(__name__)

DEFAULT_PORT = 1883
DEFAULT_TLS_PORT = 8883
MAX_IN_FLIGHT = 20
KEEPALIVE_S = 30
CLOSE_WAIT_S = 2.0
"""How long confirmations are waited for at the end."""


@dataclass(frozen=True)
class MqttSettings:
    """How the broker is talked to."""

    topic: str = "edge-fer"
    """Topics begin with this."""
    username: str = ""
    password_file: str = ""
    """File with the password in its first line, so that it stands in no configuration or process list."""
    outbox: str = ""
    """File in which events wait through an outage and a restart; empty: in memory."""
    outbox_limit: int = 10_000
    """Most events that wait."""
    summary_s: float = 1.0
    """Between two summaries; 0 sends none."""
    discovery: bool = False
    """Whether Home Assistant is told what there is, below `homeassistant/`."""


class MqttSink:
    """Talks to the broker from a thread of the client library; an outage never holds up the camera."""

    def __init__(
        self, address: str, settings: MqttSettings, events: EventSettings, *, tls: bool = False
    ) -> None:
        """
        Args:
            address: HOST or HOST:PORT.

        Raises:
            UsageError, SinkError: as `broker_of`, or the outbox cannot be opened.
        """
        mqtt = _library()
        host, port, password = broker_of(address, settings, tls=tls)
        self._settings = settings
        self._detector = EventDetector(events)
        self._confirmed: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._in_flight: dict[int, int] = {}
        self._summary = _Summary()
        self._sent_s = time.monotonic()
        self._closed = False
        self._complained = False
        self._outbox = Outbox(settings.outbox, settings.outbox_limit)
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if settings.username:
            client.username_pw_set(settings.username, password)
        if tls:
            client.tls_set()
        client.will_set(self._topic("status"), "offline", qos=1, retain=True)
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = lambda _client, _data, mid, *_rest: self._confirmed.put(mid)
        self._where = f"{host}:{port}"
        self._client = client
        client.connect_async(host, port, KEEPALIVE_S)
        client.loop_start()

    def write(self, record: FrameRecord) -> None:
        """
        Raises:
            SinkError: an event cannot be put into the outbox.
        """
        for event in self._detector.update(record):
            self._outbox.put(self._topic("event"), json.dumps(event.to_dict()))
        self._send_waiting()
        self._summary.add(record)
        now_s = time.monotonic()
        if 0 < self._settings.summary_s <= now_s - self._sent_s:
            if self._client.is_connected():
                document = self._summary.to_dict(now_s - self._sent_s)
                self._client.publish(self._topic("state"), json.dumps(document))
            self._summary = _Summary()
            self._sent_s = now_s

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for event in self._detector.finish():
            self._outbox.put(self._topic("event"), json.dumps(event.to_dict()))
        deadline_s = time.monotonic() + CLOSE_WAIT_S
        while self._client.is_connected() and time.monotonic() < deadline_s:
            self._send_waiting()
            if not len(self._outbox):
                break
            time.sleep(0.01)
        if self._client.is_connected():
            # A clean end sends no last will.
            said = self._client.publish(self._topic("status"), "offline", qos=1, retain=True)
            said.wait_for_publish(CLOSE_WAIT_S)
        self._client.disconnect()
        self._client.loop_stop()
        if len(self._outbox):
            where = self._settings.outbox or "memory, they are lost"
            log.warning(
                "%d events were not delivered to %s; they wait in %s", len(self._outbox), self._where, where
            )
        if self._outbox.discarded:
            log.warning("%d events gave way to newer ones in the full outbox", self._outbox.discarded)
        self._outbox.close()

    def _send_waiting(self) -> None:
        """Take confirmations and send what waits; the outbox is touched in this thread alone."""
        while True:
            try:
                identity = self._in_flight.pop(self._confirmed.get_nowait(), None)
            except queue.Empty:
                break
            if identity is not None:
                self._outbox.remove(identity)
        if not self._client.is_connected() or len(self._in_flight) >= MAX_IN_FLIGHT:
            return
        # What is in flight is sent again by the client itself after an outage.
        sent = set(self._in_flight.values())
        for identity, topic, payload in self._outbox.waiting(MAX_IN_FLIGHT):
            if identity not in sent:
                self._in_flight[self._client.publish(topic, payload, qos=1).mid] = identity

    def _topic(self, name: str) -> str:
        return f"{self._settings.topic}/{name}"

    def _on_connect(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            log.warning("the MQTT broker %s refuses: %s; check user and password", self._where, reason)
            return
        if self._complained:
            log.warning("connected to the MQTT broker %s", self._where)
        self._complained = False
        client.publish(self._topic("status"), "online", qos=1, retain=True)
        if self._settings.discovery:
            for topic, document in discovery_documents(self._settings.topic).items():
                client.publish(topic, json.dumps(document), qos=1, retain=True)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._complain(str(reason))

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._complain("it cannot be reached")

    def _complain(self, reason: str) -> None:
        """Once per outage."""
        if not self._closed and not self._complained:
            log.warning("no connection to the MQTT broker %s (%s); events wait", self._where, reason)
            self._complained = True


class _Summary:
    """What was seen since the last summary."""

    def __init__(self) -> None:
        self._frames = 0
        self._last: FrameRecord | None = None
        self._labels: Counter[str] = Counter()

    def add(self, record: FrameRecord) -> None:
        self._frames += 1
        self._last = record
        self._labels.update(face.label for face in record.faces)

    def to_dict(self, lasted_s: float) -> dict[str, Any]:
        """Faces now, the most frequent label since the last summary, and the frame rate."""
        faces = self._last.faces if self._last else ()
        most = self._labels.most_common(1)
        return {
            "faces": len(faces),
            "label": most[0][0] if most else None,
            "confidence": round(faces[0].confidence, 4) if faces else None,
            "frames_per_s": round(self._frames / lasted_s, 2),
            "dropped": self._last.dropped if self._last else 0,
        }


def discovery_documents(topic: str) -> dict[str, dict[str, Any]]:
    """Home Assistant's discovery messages by topic."""
    node = re.sub(r"[^A-Za-z0-9_-]", "_", f"{topic}_{socket.gethostname()}")
    device = {"identifiers": [node], "name": f"edge-fer {socket.gethostname()}", "model": "edge-fer"}
    sensors = {
        "faces": {"name": "Faces", "icon": "mdi:account-multiple", "state_class": "measurement"},
        "label": {"name": "Expression", "icon": "mdi:emoticon-outline"},
    }
    return {
        f"homeassistant/sensor/{node}/{key}/config": {
            **sensor,
            "unique_id": f"{node}_{key}",
            "state_topic": f"{topic}/state",
            "value_template": f"{{{{ value_json.{key} }}}}",
            "availability_topic": f"{topic}/status",
            "device": device,
        }
        for key, sensor in sensors.items()
    }


def broker_of(address: str, settings: MqttSettings, *, tls: bool = False) -> tuple[str, int, str | None]:
    """Host, port and password of the broker, before anybody talks to it.

    Raises:
        UsageError: a malformed address or topic.
        SinkError: paho-mqtt is not installed, or the password cannot be read.
    """
    _library()
    host, port = _parse_address(address, DEFAULT_TLS_PORT if tls else DEFAULT_PORT)
    if not settings.topic or re.search(r"[#+\0]", settings.topic):
        raise UsageError(f"mqtt.topic must be a topic without # and +. Received: {settings.topic!r}")
    return host, port, _read_password(settings.password_file) if settings.username else None


def _library() -> Any:
    try:
        import paho.mqtt.client as mqtt
    except ImportError:
        raise SinkError("sink 'mqtt' needs paho-mqtt. Install: pip install 'edge-fer[mqtt]'") from None
    return mqtt


def _parse_address(address: str, default_port: int) -> tuple[str, int]:
    host, separator, port = address.partition(":")
    number = whole_number(port) if separator else default_port
    if not host or number is None or not 0 < number < 65536:
        raise UsageError(f"mqtt:{address}: give mqtt:HOST or mqtt:HOST:PORT")
    return host, number


def _read_password(path: str) -> str | None:
    if not path:
        return None
    try:
        return (Path(path).read_text(encoding="utf-8").splitlines() or [""])[0]
    except (OSError, UnicodeDecodeError) as error:
        raise SinkError(f"{path}: cannot read the MQTT password ({error})") from None
