"""Debian packages with all that they need, fetched by apt into a cache folder, and run from there.

For servers that no wheel has, of a suite that need not be the machine's: the closure brings its own C
library and loader. apt is given lists, cache and state of its own, an empty one, so that it fetches
everything and the machine's own sources and packages stay as they are.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from streams.errors import DependencyUnavailable
from streams.stack.jars import local_folder

FETCH_TIMEOUT_S = 600.0  # 60 MB for MySQL, and 17 MB of lists; 6 s from a fast mirror
NEEDED = ("apt-get", "dpkg-deb")
# What servers do not read: half of the space.
SPARED = (
    "usr/bin",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/perl",
    "usr/lib/python3",
)


def can_fetch() -> bool:
    """Whether the machine has apt and dpkg."""
    return all(shutil.which(program) is not None for program in NEEDED)


def cache_folder(package: str) -> Path:
    """Where a package is kept: below ``XDG_CACHE_HOME``, else ``~/.cache``.

    As root below ``/var/cache``, since its servers run as others, to whom its home is closed.
    """
    usual = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or usual) / "tallystream" / f"deb-{package}"


def package_root(package: str) -> Path:
    """The folder that holds the package and its dependencies as they would be below ``/``.

    Fetched now if it is not there yet; two processes that need it at once fetch it once. It appears when
    it is complete, and stays as it is until it is removed.
    """
    folder = cache_folder(package)
    if folder.is_dir():
        return folder
    if not can_fetch():
        raise DependencyUnavailable(f"{package} is fetched by apt, and there is none: use Debian or Ubuntu")
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(package, folder)
    return folder


def loaded(root: Path, program: str, folders: Sequence[str] = ()) -> list[str]:
    """The words that run ``program`` (below ``root``) with the packages' own loader and libraries.

    ``folders``: more places of libraries, below ``root``.
    """
    loaders = sorted(root.glob("usr/lib*/ld-linux-*.so.*"))
    libraries = [*root.glob("usr/lib/*-linux-gnu*"), *(root / folder for folder in folders)]
    if not loaders or not (root / program).is_file():
        raise DependencyUnavailable(f"{root} is not complete; remove it, and start again")
    path = os.pathsep.join(str(library) for library in libraries)
    return [str(loaders[0]), "--library-path", path, str(root / program)]


def _fetch(package: str, folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        root = scratch / "root"
        root.mkdir(mode=0o755)
        for archive in _download(package, scratch):
            _run(["dpkg-deb", "-x", str(archive), str(root)], package)
        for spared in SPARED:
            shutil.rmtree(root / spared, ignore_errors=True)
        root.rename(folder)
    except subprocess.TimeoutExpired:
        raise DependencyUnavailable(
            f"apt did not fetch {package} within {FETCH_TIMEOUT_S:.0f} s; try again"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(package: str, scratch: Path) -> list[Path]:
    for part in ("lists/partial", "cache/archives/partial"):
        (scratch / part).mkdir(parents=True)
    (scratch / "status").touch()
    options = {
        "Dir::Etc::sourcelist": local_folder() / "mysql.sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Dir::State": scratch,
        "Dir::State::lists": scratch / "lists",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Dir::Cache::archives": scratch / "cache" / "archives",
        "APT::Sandbox::User": "",  # the account for downloads can't reach the folder
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    _run([*apt, "update"], package)
    _run([*apt, "install", "--yes", "--download-only", "--no-install-recommends", package], package)
    return sorted((scratch / "cache" / "archives").glob("*.deb"))


def _run(command: list[str], package: str) -> None:
    result = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    )
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("E:")] or ["no output"]
        raise DependencyUnavailable(f"{command[0]} could not fetch {package}: {lines[0][:300]}")
