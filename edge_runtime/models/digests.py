"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `python -m tests.pin_models`.
"""

DIGESTS: dict[str, str] = {
    "edge-face-320.tflite": "7f22ff6541027e1e619426ecacb5e27bf4917fdc465d9bb404fce3c85f5618f7",
    "edge-face.tflite": "0d8828704d9966e98d8911a30cd4c485c921f9c521a83a70b1faa8c8553672d8",
    "edge-fer-base.tflite": "89fb60b33dff622ea1cc08ceb52aeee785e0175596168b31f87b7901101b92b5",
    "edge-fer-nano.tflite": "3a0cdb1fb2c9bb8702461f87b2bedc9f8bc6d6784be5f435d49919af8f58087f",
    "edge-fer-small.tflite": "36e2448e851c2aaca885d48da0d88dbb09ba53d93037a66576dcfa0f70984fc6",
}
