"""How sets of labelled pictures frame a face, in relation to each other and to `preprocess.Box`.

Measured through the faces that OpenCV's frontal cascade finds in Training pictures: the median of each
set's boxes in units of the cascade's square. docs/detector.md has the figures and their spread.
"""

from __future__ import annotations

from edge_runtime.boxmap import BoxMap

BOX_FROM_FULL_FACE = BoxMap(scale_w=1.1, scale_h=0.83)
"""From boxes around the full face, hairline to chin, to `edge_runtime.preprocess.Box`."""
FULL_FACE_FROM_BROW_TO_CHIN = BoxMap(dy=-0.2, scale_w=1.06, scale_h=1.47)
"""From boxes around 68 landmarks, brows to chin, to the full face."""

FULL_FACE_MAPS = {"tv_": FULL_FACE_FROM_BROW_TO_CHIN}
"""By beginning of a picture's name, the map of its boxes to the full face."""
