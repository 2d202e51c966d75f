"""Writing results: whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from edge_runtime.errors import EdgeFerError


def write_bytes(path: Path, content: bytes) -> None:
    """Write through a temporary file beside `path`, so that no reader meets half a file.

    Raises:
        EdgeFerError: the folder or file cannot be written.
    """
    if path.exists() and not path.is_file():
        raise EdgeFerError(f"{path}: is a folder or a device; choose another --out")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as temporary:
            try:
                temporary.write(content)
                temporary.close()
                # NamedTemporaryFile creates 0600; results are meant to be shared as the umask allows.
                Path(temporary.name).chmod(0o666 & ~_umask())
                Path(temporary.name).replace(path)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise EdgeFerError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def to_json(document: Any) -> str:
    """Strict JSON, two spaces deep at the outer levels and lists of numbers dense on one line."""
    return _layout(document, 0) + "\n"


def _layout(value: Any, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        items = [
            f"{inner}{json.dumps(str(key))}: {_layout(item, depth + 1)}" for key, item in value.items()
        ]
        return "{\n" + ",\n".join(items) + f"\n{outer}}}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        return "[\n" + ",\n".join(inner + _layout(item, depth + 1) for item in value) + f"\n{outer}]"
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
