"""Which frames are searched whole, and where the others are searched."""

from __future__ import annotations

from edge_runtime.detectors.base import Detection, Detector, LocalDetector
from edge_runtime.preprocess import UInt8Array
from edge_runtime.tracking import IouTracker, Track

MOST_NEAR = 6
"""Faces that are looked for one by one; for more of them, a search of the whole frame costs less."""
SAME_FACE_IOU = 0.4
"""Boxes that overlap by more are one face: where one covers another, both tracks would find it."""


class FaceFinder:
    """Finds faces in a film and numbers them.

    A detector that can search a neighbourhood searches the whole frame at intervals, and at once when a
    face is lost; in between it looks for each face near the place where it was. A face that is not found
    in a frame is not reported for it, nor one that the tracker has not confirmed yet. Other detectors
    search every frame whole.
    """

    def __init__(
        self, detector: Detector, tracker: IouTracker, *, interval_s: float = 0.2, min_score: float = 0.0
    ) -> None:
        """
        Args:
            interval_s: longest time between two searches of the whole frame; 0 searches every frame.
            min_score: detections with a lower score are dropped, 0..1.
        """
        self.tracker = tracker
        self._detector = detector
        self._local = detector if isinstance(detector, LocalDetector) and interval_s > 0 else None
        self._interval_ns = round(interval_s * 1e9)
        self._min_score = min_score
        self._searched_ns: int | None = None

    def find(self, luma: UInt8Array, now_ns: int) -> list[Track]:
        """The faces of the next frame of a film, largest first."""
        tracks = None
        if self._local is not None and not self._is_due(now_ns):
            tracks = self._search_near(self._local, luma, now_ns)
        if tracks is None:
            tracks = self._search_whole(luma, now_ns)
        return [track for track in tracks if track.confirmed]

    def find_in_still(self, luma: UInt8Array, now_ns: int) -> list[Track]:
        """The faces of a picture that has nothing to do with those before, numbered from 1."""
        self.tracker.reset()
        return self._search_whole(luma, now_ns)

    def _is_due(self, now_ns: int) -> bool:
        # Time that runs backwards is a new film.
        return self._searched_ns is None or not 0 <= now_ns - self._searched_ns < self._interval_ns

    def _search_near(self, local: LocalDetector, luma: UInt8Array, now_ns: int) -> list[Track] | None:
        """The live tracks that are where they were.

        None in a crowd, and if one that was there is lost or shares its face with another.
        """
        tracks = self.tracker.live(now_ns)
        if len(tracks) > MOST_NEAR:
            return None
        found: list[tuple[Track, Detection]] = []
        # A face that a search has missed is looked for last: what is found there may be another track's.
        for track in sorted(tracks, key=lambda track: track.missed):
            detection = local.detect_near(luma, track.box)
            if (
                detection is not None
                and detection.score >= self._min_score
                and not any(detection.box.iou(other.box) > SAME_FACE_IOU for _, other in found)
            ):
                found.append((track, detection))
            elif not track.missed:
                track.missed = True
                return None
        for track, detection in found:
            self.tracker.follow(track, detection, now_ns)
        return [track for track, _ in found]

    def _search_whole(self, luma: UInt8Array, now_ns: int) -> list[Track]:
        self._searched_ns = now_ns
        detections = [found for found in self._detector.detect(luma) if found.score >= self._min_score]
        return self.tracker.update(detections, now_ns)
