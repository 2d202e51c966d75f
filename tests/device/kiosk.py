"""`tests/device/run kiosk`: the install path of docs/kiosk.md, executed in a Debian 13 tree.

A network is there only while the wheelhouse is collected, which docs/kiosk.md does on another machine.
Everything after that runs in a network namespace without any.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.device.common import CACHE, ROOT, FailedError, SkippedError, last_lines, need, say
from tests.device.debian import Archive, find_mirror, host_architecture
from tests.device.inside import enter, need_namespaces, passed_on, prepare
from tests.device.wheels import BUILD_INPUTS, NETWORK_SIGNS

PACKAGES = (
    *("base-files", "base-passwd", "bash", "dash", "coreutils", "grep", "sed", "libc-bin", "passwd"),
    # Every system has these.
    *("libstdc++6", "libgcc-s1", "procps"),
    # The one that docs/kiosk.md names, without a camera module.
    "python3-venv",
    # For systemd-analyze, and to see which system calls are made.
    *("systemd", "strace"),
)
EXTRAS = "web,demo"
NEXT_VERSION = "0.1.0.post1"
UNIT = "etc/systemd/system/edge-fer.service"
SETTINGS = "etc/edge-fer/edge-fer.toml"
STATES = ["READY=1", "WATCHDOG=1", "SIGHUP", "READY=1", "SIGTERM", "STOPPING=1"]
"""What the service tells the manager, and is told, from its start over a reload to its end."""

CALLS = "@system-service"
"""The unit's SystemCallFilter."""

MAX_EXPOSURE = 1.5
GUEST = Path(__file__).with_name("kiosk_guest.py")
EDGE_FER = "/opt/edge-fer/current/bin/edge-fer"

SYSTEMCTL = '#!/bin/sh\necho "$*" >> /srv/systemctl.log\n'
"""In the place of systemctl: no systemd runs in the tree, its calls are written down."""

CHGRP = '#!/bin/sh\necho "$*" >> /srv/chgrp.log\n'
"""In the place of chgrp: the user namespace knows no group but root's."""


@dataclass(frozen=True)
class Kiosk:
    """A fresh tree with a clone and its wheelhouse in /srv."""

    root: Path

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program without a network, in the clone."""
        return enter(self.root, "env", "-C", "/srv/clone", *words, env=variables, offline=True)

    def must(self, *words: str, **variables: str) -> str:
        """Stdout of a program that must succeed.

        Raises:
            FailedError: it failed.
        """
        done = self.run(*words, **variables)
        if done.returncode:
            said = last_lines(done.stderr or done.stdout)
            raise FailedError(f"{' '.join(words[:4])}: exit status {done.returncode}: {said}")
        return done.stdout

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def release(self) -> str:
        """The release that is in use."""
        return str(self.path("opt/edge-fer/current").readlink())

    @property
    def releases(self) -> list[str]:
        return sorted(path.name for path in self.path("opt/edge-fer").glob("release-*"))

    def systemctl_calls(self) -> list[str]:
        """What systemctl was asked for since the last time."""
        log = self.path("srv/systemctl.log")
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return calls


def check(mirror: str | None) -> None:
    """Run the whole check; prints a line per finding to stdout.

    Raises:
        SkippedError: a tool, namespaces or the network are missing.
        FailedError: something is wrong.
    """
    need_namespaces("--net")
    need("cp", "it is part of coreutils")
    tree = Archive(mirror or find_mirror(), "trixie", host_architecture()).tree(PACKAGES, "kiosk")
    kiosk = Kiosk(CACHE / "kiosk")
    try:
        _make(kiosk, tree)
        _collect_wheels(kiosk)
        _install(kiosk)
        _analyze(kiosk)
        _use(kiosk)
        _refuse(kiosk)
        _upgrade(kiosk)
        _serve(kiosk)
    finally:
        shutil.rmtree(kiosk.root, ignore_errors=True)


def _make(kiosk: Kiosk, tree: Path) -> None:
    """Copy the tree, do what maintainer scripts would have done, and put a clone there."""
    root = kiosk.root
    shutil.rmtree(root, ignore_errors=True)
    # shutil.copytree would take the links of the merged /usr for folders.
    done = subprocess.run(["cp", "-a", str(tree), str(root)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SkippedError(f"the tree cannot be copied: {last_lines(done.stderr, 2)}")
    prepare(root, "srv/clone", "usr/local/bin", "var/lib", "pip", "etc/systemd/system")
    for name in ("passwd", "group"):
        shutil.copyfile(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
    for name, script in (("systemctl", SYSTEMCTL), ("chgrp", CHGRP)):
        stand_in = root / "usr/local/bin" / name
        stand_in.write_text(script)
        stand_in.chmod(0o755)
    clone = root / "srv/clone"
    for name in BUILD_INPUTS:
        shutil.copy(ROOT / name, clone)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("edge_runtime", "deploy"):
        shutil.copytree(ROOT / name, clone / name, ignore=ignored)
    shutil.copy(GUEST, root / "srv")


def _collect_wheels(kiosk: Kiosk) -> None:
    """The line of docs/kiosk.md that runs on another machine, with a network.

    Raises:
        SkippedError: no network.
        FailedError: pip failed.
    """
    say("collecting the wheelhouse")
    cache = CACHE / "pip"
    cache.mkdir(exist_ok=True)
    script = (
        "cd /srv/clone && python3 -m venv /srv/build && "
        f"/srv/build/bin/pip -q wheel --wheel-dir wheelhouse '.[{EXTRAS}]' && "
        # Building from the clone without a network, in the upgrade, needs it.
        "/srv/build/bin/pip -q wheel --wheel-dir wheelhouse 'setuptools>=77'"
    )
    variables = {**passed_on(), "PIP_CACHE_DIR": "/pip", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    binds = {cache: Path("/pip")}
    done = enter(kiosk.root, "bash", "-c", script, env=variables, binds=binds)
    if done.returncode:
        kind = SkippedError if any(sign in done.stderr for sign in NETWORK_SIGNS) else FailedError
        raise kind(f"pip cannot collect the wheelhouse: {last_lines(done.stderr, 5)}")
    wheels = list(kiosk.path("srv/clone/wheelhouse").glob("*.whl"))
    size_mb = sum(path.stat().st_size for path in wheels) / 1e6
    _ok(f"wheelhouse: {len(wheels)} wheels, {size_mb:.0f} MB")


def _install(kiosk: Kiosk) -> None:
    say("installing from the wheelhouse")
    interfaces = kiosk.must(
        "python3", "-c", "import socket; print(*(name for _, name in socket.if_nameindex()))"
    )
    _expect(interfaces.split() == ["lo"], f"there is a network: {interfaces}")
    said = kiosk.must("deploy/install.sh", "--wheelhouse", "wheelhouse", "--extras", EXTRAS)
    _expect("is in use" in said, f"install.sh said {last_lines(said, 2)}")
    _expect(kiosk.releases == [kiosk.release], f"releases {kiosk.releases}, in use {kiosk.release}")
    user = kiosk.must("id", "-nG", "edge-fer").split()
    _expect(user == ["edge-fer"], f"the user edge-fer is in groups {user}")
    unit = kiosk.path(UNIT).read_text()
    _expect(unit == (ROOT / "deploy" / "edge-fer.service").read_text(), "another unit was installed")
    for group in re.findall(r"^SupplementaryGroups=(.+)$", unit, re.MULTILINE):
        _expect(bool(kiosk.must("getent", "group", group)), f"no group {group}")
    calls = kiosk.systemctl_calls()
    wanted = ["daemon-reload", "enable --quiet edge-fer.service", "restart edge-fer.service"]
    _expect(calls == wanted, f"systemctl was called with {calls}")
    _expect('name = "picamera2"' in kiosk.path(SETTINGS).read_text(), "the settings name another source")
    mode = kiosk.must("stat", "-c", "%a", f"/{SETTINGS}").strip()
    given = kiosk.path("srv/chgrp.log").read_text().strip()
    _expect(mode == "640" and given == f"edge-fer /{SETTINGS}", f"settings: mode {mode}, group {given}")
    _ok(f"install.sh, offline: {kiosk.release}, user, unit, settings; systemctl {', '.join(calls)}")


def _use(kiosk: Kiosk) -> None:
    """Doctor, the settings after an edit, and the demo's picture."""
    findings = json.loads(kiosk.must(EDGE_FER, "doctor", "--format", "json"))
    failed = [item["name"] for item in findings if item["status"] == "fail"]
    _expect(not failed, f"doctor: {failed}")
    _ok(f"edge-fer doctor: {len(findings)} checks, none failed")
    settings = kiosk.path(SETTINGS)
    settings.write_text(
        re.sub(r'^name = "picamera2"$', 'name = "demo:0"', settings.read_text(), flags=re.M)
    )
    kiosk.must(EDGE_FER, "config", "--config", f"/{SETTINGS}")
    words = ("run", "--config", f"/{SETTINGS}", "--max-frames", "10", "--sink", "jsonl")
    records = [json.loads(line) for line in kiosk.must(EDGE_FER, *words).splitlines()]
    faces = [face["label"] for record in records for face in record["faces"][:1]]
    _expect(len(records) == 10 and len(faces) >= 8, f"{len(records)} frames, faces {faces}")
    _ok(f"edge-fer run, demo: {len(records)} frames, {len(faces)} with a face, {faces[-1]}")


def _refuse(kiosk: Kiosk) -> None:
    """An installation that fails leaves the release before in use."""
    before = kiosk.release
    done = kiosk.run("deploy/install.sh", "--wheelhouse", "deploy")
    _expect(done.returncode == 1, f"an empty wheelhouse ended with {done.returncode}")
    _expect("pip could not install" in done.stderr, f"it said {last_lines(done.stderr, 3)}")
    _expect(kiosk.release == before and kiosk.releases == [before], f"left behind: {kiosk.releases}")
    _expect(not kiosk.systemctl_calls(), "systemctl was called")
    _ok("a failed upgrade leaves the release before, and nothing else")


def _upgrade(kiosk: Kiosk) -> None:
    """A later version, built from the clone; back, and forth again."""
    say("upgrading from the clone")
    first, old = kiosk.release, kiosk.must(EDGE_FER, "--version").strip()
    setup = kiosk.path("srv/clone/setup.cfg")
    setup.write_text(re.sub(r"^version = .+$", f"version = {NEXT_VERSION}", setup.read_text(), flags=re.M))
    settings = kiosk.path(SETTINGS).read_text()
    from_wheelhouse = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/srv/clone/wheelhouse"}
    kiosk.must("deploy/install.sh", "--extras", EXTRAS, **from_wheelhouse)
    second, new = kiosk.release, kiosk.must(EDGE_FER, "--version").strip()
    _expect(NEXT_VERSION in new and kiosk.releases == [first, second], f"{new}, releases {kiosk.releases}")
    _expect(kiosk.path(SETTINGS).read_text() == settings, "the settings were changed")
    _expect("restart edge-fer.service" in kiosk.systemctl_calls(), "the service was not restarted")
    _ok(f"upgrade from the clone: {new}, settings kept, service restarted")
    for release, version in ((first, old), (second, new)):
        kiosk.must("deploy/install.sh", "--rollback")
        found = kiosk.must(EDGE_FER, "--version").strip()
        _expect((kiosk.release, found) == (release, version), f"rollback gave {kiosk.release}, {found}")
        _expect("restart edge-fer.service" in kiosk.systemctl_calls(), "the service was not restarted")
    _ok(f"rollback to {old}, and back to {new}")


def _serve(kiosk: Kiosk) -> None:
    """The unit's own command as a service manager runs it; then the system calls that it makes."""
    unit = kiosk.path(UNIT).read_text()
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    said = json.loads(kiosk.must("python3", "/srv/kiosk_guest.py", start))
    states = said["states"]
    # STOPPING=1 before the end makes systemd kill the service TimeoutStopSec later.
    _expect(states == STATES, f"the service told {states}; {said['stderr']}")
    _expect(said["status"] == 0, f"SIGTERM ended it with {said['status']}: {said['stderr']}")
    _ok(f"service: {', '.join(states)}; SIGTERM ends it with 0")
    trace = "/srv/trace"
    kiosk.must("strace", "-f", "-qq", "-c", "-U", "name", "-o", trace, *start.split(), "--max-frames", "5")
    made = made_calls(kiosk.path(trace.lstrip("/")).read_text())
    listed = kiosk.must("systemd-analyze", "syscall-filter", "--no-pager")
    refused = refused_calls(made, allowed_calls(listed, CALLS))
    _expect(not refused, f"the unit's filter refuses {', '.join(refused)}")
    _ok(f"system calls of a run: {len(made)}, all in the unit's filter")


def _analyze(kiosk: Kiosk) -> None:
    done = kiosk.run("systemd-analyze", "verify", "--man=no", f"/{UNIT}")
    said = last_lines(done.stderr)
    _expect(done.returncode == 0 and "edge-fer" not in said, f"systemd-analyze verify: {said}")
    version = kiosk.must("systemd-analyze", "--version").split()[1]
    _ok(f"systemd-analyze verify (systemd {version}): nothing to say")
    said = kiosk.must("systemd-analyze", "security", "--offline=true", "--no-pager", f"/{UNIT}")
    score = exposure(said)
    _expect(score <= MAX_EXPOSURE, f"exposure {score}, at most {MAX_EXPOSURE} is documented")
    _ok(f"systemd-analyze security (systemd {version}): exposure {score} of 10")


def exposure(said: str) -> float:
    """The overall score of `systemd-analyze security`.

    Raises:
        FailedError: there is none.
    """
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    if found is None:
        raise FailedError(f"systemd-analyze security states no score: {last_lines(said, 2)}")
    return float(found[1])


def allowed_calls(listed: str, name: str) -> set[str]:
    """The system calls of a set such as `@system-service`, those of the sets within it included.

    Args:
        listed: what `systemd-analyze syscall-filter` prints: sets at the margin, members indented.
    """
    sets: dict[str, list[str]] = {}
    members: list[str] = []
    for line in listed.splitlines():
        word = line.strip()
        if line.startswith("@"):
            members = sets.setdefault(word, [])
        elif word and not word.startswith("#"):
            members.append(word)
    found: set[str] = set()
    for member in sets.get(name, []):
        found |= allowed_calls(listed, member) if member.startswith("@") else {member}
    return found


def made_calls(summary: str) -> set[str]:
    """The system calls in the table that `strace -c -U name` writes."""
    words = {line.strip() for line in summary.splitlines()} - {"syscall", "total"}
    return {word for word in words if re.fullmatch(r"\w+", word)}


def refused_calls(made: set[str], allowed: set[str]) -> list[str]:
    """Those made that a filter does not allow.

    Raises:
        FailedError: one of the two is empty, so nothing was compared.
    """
    if not made or not allowed:
        raise FailedError(f"{len(made)} system calls made, {len(allowed)} allowed: nothing to compare")
    return sorted(made - allowed)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FailedError(otherwise)


def _ok(finding: str) -> None:
    print(f"kiosk: ok {finding}", flush=True)
