"""Where frames come from, chosen by name and imported when chosen."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge_runtime.errors import SourceError, UsageError
from edge_runtime.options import number, split_options
from edge_runtime.sources.base import Frame, FrameSource
from edge_runtime.sources.options import SourceOptions, Transform

__all__ = [
    "HELP",
    "Frame",
    "FrameSource",
    "SourceOptions",
    "Transform",
    "is_live",
    "open_source",
    "source_opener",
]

HELP = (
    "picamera2, v4l2:N (a USB camera), a video, a picture, a folder of pictures, folder:DIR,watch (what "
    "is put there), rtsp://… or http://…, or demo (demo:N for N frames)"
)
DEFAULT_WATCH_S = 0.5
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp", "tcp")


def is_live(name: str, watch_s: float = 0.0) -> bool:
    """Whether a source runs without end, so that its run is not to be given up lightly.

    Args:
        watch_s: as `SourceOptions.watch_s`.

    Raises:
        UsageError: a wrong option in the name.
    """
    kind = name.partition(":")[0]
    if _address(name) or kind in ("picamera2", "v4l2") or name == "demo:0":
        return True
    folder = _folder(name, SourceOptions(watch_s=watch_s))
    return folder is not None and folder[1] > 0


def open_source(name: str, options: SourceOptions | None = None) -> FrameSource:
    """Open the source called `name`.

    Raises:
        UsageError: an empty or malformed name.
        SourceError: it does not exist, cannot be read, or delivers nothing.
    """
    options = options or SourceOptions()
    source = source_opener(name, options)()
    if options.transform.is_identity:
        return source
    from edge_runtime.sources.transform import TransformedSource

    return TransformedSource(source, options.transform)


def source_opener(name: str, options: SourceOptions) -> Callable[[], FrameSource]:
    """What opens the source called `name`, without the options' transform; nothing is opened before.

    Raises:
        UsageError: an empty or malformed name.
        SourceError: neither a kind of source nor a file.
    """
    if not name:
        raise UsageError(f"the source's name is empty; give {HELP}")
    kind, _, argument = name.partition(":")
    if kind == "demo" and not Path(name).exists():
        from edge_runtime.sources.demo import frame_count, open_demo

        frame_count(argument)
        return partial(open_demo, argument, options)
    if kind == "picamera2" and not Path(name).exists():
        from edge_runtime.sources.picamera import camera_number, open_picamera2

        camera_number(argument)
        return partial(open_picamera2, argument, options)
    if kind == "v4l2" and not Path(name).exists():
        from edge_runtime.sources.live import open_v4l2

        return partial(open_v4l2, argument, options)
    address = _address(name)
    if address:
        from edge_runtime.sources.live import open_stream

        return partial(open_stream, address, options)
    folder = _folder(name, options)
    if folder is not None:
        return partial(_open_folder, *folder, options)
    path = Path(name)
    if not path.exists():
        from edge_runtime.sources.live import without_password

        raise SourceError(f"{without_password(name)}: no such file or folder; a source is {HELP}")
    from edge_runtime.sources.imagefile import SUFFIXES

    if path.suffix.lower() in SUFFIXES:
        from edge_runtime.sources.folder import ImageSource

        return partial(ImageSource, path, color=options.color)
    from edge_runtime.sources.video import open_video

    return partial(open_video, path, options)


def _address(name: str) -> str:
    """The address of a network stream, its scheme in the small letters that OpenCV knows; empty if none."""
    scheme, slashes, rest = name.partition("://")
    return f"{scheme.lower()}{slashes}{rest}" if slashes and scheme.lower() in STREAM_SCHEMES else ""


def _folder(name: str, options: SourceOptions) -> tuple[Path, float, str] | None:
    """Folder, seconds between two looks (0: one look) and where pictures go; None if it names no folder.

    Raises:
        UsageError: a wrong option.
    """
    if Path(name).is_dir():
        return Path(name), options.watch_s, options.done
    kind, _, argument = name.partition(":")
    if kind != "folder" or not argument or Path(name).exists():
        return None
    path, given = split_options(name, argument, ("watch", "done"))
    if given.get("watch") == "":
        return Path(path), options.watch_s or DEFAULT_WATCH_S, given.get("done", options.done)
    watch_s = number(name, given, "watch", options.watch_s, 0.01)
    return Path(path), watch_s, given.get("done", options.done)


def _open_folder(path: Path, watch_s: float, done: str, options: SourceOptions) -> FrameSource:
    if not path.is_dir():
        raise SourceError(f"{path}: no such folder")
    if not watch_s:
        from edge_runtime.sources.folder import FolderSource

        return FolderSource(path, color=options.color)
    from edge_runtime.sources.watched import WatchedFolder

    return WatchedFolder(
        path,
        color=options.color,
        interval_s=watch_s,
        done=done,
        delivered=options.delivered,
        alive=options.alive,
    )
