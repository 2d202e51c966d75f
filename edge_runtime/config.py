"""Everything that a run can be told, from one TOML file; the command line overrides it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_type_hints

from edge_runtime.errors import UsageError
from edge_runtime.numbers import MAX_THREADS, MOST


def _key(default: Any, about: str) -> Any:
    """A field with the line that documents it in `edge-fer config --print`."""
    return field(default=default, metadata={"about": about})


@dataclass(frozen=True)
class SourceConfig:
    """Where frames come from."""

    name: str = _key(
        "demo",
        "picamera2, v4l2:N, a video, picture or folder, folder:DIR,watch, rtsp://…, http://…, or demo",
    )
    width: int = _key(640, "of the picture that a camera is asked for, pixels")
    height: int = _key(480, "of the picture that a camera is asked for, pixels")
    rate_hz: float = _key(25.0, "frames per second that a camera is asked for")
    realtime: bool = _key(False, "play a video or the demo at its own rate and drop late frames")
    rotate: int = _key(0, "turn frames clockwise: 0, 90, 180 or 270 degrees")
    mirror: bool = _key(False, "exchange left and right")
    region: tuple[int, ...] = _key((), "x, y, width, height of the part that is used; empty: all of it")
    stall_timeout_s: float = _key(2.0, "a live source that delivers nothing for longer has failed")
    reopen_tries: int = _key(5, "how often a live source that failed is opened again")
    watch_s: float = _key(0.0, "seconds between two looks into a folder for new pictures; 0: read it once")
    done: str = _key("", "folder in the watched one that takes its processed pictures; empty: they stay")
    seed: int = _key(0, "of the demo's motion")
    controls: dict[str, Any] = field(
        default_factory=dict, metadata={"about": "libcamera controls for picamera2, e.g. {AfMode = 2}"}
    )


@dataclass(frozen=True)
class ModelConfig:
    """What names the expressions."""

    name: str = _key("edge-fer-small", "a released model's name or a .tflite file")
    backend: str = _key(
        "auto", "auto, litert, tflite-runtime or onnx; auto takes the first that is installed"
    )
    threads: int = _key(1, "of the interpreter and of OpenCV")
    flip_average: bool = _key(
        False,
        "classify each face and its mirror image and average: twice the time, see docs/experiments.md",
    )


@dataclass(frozen=True)
class DetectorConfig:
    """What finds faces."""

    name: str = _key("edge", "edge, haar, none (the frame is the face) or yunet:FILE")
    interval_s: float = _key(0.2, "longest time between two searches of the whole frame; 0: every frame")
    min_score: float = _key(0.0, "detections with a lower score are dropped, 0..1")


@dataclass(frozen=True)
class TrackingConfig:
    """How faces are followed from frame to frame."""

    min_iou: float = _key(0.3, "overlap under which a box is another face, 0..1")
    drop_after_s: float = _key(0.5, "a face that was not seen for longer has left")
    confirm_s: float = _key(0.2, "a face of which the detector is not sure is reported once it is so old")
    sure_score: float = _key(0.9, "a face of this score is reported at once, 0..1")
    smoothing_s: float = _key(0.3, "time constant of the probabilities' average; 0 smooths nothing")


@dataclass(frozen=True)
class OutputConfig:
    """Where results go."""

    sinks: tuple[str, ...] = _key(
        ("text",),
        "text, jsonl, jsonl:FILE, jsonl+:FILE, events, events:FILE, hook:COMMAND, sqlite:FILE, gpio:LINE, "
        "mqtt:HOST, web:HOST:PORT",
    )


@dataclass(frozen=True)
class RotationConfig:
    """When files of the sinks jsonl and events begin anew; FILE,max_mb=N,keep=N sets it for one file."""

    max_mb: float = _key(0.0, "size that a file does not exceed, millions of bytes; 0: it grows for ever")
    keep: int = _key(5, "old files that stay: FILE.1 is the youngest")


@dataclass(frozen=True)
class EventsConfig:
    """When the sinks events, hook and mqtt report something."""

    arrive_after_s: float = _key(0.3, "a face must be there for so long to have arrived")
    leave_after_s: float = _key(0.5, "a face must be gone for so long to have left")
    change_after_s: float = _key(0.5, "another expression must last for so long")
    min_interval_s: float = _key(1.0, "between two changes that are reported of one face")


@dataclass(frozen=True)
class MqttConfig:
    """How the sink mqtt talks to its broker."""

    topic: str = _key("edge-fer", "topics begin with this: /status, /event and /state are added")
    username: str = _key("", "for the broker; empty: none")
    password_file: str = _key("", "file with the password in its first line")
    outbox: str = _key("", "file in which events wait through an outage; empty: in memory")
    outbox_limit: int = _key(10_000, "most events that wait; the oldest give way")
    summary_s: float = _key(1.0, "between two summaries; 0: none")
    discovery: bool = _key(False, "tell Home Assistant what there is")


@dataclass(frozen=True)
class WebConfig:
    """How the sink web serves its page; see docs/web.md."""

    token_file: str = _key("", "file whose first line is the token that visitors must give")
    token: str = _key("", "the token itself; a file, or EDGE_FER_WEB_TOKEN in the environment, is better")
    allowed_hosts: tuple[str, ...] = _key((), "names of this machine that the page may be asked for by")
    notice: str = _key("", "line to the person who is seen; empty: the built-in one")
    view_rate_hz: float = _key(10.0, "most pictures per second of the live view")
    max_upload_mb: float = _key(8.0, "largest picture that is taken for a prediction, millions of bytes")
    max_upload_mpx: float = _key(16.0, "largest picture that is decoded, millions of pixels")
    healthy_within_s: float = _key(10.0, "/healthz fails when no frame was processed for longer")


@dataclass(frozen=True)
class Config:
    """All settings of a run, by section."""

    source: SourceConfig = field(default_factory=SourceConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    rotation: RotationConfig = field(default_factory=RotationConfig)
    events: EventsConfig = field(default_factory=EventsConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    web: WebConfig = field(default_factory=WebConfig)

    def override(self, section: str, **values: Any) -> Config:
        """A copy in which the values that are not None replace those of a section.

        Raises:
            UsageError: a value is of the wrong type or out of range.
        """
        given = {key: value for key, value in values.items() if value is not None}
        return _merge(self, {section: given}, "command line") if given else self


MINIMA: Mapping[str, float] = {
    "source.width": 16,
    "source.height": 16,
    "source.rate_hz": 0.1,
    "source.stall_timeout_s": 0.1,
    "source.reopen_tries": 0,
    "source.watch_s": 0,
    "source.seed": 0,
    "model.threads": 1,
    "detector.interval_s": 0,
    "detector.min_score": 0,
    "tracking.min_iou": 0,
    "tracking.drop_after_s": 0,
    "tracking.confirm_s": 0,
    "tracking.sure_score": 0,
    "tracking.smoothing_s": 0,
    "rotation.max_mb": 0,
    "rotation.keep": 1,
    "mqtt.outbox_limit": 1,
    "mqtt.summary_s": 0,
    "web.view_rate_hz": 0.1,
    "web.max_upload_mb": 0.01,
    "web.max_upload_mpx": 0.01,
    "web.healthy_within_s": 0.1,
    "events.arrive_after_s": 0,
    "events.leave_after_s": 0,
    "events.change_after_s": 0,
    "events.min_interval_s": 0,
}
MAXIMA: Mapping[str, float] = {
    "detector.min_score": 1,
    "tracking.min_iou": 1,
    "tracking.sure_score": 1,
    "source.rate_hz": 1000,
    "source.stall_timeout_s": 3600,
    "model.threads": MAX_THREADS,
    "web.view_rate_hz": 30,
    "web.max_upload_mpx": 64,
}


def load_config(path: str | Path | None) -> Config:
    """Read a configuration file; the defaults without one.

    Raises:
        UsageError: no such file, not TOML, an unknown key, or a value of the wrong type or range.
    """
    if path is None:
        return Config()
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration; make one: edge-fer config --print") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read the configuration ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None
    return _merge(Config(), document, str(path))


def to_toml(config: Config) -> str:
    """The configuration as a TOML file in which every key is documented."""
    lines = []
    for section in fields(config):
        values = getattr(config, section.name)
        lines += [f"# {type(values).__doc__}", f"[{section.name}]"]
        for item in fields(values):
            lines.append(f"# {item.metadata['about']}")
            lines.append(f"{item.name} = {_to_value(getattr(values, item.name))}")
        lines.append("")
    return "\n".join(lines)


def _to_value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_to_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_to_value, value)) + "]"
    # TOML's strings, numbers and booleans are written as JSON's.
    return json.dumps(value, ensure_ascii=False)


def _merge(config: Config, document: Mapping[str, Any], origin: str) -> Config:
    changed: dict[str, Any] = {}
    for name, values in document.items():
        _known(name, [item.name for item in fields(config)], origin, "section")
        if not isinstance(values, Mapping):
            raise UsageError(f"{origin}: [{name}] must be a section. Received: {values!r}")
        section = getattr(config, name)
        hints = get_type_hints(type(section))
        keys = {}
        for key, value in values.items():
            _known(key, list(hints), origin, f"key in [{name}]")
            keys[key] = _typed(value, hints[key], f"{name}.{key}", origin)
        changed[name] = replace(section, **keys)
    return replace(config, **changed)


def _known(name: str, known: list[str], origin: str, what: str) -> None:
    if name in known:
        return
    near = get_close_matches(name, known, n=1, cutoff=0)
    raise UsageError(f"{origin}: unknown {what}: {name!r}; did you mean {near[0]!r}?")


def _typed(value: object, hint: Any, key: str, origin: str) -> object:
    """The value as the field's type.

    Raises:
        UsageError: it is of another type or out of range.
    """
    wanted = getattr(hint, "__origin__", hint)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if wanted is tuple and isinstance(value, (list, tuple)):
        element = hint.__args__[0]
        return tuple(_typed(item, element, key, origin) for item in value)
    fits = {
        float: number,
        int: number and isinstance(value, int),
        bool: isinstance(value, bool),
        str: isinstance(value, str),
        dict: isinstance(value, dict),
    }.get(wanted, False)
    if not fits:
        names = {float: "a number", int: "a whole number", bool: "true or false", str: "a string"}
        expected = names.get(wanted, "a list" if wanted is tuple else "a table")
        raise UsageError(f"{origin}: {key} must be {expected}. Received: {value!r}")
    if number:
        low, high = MINIMA.get(key, -MOST), MAXIMA.get(key, MOST)
        # What is no number (nan) is not between any two.
        if not low <= value <= high:  # type: ignore[operator]
            too_low = key not in MAXIMA and value < low  # type: ignore[operator]
            bounds = f"at least {low:g}" if too_low else f"{low:g}..{high:g}"
            raise UsageError(f"{origin}: {key} must be {bounds}. Received: {value!r}")
        return wanted(value)
    return value
