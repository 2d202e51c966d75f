"""The service's unit and the installer: consistent with the program, and failing in one line."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_runtime.__main__ import build_parser
from edge_runtime.config import load_config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
INSTALLER = DEPLOY / "install.sh"


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "edge-fer.service")
    return parser


def test_unit_runs_a_verb_that_there_is(unit: configparser.ConfigParser) -> None:
    program, *words = unit["Service"]["ExecStart"].split()
    assert program.endswith("/edge-fer")
    args = build_parser().parse_args(words)
    assert args.verb == "run"
    assert args.config == "/etc/edge-fer/edge-fer.toml"


def test_unit_notifies_watches_and_is_locked_in(unit: configparser.ConfigParser) -> None:
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0
    assert service["Restart"] == "always"
    assert service["ProtectSystem"] == "strict"
    assert service["User"] == "edge-fer"
    assert "AF_INET" not in service["RestrictAddressFamilies"]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    text = (DEPLOY / "edge-fer.service").read_text()
    copy = tmp_path / "edge-fer.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True)
    assert "edge-fer.service" not in done.stderr, done.stderr


def test_the_unit_is_exposed_as_little_as_documented() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", str(DEPLOY / "edge-fer.service")],
        capture_output=True,
        text=True,
    )
    found = re.search(r"exposure level for edge-fer.service: ([0-9.]+)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot look at a file: {done.stderr.strip()[:100]}")
    stated = re.search(r"exposure level of ([0-9.]+)", (ROOT / "docs" / "kiosk.md").read_text())
    assert stated is not None
    # Versions of systemd weigh some settings a little differently.
    assert float(found[1]) == pytest.approx(float(stated[1]), abs=0.3)
    assert float(found[1]) <= 3.0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--fly"], 2, "unknown argument --fly"),
        (["--root"], 2, "--root needs a value"),
        (["--wheelhouse", "/none/such"], 1, "no folder /none/such"),
        (["--rollback", "--root", "/none/such"], 1, "no release before this one"),
    ],
)
def test_installer_says_what_is_wrong(arguments: list[str], status: int, message: str) -> None:
    if os.geteuid() != 0 and status == 1:
        message = "must run as root"
    done = subprocess.run(["bash", str(INSTALLER), *arguments], capture_output=True, text=True)
    assert done.returncode == status
    assert message in done.stderr


def test_installer_explains_itself() -> None:
    done = subprocess.run(["bash", str(INSTALLER), "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for option in ("--wheelhouse", "--rollback", "--root"):
        assert option in done.stdout


PYTHON = """#!/bin/bash
# In the place of python3: makes an environment whose programs do nothing but print settings.
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "${@: -1}/bin"
printf '#!/bin/sh\\n' > "${@: -1}/bin/pip"
printf '#!/bin/sh\\n[ "$2" != --print ] || echo "[source]"\\n' > "${@: -1}/bin/edge-fer"
chmod +x "${@: -1}"/bin/*
"""


@pytest.mark.parametrize(
    ("there", "mode", "given"),
    [
        (None, 0o640, True),
        ("as an earlier installation left it", 0o640, True),
        ("somebody else's", 0o644, False),
    ],
)
def test_only_root_and_the_service_read_the_settings(
    tmp_path: Path, there: str | None, mode: int, given: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("the installer needs root")
    root, tools, log = tmp_path / "root", tmp_path / "tools", tmp_path / "log"
    settings = root / "etc" / "edge-fer" / "edge-fer.toml"
    for folder in (settings.parent, root / "etc" / "systemd" / "system", tools):
        folder.mkdir(parents=True)
    if there is not None:
        settings.write_text("[source]\n")
        settings.chmod(0o644)
        os.chown(settings, 0, 0 if given else 12345)
    calls = f'#!/bin/sh\necho "${{0##*/}} $*" >> {log}\n'
    stubs = dict.fromkeys(("useradd", "chgrp", "systemctl"), calls)
    for name, script in {**stubs, "getent": "#!/bin/sh\nexit 2\n", "python3": PYTHON}.items():
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    command = ["bash", str(INSTALLER), "--package", "edge-fer", "--root", str(root)]
    done = subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert settings.read_text() == "[source]\n"
    assert settings.stat().st_mode & 0o777 == mode
    said = log.read_text().splitlines()
    assert said[0].startswith("useradd")
    assert (said[1] == f"chgrp edge-fer {settings}") == given


def test_settings_in_the_kiosk_document_are_sound(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "kiosk.md").read_text(), re.DOTALL)
    path = tmp_path / "edge-fer.toml"
    path.write_text(example)
    assert load_config(path).source.rotate == 90
