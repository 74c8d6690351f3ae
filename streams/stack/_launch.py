"""Replaces itself by a server that ends when the process that started it ends.

Run as a script, ``python -I -S _launch.py PARENT SIGNAL UID GID -- PROGRAM ARGUMENT…``, never
imported: a process of its own rather than ``preexec_fn``, which may deadlock in a program with
threads. ``UID`` and ``GID`` of ``-1`` keep ours. Standard library only, and little of it: this is
on the path of every start (about 15 ms).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_CANNOT_EXECUTE = 127  # what a shell answers, too


def main() -> None:
    """Set the account, then the parent-death signal, then become the program."""
    parent, death_signal, uid, gid = (int(argument) for argument in sys.argv[1:5])
    program = sys.argv[6:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After the change of account, which clears the setting. The kernel keeps it across exec, unless
    # the program is set-uid or has capabilities of its own, which none of ours is.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked to be told
            os.kill(os.getpid(), signal.SIGKILL)
    try:
        os.execv(program[0], program)  # noqa: S606  no shell is what we want
    except OSError as error:
        print(f"cannot run {program[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_CANNOT_EXECUTE)


if __name__ == "__main__":
    main()
