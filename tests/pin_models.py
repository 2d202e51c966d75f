"""`python -m tests.pin_models`: write the digests of the released models into the package.

To be run, and its result committed, whenever a file of `edge_runtime/models` changes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MODELS = Path(__file__).parents[1] / "edge_runtime" / "models"
COMMAND = "python -m tests.pin_models"
HEAD = f'''"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `{COMMAND}`.
"""

DIGESTS: dict[str, str] = {{
'''


def text() -> str:
    """The module as it should be for the files that are there."""
    lines = [
        f'    "{path.name}": "{hashlib.sha256(path.read_bytes()).hexdigest()}",\n'
        for path in sorted(MODELS.glob("*.tflite")) + sorted(MODELS.glob("*.onnx"))
    ]
    return HEAD + "".join(lines) + "}\n"


if __name__ == "__main__":
    (MODELS / "digests.py").write_text(text())
    print((MODELS / "digests.py").read_text(), end="")
