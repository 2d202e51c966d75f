"""On-device runtime of edge-fer: capture, face detection, int8 classification, results.

Imports neither TensorFlow nor Keras; heavy modules are imported where they are used.

As a library::

    from edge_runtime import Classifier, Pipeline, load_detector, open_source

    classifier = Classifier.load()                      # a released model, or a file
    probabilities = classifier.predict(face)            # uint8 (H, W) luma -> (labels,)

    pipeline = Pipeline(open_source("v4l2:0"), load_detector("edge"), classifier)
    for frame, record in pipeline.records():            # pixels are valid until the next frame
        print(record.to_dict())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.classifier import Classifier
    from edge_runtime.detectors import load_detector
    from edge_runtime.errors import EdgeFerError
    from edge_runtime.pipeline import Pipeline, PipelineSettings
    from edge_runtime.sources import SourceOptions, open_source

__all__ = [
    "Classifier",
    "EdgeFerError",
    "Pipeline",
    "PipelineSettings",
    "SourceOptions",
    "load_detector",
    "open_source",
]

_HOMES = {
    "Classifier": "classifier",
    "EdgeFerError": "errors",
    "Pipeline": "pipeline",
    "PipelineSettings": "pipeline",
    "SourceOptions": "sources",
    "load_detector": "detectors",
    "open_source": "sources",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that the package itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
