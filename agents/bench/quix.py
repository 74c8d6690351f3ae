"""The virtual environment of the Quix Streams peer: made once, in the cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from streams.errors import DependencyUnavailable

REQUIREMENTS = Path(__file__).with_name("quix-requirements.txt")
# 40 packages; a minute and a half on a busy machine.
INSTALL_TIMEOUT_S = 900.0
# Its import is what an installation that was cut off, or for another machine, fails at.
PROBE = "import quixstreams, fastavro, structlog, yaml"
PROBE_TIMEOUT_S = 120.0


def quix_version() -> str:
    """The version that is pinned."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("quixstreams=="))


def quix_python() -> Path:
    """The environment's interpreter; `DependencyUnavailable` if it can't be made (no network, for one).

    The folder's name has the requirements' hash and our Python's version, and it appears when complete.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    content = REQUIREMENTS.read_bytes() + version.encode()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallystream"
    folder = root / f"quix-{quix_version()}-{hashlib.sha256(content).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not python.exists():
        _make(folder)
    _run([str(python), "-c", PROBE], f"{folder} is broken (remove it, then run again)", PROBE_TIMEOUT_S)
    return python


def _make(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="quix-", dir=folder.parent))
    try:
        venv.create(scratch, with_pip=True)
        install = [
            *(str(scratch / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "-r", str(REQUIREMENTS)),
        ]
        _run(install, "its packages can't be installed (--skip-quix measures without)", INSTALL_TIMEOUT_S)
        # An environment is used by its interpreter's path alone, so it may be renamed.
        try:
            scratch.rename(folder)
        except OSError:  # somebody else has just made it
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run(command: list[str], what: str, timeout_s: float) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DependencyUnavailable(f"Quix Streams: {what}: {error}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        raise DependencyUnavailable(f"Quix Streams: {what}: {lines[-1]}")
