"""Run one model file on pictures, in whatever Python environment holds the runtime.

`PYTHON -m convert.worker MODEL IMAGES.npy OUT.npy BACKEND` needs `edge_runtime` and its two packages
alone. It prints one JSON object; an error is one line on stderr and exit code 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import numpy as np

from edge_runtime.classifier import Classifier, self_test
from edge_runtime.datasets import fit_pictures
from edge_runtime.errors import EdgeFerError


def main(argv: Sequence[str]) -> int:
    model, images, out, backend = argv
    try:
        classifier = Classifier.load(model, backend=backend)
        deviation = self_test(classifier) if classifier.contract.self_test else None
        pixels = fit_pictures(np.load(images), classifier.contract.input)
        np.save(out, np.stack([classifier.predict(picture).copy() for picture in pixels]))
    except EdgeFerError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps({"backend": classifier.backend.description, "self_test": deviation}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
