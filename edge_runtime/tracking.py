"""Numbers that stay with a face from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.detectors.base import Detection
from edge_runtime.preprocess import Box


@dataclass
class Track:
    """A face that was seen in one frame or more."""

    number: int
    """From 1, never used again."""
    box: Box
    """Where it was seen last, pixels."""
    score: float
    first_seen_ns: int
    last_seen_ns: int
    missed: bool = False
    """Whether it was looked for since and not found."""
    confirmed: bool = True
    """Whether it is surely a face, or has been there long enough to be taken for one."""


class IouTracker:
    """Joins the boxes of a frame to those before by their overlap, best overlap first.

    Bochinski et al., High-Speed Tracking-by-Detection Without Using Image Information, AVSS 2017, with
    tracks that outlive a few missed frames.
    """

    def __init__(
        self,
        min_iou: float = 0.3,
        drop_after_s: float = 0.5,
        confirm_s: float = 0.0,
        sure_score: float = 0.0,
    ) -> None:
        """
        Args:
            min_iou: overlap under which a box is another face, 0..1.
            drop_after_s: a track that was not seen for longer ends.
            confirm_s: a track with no score of `sure_score` is confirmed once it is that old. Where no
                frame came within `drop_after_s` before, nobody can tell, and it is confirmed at once.
            sure_score: a detection of this score, 0..1, confirms its track.
        """
        self._min_iou = min_iou
        self._drop_after_ns = round(drop_after_s * 1e9)
        self._confirm_ns = round(confirm_s * 1e9)
        self._sure_score = sure_score
        self._frame_ns: int | None = None
        self._no_frame_before = True
        self._next_number = 1
        self.tracks: list[Track] = []
        """Live tracks, those that were missed in the last frame included."""

    def update(self, detections: Sequence[Detection], now_ns: int) -> list[Track]:
        """Take a frame's detections; the tracks seen in it, in the detections' order."""
        self.live(now_ns)
        pairs = [
            (-overlap, index, track.number, track)
            for index, detection in enumerate(detections)
            for track in self.tracks
            if (overlap := detection.box.iou(track.box)) >= self._min_iou
        ]
        pairs.sort()
        for track in self.tracks:
            track.missed = True
        matched: list[Track | None] = [None] * len(detections)
        for _, index, _, track in pairs:
            if matched[index] is None and track.missed:
                matched[index] = track
                track.missed = False
        seen = []
        for match, detection in zip(matched, detections, strict=True):
            track = match or self._start(now_ns)
            self.follow(track, detection, now_ns)
            seen.append(track)
        return seen

    def follow(self, track: Track, detection: Detection, now_ns: int) -> None:
        """A track was seen again."""
        track.box, track.score, track.last_seen_ns = detection.box, detection.score, now_ns
        track.missed = False
        if not track.confirmed:
            old_enough = now_ns - track.first_seen_ns >= self._confirm_ns
            track.confirmed = old_enough or detection.score >= self._sure_score

    def live(self, now_ns: int) -> list[Track]:
        """A frame comes: end the tracks that were not seen for too long; those that remain."""
        if self._frame_ns != now_ns:
            gap_ns = None if self._frame_ns is None else now_ns - self._frame_ns
            self._no_frame_before = gap_ns is None or not 0 < gap_ns <= self._drop_after_ns
            self._frame_ns = now_ns
        self.tracks = [t for t in self.tracks if 0 <= now_ns - t.last_seen_ns <= self._drop_after_ns]
        return self.tracks

    def reset(self) -> None:
        """Forget all tracks and count from 1 again."""
        self.tracks = []
        self._next_number = 1
        self._frame_ns = None

    def _start(self, now_ns: int) -> Track:
        nowhere = Box(0, 0, 0, 0)
        track = Track(self._next_number, nowhere, 0.0, now_ns, now_ns, confirmed=self._no_frame_before)
        self._next_number += 1
        self.tracks.append(track)
        return track
