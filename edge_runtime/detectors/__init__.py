"""Face detectors, chosen by name and imported when chosen."""

from __future__ import annotations

from importlib import import_module

from edge_runtime.detectors.base import Detection, Detector
from edge_runtime.errors import UsageError

_MODULES = {
    "edge": "edge_runtime.detectors.edge",
    "haar": "edge_runtime.detectors.haar",
    "none": "edge_runtime.detectors.none",
    "yunet": "edge_runtime.detectors.yunet",
}
NEEDS_FILE = frozenset({"yunet"})
TAKES_FILE = NEEDS_FILE | {"edge"}
HELP = "edge (or edge:FILE), haar, none (the frame is the face) or yunet:FILE"

__all__ = ["HELP", "Detection", "Detector", "load_detector"]


def load_detector(name: str) -> Detector:
    """Load the detector called `name`, `KIND` or `KIND:FILE`.

    Raises:
        UsageError: unknown name, or a file is missing or too much.
        DetectorUnavailableError: it cannot work in this environment.
    """
    kind, _, file = name.partition(":")
    if kind not in _MODULES:
        raise UsageError(f"unknown detector {name!r}; choose {HELP}")
    if kind in NEEDS_FILE and not file:
        raise UsageError(f"detector {kind!r} needs a model file; give {kind}:FILE")
    if kind not in TAKES_FILE and file:
        raise UsageError(f"detector {kind!r} takes no file. Received: {name!r}")
    module = import_module(_MODULES[kind])
    detector: Detector = module.load(file) if file else module.load()
    return detector
