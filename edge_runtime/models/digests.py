"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `python -m tests.pin_models`.
"""

DIGESTS: dict[str, str] = {
    "edge-face.tflite": "4a9f4f61586a5329e1f6dd598b9db7c55dd29e0f389839cbdc949f07a72a866c",
    "edge-fer-small.tflite": "ffa2935c67cbe9e1e97a4b67ea533a446a219136dd7bb8b56e41ee748aff82b9",
}
