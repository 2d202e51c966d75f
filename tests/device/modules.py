"""Kernel modules of a package, each after those that it needs, for a system without modprobe."""

from __future__ import annotations

import lzma
import re
from collections.abc import Sequence
from pathlib import Path


def unpack_modules(folder: Path, names: Sequence[str], out: Path) -> list[Path]:
    """Decompress modules with all that they depend on; their names begin with the order of loading.

    Args:
        folder: holds the modules of one kernel, at any depth.
        names: file names without `.ko.xz`.

    Raises:
        KeyError: the kernel has no such module.
    """
    files = {_plain(path.name.partition(".")[0]): path for path in folder.rglob("*.ko.xz")}
    done: list[str] = []
    images: dict[str, bytes] = {}

    def visit(name: str) -> None:
        if name in done:
            return
        images[name] = lzma.decompress(files[name].read_bytes())
        # modinfo's text: strings that end with a zero byte.
        match = re.search(rb"\0depends=([^\0]*)\0", images[name])
        for other in filter(None, (match[1] if match else b"").decode().split(",")):
            if _plain(other) in files:
                visit(_plain(other))
        done.append(name)

    for name in names:
        visit(_plain(name))
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for order, name in enumerate(done):
        path = out / f"{order:02}-{name}.ko"
        path.write_bytes(images[name])
        written.append(path)
    return written


def _plain(name: str) -> str:
    return name.replace("-", "_")
