"""What a PostgreSQL server itself has against a source: its settings, its room, the role's rights."""

from __future__ import annotations

import psycopg

from connectors.sources.check import FAIL, OK, WARN, Finding
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.server.connection import FAILOVER_SINCE, Server
from streams.errors import DependencyUnavailable

OLDEST = 130_000  # publish_via_partition_root came with 13; libpq's form of the version
LONG_TRANSACTION_S = 60  # one that is open for longer holds the first run up noticeably

_SETTINGS = (
    "wal_level",
    "max_replication_slots",
    "max_wal_senders",
    "max_slot_wal_keep_size",
    "idle_replication_slot_timeout",
)


def server_findings(connection: psycopg.Connection, server: Server, config: PostgresConfig) -> list[Finding]:
    """Its version and settings, the room that it has, and whether the role may replicate."""
    version = connection.info.server_version
    found = [Finding(OK, "server", f"PostgreSQL {version // 10_000}.{version % 10_000} at {server.address}")]
    if version < OLDEST:
        found.append(
            Finding(FAIL, "server", "PostgreSQL 13 is the oldest that is read", "upgrade the server")
        )
    if config.failover and version < FAILOVER_SINCE:
        text = "failover = true, but slots follow a failover from PostgreSQL 17 on"
        found.append(Finding(FAIL, "failover", text, "remove failover, or upgrade the server"))
    settings: dict[str, str] = dict(
        connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)]
        ).fetchall()
    )
    standby, slots, ours, senders, replicates = connection.execute(
        "SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_replication_slots), "
        "EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s), "
        "(SELECT count(*) FROM pg_stat_replication), r.rolreplication OR r.rolsuper "
        "FROM pg_roles r WHERE rolname = current_user",
        [config.slot_name],
    ).fetchone() or (False, 0, False, 0, False)
    if standby:
        text = "the DSN leads to a standby, where neither publication nor slot can be made"
        found.append(Finding(FAIL, "server", text, "let the DSN lead to the primary"))
    found.append(_wal_level(settings["wal_level"]))
    found += _room(settings, slots, ours, senders)
    found += _retention(settings)
    found.append(_replication(server, replicates))
    found += _long_transactions(connection, ours)
    return found


def _replication(server: Server, attribute: bool) -> Finding:
    """Tried for real: managed servers grant it by a role of theirs, and pg_hba.conf has its say too."""
    user = server.user
    try:
        server.identify()
    except DependencyUnavailable as error:
        remedy = f"run ALTER ROLE {user} REPLICATION as a superuser"
        if attribute:
            remedy = f"let pg_hba.conf allow {user} a connection for replication"
        return Finding(FAIL, "role", str(error), remedy)
    return Finding(OK, "role", f"{user} may replicate")


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def _wal_level(level: str) -> Finding:
    if level == "logical":
        return Finding(OK, "wal_level", "logical")
    remedy = "run ALTER SYSTEM SET wal_level = 'logical' as a superuser and restart the server"
    return Finding(FAIL, "wal_level", f"is {level}: the log holds no rows", remedy)


def _room(settings: dict[str, str], slots: int, ours: bool, senders: int) -> list[Finding]:
    """Slots and senders left. A snapshot's slot stays; the one for tables added later is temporary."""
    found = []
    for name, used, free_for in (
        ("max_replication_slots", slots, "a slot" if not ours else ""),
        ("max_wal_senders", senders, "the stream"),
    ):
        left = int(settings[name]) - used
        if left < 1 and free_for:
            text = f"is {settings[name]}, all in use: none is left for {free_for}"
            remedy = f"run ALTER SYSTEM SET {name} = {int(settings[name]) + 4} and restart the server"
            found.append(Finding(FAIL, name, text, remedy))
        else:
            found.append(Finding(OK, name, f"{left} of {settings[name]} are free"))
    return found


def _retention(settings: dict[str, str]) -> list[Finding]:
    """How long the source may be away: neither bound is right for everybody, so both sides are said."""
    found = []
    megabytes = int(settings["max_slot_wal_keep_size"])
    if megabytes < 0:
        found.append(
            Finding(
                WARN,
                "max_slot_wal_keep_size",
                "is unlimited: while the source is stopped, the log grows until the disk is full",
                "watch tallystream_source_slot_bytes, or run ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'",
            )
        )
    else:
        text = f"{size(megabytes << 20)}: a source that is further behind loses its slot, and needs a repair"
        found.append(Finding(OK, "max_slot_wal_keep_size", text))
    if settings.get("idle_replication_slot_timeout", "0") != "0":
        text = "is on: a source that is stopped for longer loses its slot, and needs a repair"
        remedy = "run ALTER SYSTEM SET idle_replication_slot_timeout = 0 if that is not wanted"
        found.append(Finding(WARN, "idle_replication_slot_timeout", text, remedy))
    return found


def _long_transactions(connection: psycopg.Connection, ours: bool) -> list[Finding]:
    """A slot is made once all transactions that were open have ended, prepared ones too."""
    if ours:
        return []
    rows = connection.execute(
        "SELECT 'PID ' || pid, extract(epoch FROM now() - xact_start)::bigint, "
        "format('SELECT pg_terminate_backend(%%s)', pid) FROM pg_stat_activity "
        "WHERE backend_xid IS NOT NULL AND now() - xact_start > make_interval(secs => %(s)s) "
        "UNION ALL SELECT 'prepared ' || gid, extract(epoch FROM now() - prepared)::bigint, "
        "format('ROLLBACK PREPARED %%L', gid) FROM pg_prepared_xacts "
        "WHERE now() - prepared > make_interval(secs => %(s)s)",
        {"s": LONG_TRANSACTION_S},
    ).fetchall()
    return [
        Finding(
            WARN,
            "transaction",
            f"{who} has one open for {seconds} s: the first run waits until it ends",
            f"let it end, or run {end}",
        )
        for who, seconds, end in rows
    ]
