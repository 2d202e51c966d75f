"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `python -m tests.pin_models`.
"""

DIGESTS: dict[str, str] = {
    "edge-face.tflite": "4a9f4f61586a5329e1f6dd598b9db7c55dd29e0f389839cbdc949f07a72a866c",
    "edge-fer-nano.tflite": "f04e7b209db35db1b71ae006202b945a6ed6dae5e2709efb5f28e7e1b13483da",
    "edge-fer-small.tflite": "52c6524e5a14b5378387a7279b4b8b9f5eaf7356a9872561c4a03b1a47933e9f",
}
