"""The account PostgreSQL runs as, which refuses to run as root, and what that account may reach."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from streams.errors import DependencyUnavailable
from streams.stack.process import Account

SHARED = Path("/var/tmp")  # noqa: S108  open to every account, and survives a reboot, unlike /tmp
UNPRIVILEGED = "nobody"  # exists on every system; no account need be made


@functools.cache
def unprivileged_account() -> Account | None:
    """The account for a server that refuses root: `UNPRIVILEGED` if we are root, else ours (None)."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise DependencyUnavailable(
            f"PostgreSQL refuses to run as root and there is no user {UNPRIVILEGED}; run as an ordinary user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def reachable(path: Path) -> bool:
    """Whether any account may enter every folder on the way to ``path`` and read what is there.

    >>> reachable(Path("/usr/bin"))
    True
    """
    folders = [path.resolve(), *path.resolve().parents]
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in folders)


def reachable_copy(root: Path, parts: Sequence[str], label: str) -> Path:
    """``root`` itself if any account may run programs in it, else a copy of its ``parts`` where it may.

    Root's own folder is closed to others on most systems, and with it a virtual environment inside.
    The copy is made once per ``label`` (which names a version), owned by root, never writable by
    others; a folder that somebody else put there is refused.
    """
    if all(reachable(root / part) for part in parts):
        return root
    copy = SHARED / f"tallystream-{label}"
    if not copy.exists():
        scratch = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        try:
            for part in parts:
                shutil.copytree(root / part, scratch / part, symlinks=True)
            scratch.chmod(0o755)
            scratch.rename(copy)
        except OSError:
            if not copy.exists():  # else another process was faster, and its copy is as good
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    found = copy.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise DependencyUnavailable(
            f"{copy} is not ours, so PostgreSQL's programs can't be copied there; remove it or run as an "
            "ordinary user"
        )
    return copy
