"""Tell a service manager how we are: systemd's notification protocol, standard library alone."""

from __future__ import annotations

import os
import socket
import time

from edge_runtime.numbers import whole_number


class Notifier:
    """Sends `READY=1`, `WATCHDOG=1` and `STOPPING=1` where systemd listens, nothing elsewhere.

    See sd_notify(3). The watchdog is to be fed after each frame that was processed whole, and where
    no frame can be expected, so that a process that hangs anywhere between camera and sinks is restarted.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of an abstract socket.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = whole_number(os.environ.get("WATCHDOG_USEC", ""))
        self._feed_every_s = None if watchdog_us is None else watchdog_us / 4e6
        self._fed_s = float("-inf")

    def ready(self) -> None:
        self._send("READY=1")

    def frame_done(self) -> None:
        """Feed the watchdog, at most four times per its interval."""
        if self._feed_every_s is None:
            return
        now_s = time.monotonic()
        if now_s - self._fed_s >= self._feed_every_s:
            self._fed_s = now_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(state.encode(), self._address)
        except OSError:
            # A service manager that does not listen must not stop the work.
            return
