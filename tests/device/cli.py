"""Command line of the device checks."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

from tests.device.common import SKIPPED, FailedError, SkippedError, only_run, say


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tests/device/run", description="Check the device half without a Raspberry Pi."
    )
    checks = parser.add_subparsers(dest="check", metavar="CHECK", required=True)
    aarch64 = checks.add_parser("aarch64", help="the wheel on emulated Raspberry Pi processors")
    armhf = checks.add_parser("armhf", help="32-bit Raspberry Pi OS 12, emulated")
    camera = checks.add_parser("picamera2", help="the camera source on the real Picamera2")
    kiosk = checks.add_parser("kiosk", help="the install path of docs/kiosk.md in a Debian 13 tree")
    board = checks.add_parser("board", help="GPIO and a USB camera on an emulated Raspberry Pi 3B")
    for check in (aarch64, armhf, camera, kiosk, board):
        check.add_argument("--mirror", metavar="URL", help="Debian mirror (default: as in apt's sources)")
    for check, name in ((aarch64, "qemu-aarch64"), (armhf, "qemu-arm")):
        check.add_argument("--qemu", type=Path, metavar="FILE", help=f"a {name} to use (10 or later)")
    aarch64.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="emulated runs at a time"
    )
    within = checks.add_parser("ci", help="the checks that fit into a time, skipped with the reason")
    within.add_argument("--seconds", type=float, required=True, metavar="N", help="time that is left")
    extent = aarch64.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="Raspberry Pi OS 13 on one processor alone")
    extent.add_argument(
        "--write-docs", action="store_true", help="put the table of sizes into docs/raspberry-pi.md"
    )
    return parser


def main() -> int:
    """Run one check; 0 passed, 1 failed, 2 wrong usage, 77 skipped, 130 interrupted."""
    args = build_parser().parse_args()
    if args.check == "ci":
        from tests.device import ci

        return int(ci.check(args.seconds) > 0)
    started_s = time.monotonic()
    try:
        with only_run():
            if args.check == "aarch64":
                from tests.device import aarch64

                aarch64.check(args.mirror, args.qemu, max(1, args.jobs), args.quick, args.write_docs)
            elif args.check == "picamera2":
                from tests.device import camera

                camera.check(args.mirror)
            elif args.check == "kiosk":
                from tests.device import kiosk

                kiosk.check(args.mirror)
            elif args.check == "board":
                from tests.device import board

                board.check(args.mirror)
            else:
                from tests.device import armhf

                armhf.check(args.mirror, args.qemu)
    except SkippedError as reason:
        print(f"{args.check}: skipped: {reason}")
        return SKIPPED
    except FailedError as error:
        print(f"{args.check}: failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = time.process_time() + spent.ru_utime + spent.ru_stime
    print(f"{args.check}: passed in {time.monotonic() - started_s:.0f} s, {cpu_s:.0f} s of processor time")
    return 0
