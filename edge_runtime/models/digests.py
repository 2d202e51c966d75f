"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `python -m tests.pin_models`.
"""

DIGESTS: dict[str, str] = {
    "edge-face-320.tflite": "7f22ff6541027e1e619426ecacb5e27bf4917fdc465d9bb404fce3c85f5618f7",
    "edge-face.tflite": "0d8828704d9966e98d8911a30cd4c485c921f9c521a83a70b1faa8c8553672d8",
    "edge-fer-base.tflite": "5ea544727fb87928027f83988460ffce9d3c71b0dc8e4c9ba99d2c38e695efef",
    "edge-fer-nano.tflite": "62d7cbf8b57c167db445b29e5c74820bbc34101d928798249ea36df564952c0d",
    "edge-fer-small.tflite": "52c6524e5a14b5378387a7279b4b8b9f5eaf7356a9872561c4a03b1a47933e9f",
}
