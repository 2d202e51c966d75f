"""One camera, one edge-fer: the second says so instead of taking the first one's frames."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from edge_runtime.errors import SourceError


class Claim:
    """Holds a camera's name until it is closed or the process ends, however it ends.

    A name in Linux's abstract socket namespace: it leaves no file behind, needs no permission and is the
    same for all users.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            SourceError: another process holds it.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(f"\0edge-fer:{path}")
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                # A path too long for a socket's name: then the driver alone can tell.
                return
            raise SourceError(
                f"{path}: another edge-fer uses this camera; stop it (systemctl stop edge-fer) "
                "or choose another camera"
            ) from None

    def close(self) -> None:
        self._socket.close()
