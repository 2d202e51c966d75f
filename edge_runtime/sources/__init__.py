"""Where frames come from, chosen by name and imported when chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.sources.base import Frame, FrameSource

__all__ = ["HELP", "Frame", "FrameSource", "SourceOptions", "open_source"]

HELP = "a video, a picture, a folder of pictures, or `demo` (`demo:N` for N frames)"


@dataclass(frozen=True)
class SourceOptions:
    """What a source is asked to deliver."""

    color: bool = False
    """Whether frames carry `bgr`; luma alone is cheaper."""
    realtime: bool = False
    """Whether a video or the demo plays at its own rate and drops what comes too late."""
    seed: int = 0
    """Of the demo's motion and noise."""


def open_source(name: str, options: SourceOptions | None = None) -> FrameSource:
    """Open the source called `name`.

    Raises:
        UsageError: an empty or malformed name.
        SourceError: it does not exist, cannot be read, or delivers nothing.
    """
    options = options or SourceOptions()
    if not name:
        raise UsageError(f"the source's name is empty; give {HELP}")
    kind, _, argument = name.partition(":")
    if kind == "demo" and not Path(name).exists():
        from edge_runtime.sources.demo import open_demo

        return open_demo(argument, options)
    path = Path(name)
    if path.is_dir():
        from edge_runtime.sources.folder import FolderSource

        return FolderSource(path, color=options.color)
    if not path.exists():
        raise SourceError(f"{name}: no such file or folder; a source is {HELP}")
    from edge_runtime.sources.imagefile import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        from edge_runtime.sources.folder import ImageSource

        return ImageSource(path, color=options.color)
    from edge_runtime.sources.video import open_video

    return open_video(path, options)
