"""What `/openapi.json` says: OpenAPI 3.1, whose schemas are JSON Schema."""

from __future__ import annotations

from typing import Any

from edge_runtime.records import SCHEMA, STAGES

ERRORS = {
    "400": "The request is malformed.",
    "401": "The token is missing or wrong.",
    "403": "The request was sent by another site's page.",
    "404": "There is no such address.",
    "405": "The address does not take this method.",
    "408": "The body came too slowly.",
    "411": "The request does not say how long its body is.",
    "413": "The body is larger than allowed.",
    "421": "The Host header names another machine.",
    "422": "The body is no picture that can be read, or has too many pixels.",
    "429": "Too many pictures wait already; try again later.",
    "500": "The model or detector cannot be loaded.",
    "503": "No frame was processed lately.",
}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _named(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


NUMBER, COUNT, TEXT = {"type": "number"}, {"type": "integer", "minimum": 0}, {"type": "string"}
FRACTION = {"type": "number", "minimum": 0, "maximum": 1}
STAGE_TIMES = _object({stage: {"type": "number", "minimum": 0} for stage in STAGES})

SCHEMAS: dict[str, Any] = {
    "Face": _object(
        {
            "track": {**COUNT, "description": "Number that stays with a face from frame to frame."},
            "box": {
                "type": "array",
                "prefixItems": [{"type": "integer"}] * 4,
                "minItems": 4,
                "maxItems": 4,
                "description": "x, y, width, height in pixels of the picture.",
            },
            "score": {**FRACTION, "description": "The detector's confidence."},
            "label": {**TEXT, "description": "The most probable class, or `uncertain`."},
            "confidence": FRACTION,
            "probabilities": {**_named(FRACTION), "description": "By label; they add up to 1."},
        }
    ),
    "Record": _object(
        {
            "schema": {"const": SCHEMA},
            "frame": COUNT,
            "t_capture_ns": {"type": "integer", "description": "Monotonic clock of the machine."},
            "age_ms": {**NUMBER, "description": "From capture to the end of processing."},
            "dropped": {**COUNT, "description": "Frames dropped since the source was opened."},
            "faces": {"type": "array", "items": _ref("Face")},
            "timing_ms": STAGE_TIMES,
            "model": TEXT,
            "backend": TEXT,
            "source": {**TEXT, "description": "Path of the picture, for pictures and folders."},
        },
        optional=("source",),
    ),
    "Second": _object(
        {
            "second": {**COUNT, "description": "Since the watch began."},
            "probabilities": {
                "anyOf": [_named(FRACTION), {"type": "null"}],
                "description": "Mean of the largest face's; null where there was no face.",
            },
        }
    ),
    "Board": _object(
        {
            "temperature_c": {"type": ["number", "null"]},
            "throttled": {
                "anyOf": [{"type": "array", "items": TEXT}, {"type": "null"}],
                "description": "The firmware's flags in words; empty: all is well; null: not told.",
            },
            "load": NUMBER,
        }
    ),
    "State": _object(
        {
            "record": {"anyOf": [_ref("Record"), {"type": "null"}]},
            "healthy": {"type": "boolean"},
            "age_s": {"type": ["number", "null"], "description": "Since the record came."},
            "rate_hz": {"type": "number", "minimum": 0},
            "frames": COUNT,
            "second": COUNT,
            "history_last": {"anyOf": [_ref("Second"), {"type": "null"}]},
            "board": _ref("Board"),
            "viewers": COUNT,
        }
    ),
    "History": _object(
        {"second": COUNT, "span_s": COUNT, "points": {"type": "array", "items": _ref("Second")}}
    ),
    "Prediction": _object(
        {
            "width": COUNT,
            "height": COUNT,
            "faces": {"type": "array", "items": _ref("Face")},
            "timing_ms": STAGE_TIMES,
            "model": TEXT,
            "backend": TEXT,
        }
    ),
    "Error": _object({"error": TEXT}),
}


def document(version: str, max_upload_bytes: int, max_pixels: int, *, needs_token: bool) -> dict[str, Any]:
    """The description of the interface as this server serves it."""
    json_of = {name: {"application/json": {"schema": _ref(name)}} for name in SCHEMAS}

    def answers(good: dict[str, Any], *errors: str) -> dict[str, Any]:
        usual = ("400", "403", "421", *(("401",) if needs_token else ()), *errors)
        refused = {
            status: {"description": ERRORS[status], "content": json_of["Error"]} for status in sorted(usual)
        }
        return {"200": good, **refused}

    def get(summary: str, content: dict[str, Any], *errors: str) -> dict[str, Any]:
        return {
            "get": {
                "summary": summary,
                "responses": answers({"description": "OK", "content": content}, *errors),
            }
        }

    text = {"schema": TEXT}
    paths: dict[str, Any] = {
        "/healthz": {
            "get": {
                "summary": "Whether frames are being processed; needs no token.",
                "security": [],
                "responses": {
                    "200": {"description": "They are.", "content": {"text/plain": text}},
                    "503": {"description": ERRORS["503"], "content": {"text/plain": text}},
                },
            }
        },
        "/metrics": get("Everything countable, for Prometheus.", {"text/plain": text}),
        "/api/state": get("The newest record and the board's state.", json_of["State"]),
        "/api/history": get("The largest face by second, two minutes.", json_of["History"]),
        "/api/events": get(
            "The state again and again, as server-sent events without a name.", {"text/event-stream": text}
        ),
        "/view.mjpeg": get(
            "The annotated live view, newest frames only.",
            {"multipart/x-mixed-replace": {"schema": {"type": "string", "format": "binary"}}},
        ),
        "/api/predict": {
            "post": {
                "summary": "Faces and expressions of a picture.",
                "description": (
                    f"JPEG, PNG, BMP, WebP or PGM/PPM, at most {max_upload_bytes} bytes and {max_pixels} "
                    "pixels. The EXIF orientation is applied. Nothing is kept."
                ),
                "requestBody": {
                    "required": True,
                    "content": {"image/*": {}, "application/octet-stream": {}},
                },
                "responses": answers(
                    {"description": "What was found.", "content": json_of["Prediction"]},
                    *("408", "411", "413", "422", "429", "500"),
                ),
            }
        },
    }
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-fer",
            "version": version,
            "description": "Facial expressions before a camera. Labels say how a face looks, not what "
            "somebody feels.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }
    if needs_token:
        description["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": "edge_fer_session"},
        }
        description["security"] = [{"token": []}, {"session": []}]
    return description
