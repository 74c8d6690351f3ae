"""Where to continue: the stored position against the server's log as it is now."""

from __future__ import annotations

from connectors.sources.mariadb.position import Progress
from connectors.sources.mariadb.server import Identity, Server
from streams.errors import PositionLost


def check_resume(source: str, progress: Progress, server: Server, identity: Identity, failover: bool) -> None:
    """Return when the server's log is the one that was read, or may be taken for its continuation.

    Transactions are numbered by the servers themselves: another server, or the same one after RESET
    MASTER, may hold another transaction of the same name. So the stored place in the files is looked
    up: the same GTIDs must stand there. `PositionLost` says what happened and what to do.
    """
    ours = server.gtids(progress.gtid)
    remedy = f"take a new snapshot with `tallystream source resnapshot` for {source}"
    if not identity.gtid.reaches(ours):
        raise PositionLost(
            f"source {source} has published up to GTID {ours}, but the log of {server.where} ends at "
            f"{str(identity.gtid) or 'its beginning'} (another server, a replica that was behind, or one restored from a "
            f"backup); correct the DSN, or {remedy}"
        )
    if progress.server_uid != identity.uid:
        if failover:
            return
        raise PositionLost(
            f"source {source} read the log of server {progress.server_uid} up to GTID {ours}, but the DSN now leads to "
            f"{identity.uid} (server_id {identity.server_id}); if it is a promoted replica of that one, with "
            f"log_slave_updates, set failover = true to go on; else correct the DSN, or {remedy}"
        )
    there = server.gtid_at(progress.file, progress.position, ours) if progress.file else None
    if there is not None and there != ours:
        raise PositionLost(
            f"source {source} has published up to GTID {ours} at {progress.file}:{progress.position}, where the log of "
            f"{server.where} now has {str(there) or 'none'} (RESET MASTER): what was logged in between is "
            f"lost; {remedy}"
        )
    files = server.files()
    if there is None and progress.file and (not files or _number(progress.file) >= _number(files[0])):
        raise PositionLost(
            f"source {source} has published up to GTID {ours} at {progress.file}:{progress.position}, which the log of "
            f"{server.where} no longer has (RESET MASTER): what was logged in between is lost; {remedy}"
        )


def _number(file: str) -> int:
    digits = file.rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0
