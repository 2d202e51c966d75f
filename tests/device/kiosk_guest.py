"""The part of the kiosk's check that stands in for the service manager; runs inside the tree.

One argument, the unit's ExecStart. Starts it with a notification socket and a watchdog, reloads it when it
has fed the watchdog, stops it when it is ready again, and prints in JSON what it told and was told.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_S = 60.0


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(folder / "notify"))
    listener.settimeout(1.0)
    env = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "2000000"}
    with (folder / "stderr").open("w") as log:
        service = subprocess.Popen(sys.argv[1].split(), env=env, stdout=subprocess.DEVNULL, stderr=log)
    states: list[str] = []
    sent: list[signal.Signals] = []

    def tell(number: signal.Signals) -> None:
        sent.append(number)
        states.append(number.name)
        service.send_signal(number)

    deadline_s = time.monotonic() + LIMIT_S
    while service.poll() is None and time.monotonic() < deadline_s:
        try:
            state = listener.recv(4096).decode()
        except TimeoutError:
            continue
        if state != "WATCHDOG=1" or state not in states:
            states.append(state)
        if state == "WATCHDOG=1" and not sent:
            tell(signal.SIGHUP)
        elif state == "READY=1" and sent == [signal.SIGHUP]:
            tell(signal.SIGTERM)
    if service.poll() is None:
        service.kill()
    status = service.wait()
    listener.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        while True:
            states.append(listener.recv(4096).decode())
    stderr = (folder / "stderr").read_text()[-600:]
    print(json.dumps({"states": states, "status": status, "stderr": stderr}))


if __name__ == "__main__":
    main()
