"""Run one model file on pictures, in whatever Python environment holds the runtime.

`PYTHON -m convert.worker MODEL IMAGES.npy OUT.npy BACKEND` needs `edge_runtime` and its two packages
alone. It prints one JSON object; an error is one line on stderr and exit code 1. For a detector both files
are `.npz`: pictures of any size `arr_0` and on in, `boxes_0` and `scores_0` and on out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import EdgeFerError

LEAST_SCORE = 0.02
"""Answers of a detector below it do not enter the average precision."""


def main(argv: Sequence[str]) -> int:
    model, given, out, backend = argv
    try:
        if given.endswith(".npz"):
            return _detect(model, given, out, backend)
        classifier = Classifier.load(model, backend=backend)
        deviation = self_test(classifier) if classifier.contract.self_test else None
        pixels = fit_pictures(np.load(given), classifier.contract.input)
        np.save(out, np.stack([classifier.predict(picture).copy() for picture in pixels]))
    except EdgeFerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps({"backend": classifier.backend.description, "self_test": deviation}))
    return 0


def _detect(model: str, given: str, out: str, backend: str) -> int:
    from edge_runtime.detectors.edge import EdgeDetector

    detector = EdgeDetector.load(model, backend=backend, score_threshold=LEAST_SCORE)
    deviation = detector.self_test()
    found = {}
    with np.load(given) as pictures:
        for index in range(len(pictures.files)):
            boxes, scores = detector.look(pictures[f"arr_{index}"])
            found[f"boxes_{index}"], found[f"scores_{index}"] = boxes, scores
    np.savez(out, **found)  # type: ignore[arg-type]
    print(json.dumps({"backend": detector.backend.description, "self_test": deviation}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
