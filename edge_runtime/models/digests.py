"""SHA-256 of the released models, as this version of edge-fer was published with them.

Written by `python -m tests.pin_models`.
"""

DIGESTS: dict[str, str] = {
    "edge-face-320.tflite": "626759e67de53eaefb90e260e2a8dfb93d1c92e09d1d17f2d234829648b050ac",
    "edge-face.tflite": "68e506e5fae21b4a5a64d4381b2445a941e90595390f4900cc41e8ed20951883",
    "edge-fer-base.tflite": "2631e6766adf35287ddb720b611345472a545622bc3b2c4ef8f46b2759b3bade",
    "edge-fer-nano.tflite": "96f20a22bceb8242e8847ea88074e058ee2038350fb829f1787f6b13b639b998",
    "edge-fer-small.tflite": "d23ca4403e5827cb760ce64bf685e388257fcbecbbf0cf4b08db40f1ce74cfc7",
}
