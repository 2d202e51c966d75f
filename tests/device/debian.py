"""Debian trees of another architecture, made with apt and dpkg-deb alone: no root, no chroot.

apt resolves and downloads into a private state folder, `dpkg-deb` extracts. Nothing is configured and no
maintainer script runs; for an interpreter and its libraries that is enough.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.device.common import CACHE, SkippedError, call, last_lines, need, say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
STAMP = ".packages"
"""File in a finished tree: the packages that were asked for, then those that were extracted."""


@dataclass(frozen=True)
class Archive:
    """One suite of a Debian mirror for one architecture."""

    mirror: str
    """As the machine's own apt sources name it."""
    suite: str
    architecture: str
    """Debian's name, e.g. `arm64`."""

    @property
    def _state(self) -> Path:
        return CACHE / "apt" / f"{self.suite}-{self.architecture}"

    def _apt(self, *words: str, cwd: Path | None = None) -> None:
        state = self._state
        options = {
            "Dir::State": state,
            "Dir::State::status": state / "status",
            "Dir::Cache": state,
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "20",
            "Acquire::https::Timeout": "20",
            # Without it, an unreachable mirror is a warning and the missing package the error.
            "APT::Update::Error-Mode": "any",
            "Debug::NoLocking": "true",
        }
        flags = [item for key, value in options.items() for item in ("-o", f"{key}={value}")]
        done = call(["apt-get", "-q", "-y", *flags, *words], cwd=cwd)
        if done.returncode:
            raise SkippedError(
                f"apt-get {words[0]} failed for {self.suite} {self.architecture}: "
                f"{last_lines(done.stderr, 3)}"
            )

    def _prepare(self) -> None:
        """A fresh state folder with this one archive and not one installed package."""
        shutil.rmtree(self._state, ignore_errors=True)
        for folder in ("lists/partial", "archives/partial"):
            (self._state / folder).mkdir(parents=True)
        # No package counts as installed, so apt fetches every dependency.
        (self._state / "status").touch()
        trust = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (self._state / "sources.list").write_text(f"deb {trust}{self.mirror} {self.suite} main\n")

    def download(self, packages: Sequence[str]) -> list[Path]:
        """Download packages with all they depend on, signatures checked by apt.

        Raises:
            SkippedError: no network, or the mirror does not have the suite.
        """
        self._prepare()
        self._apt("update")
        self._apt("--download-only", "install", *packages)
        return sorted((self._state / "archives").glob("*.deb"))

    def tree(self, packages: Sequence[str], purpose: str = "") -> Path:
        """Extract packages with all they depend on; a finished tree is used again.

        Args:
            purpose: tells trees of the same suite and architecture apart.

        Raises:
            SkippedError: as `download`.
        """
        name = "-".join(filter(None, (self.suite, self.architecture, purpose)))
        root = CACHE / "trees" / name
        wanted = " ".join(packages)
        stamp = root / STAMP
        if stamp.exists() and stamp.read_text().splitlines()[0] == wanted:
            return root
        say(f"making a {self.suite} {self.architecture} tree from {self.mirror}")
        debs = self.download(packages)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        for deb in debs:
            _extract(deb, root)
        _merge_usr(root)
        shutil.rmtree(self._state)
        stamp.write_text("\n".join([wanted, *(deb.stem for deb in debs)]) + "\n")
        return root

    def extract_one(self, package: str, root: Path) -> None:
        """Extract one package, without what it depends on, into an existing folder.

        Raises:
            SkippedError: as `download`.
        """
        self._prepare()
        self._apt("update")
        # apt-get download writes into the working directory.
        self._apt("download", package, cwd=self._state)
        for deb in self._state.glob("*.deb"):
            _extract(deb, root)
        shutil.rmtree(self._state)


def _extract(deb: Path, root: Path) -> None:
    done = call(["dpkg-deb", "-x", deb, root])
    if done.returncode:
        raise SkippedError(f"dpkg-deb cannot extract {deb.name}: {last_lines(done.stderr, 3)}")


def _merge_usr(root: Path) -> None:
    """Give the tree the links of a merged /usr where no package brought the folder."""
    for name in ("bin", "lib", "sbin"):
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")


def find_mirror() -> str:
    """The Debian mirror in this machine's own apt sources, whether its lists are there or not.

    Raises:
        SkippedError: this is not a Debian machine, or its sources name no mirror.
    """
    need("apt-get", "the check takes its Debian trees through apt")
    need("dpkg-deb", "the check extracts Debian packages with it")
    uri = _first_mirror("$(ORIGIN)")
    # Without lists apt does not know whose mirrors they are; on Debian they are Debian's.
    if uri is None and _os_id() == "debian":
        uri = _first_mirror("Debian", "--no-release-info")
    if uri is None:
        raise SkippedError("this machine's apt sources name no Debian mirror; give --mirror URL")
    return uri


def _first_mirror(origin: str, *flags: str) -> str | None:
    pattern = f"{origin}|$(REPO_URI)"
    done = call(["apt-get", "indextargets", *flags, "--format", pattern, "Created-By: Packages"])
    rows = [line.partition("|") for line in done.stdout.splitlines()]
    return next((uri for owner, _, uri in rows if owner == "Debian" and "security" not in uri), None)


def _os_id() -> str:
    try:
        return platform.freedesktop_os_release().get("ID", "")
    except OSError:
        return ""


def host_architecture() -> str:
    """Debian's name for this machine's architecture."""
    return call(["dpkg", "--print-architecture"]).stdout.strip()
