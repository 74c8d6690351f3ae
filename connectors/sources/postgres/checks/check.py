"""What would go wrong with a PostgreSQL source, found before its first run. Changes nothing.

Each look is independent: one that fails does not hide the next. Only what can't be asked at all (the
server is down) ends it early.
"""

from __future__ import annotations

import psycopg

from connectors.sources.check import FAIL, OK, UNREACHABLE, WARN, Finding, partition_findings, topic_counts
from connectors.sources.positions import read_position
from connectors.sources.postgres.checks.checkserver import server_findings, size
from connectors.sources.postgres.checks.checktables import (
    publication_findings,
    rule_findings,
    table_findings,
)
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.position import Progress, lsn_text
from connectors.sources.postgres.resume import check_resume, may_drop, must_snapshot
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.catalog import CapturedTable
from connectors.sources.postgres.server.connection import Identity, Server, SlotState
from connectors.sources.running import Surroundings
from connectors.sources.topics import POSITIONS, topic_name
from streams.errors import ConfigurationError, DependencyUnavailable, PositionLost, TallystreamError


class PostgresCheck:
    """The findings about one source's server, tables, slot and position."""

    def __init__(self, config: PostgresConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._server = Server(config.read_dsn(), f"tallystream check {config.name}")

    def findings(self) -> list[Finding]:
        """Everything that was looked at, in the order in which a run would meet it."""
        try:
            with self._server.connect() as connection:
                found = server_findings(connection, self._server, self._config)
                captured = self._captured(connection, found)
                found += rule_findings(connection, self._config, captured)
                found += publication_findings(connection, self._server, self._config, captured)
                for one in captured:
                    found += table_findings(connection, self._server, self._config, one)
        except DependencyUnavailable as error:
            return [
                Finding(UNREACHABLE, "server", str(error), "see that the DSN is right and the server runs")
            ]
        counts = topic_counts(self._around)
        if counts is not None:
            topics = [topic_name(self._config.name, one.schema, one.table) for one in captured]
            found += partition_findings(self._config.partitions, counts, topics)
        return found + self._slot_findings(counts)

    def _captured(self, connection: psycopg.Connection, found: list[Finding]) -> list[CapturedTable]:
        captured: dict[int, CapturedTable] = {}
        for entry in self._config.tables:
            try:
                for one in catalog.included_tables(connection, [entry]):
                    captured[one.oid] = one
            except ConfigurationError as error:
                found.append(Finding(FAIL, entry, *_no_such_table(connection, entry, str(error))))
        return list(captured.values())

    def _slot_findings(self, counts: dict[str, int] | None) -> list[Finding]:
        """The slot as it is, and whether the stored position can go on from it."""
        config = self._config
        subject = f"slot {config.slot_name}"
        try:
            identity, slot = self._server.identify(), self._server.slot(config.slot_name)
        except DependencyUnavailable:
            return []  # said already
        found = [] if slot is None else self._slot_state(subject, slot)
        if counts is None:
            return [
                *found,
                Finding(WARN, subject, "the stored position could not be read: no broker answers"),
            ]
        try:
            stored = read_position(self._around.kafka, config.name) if POSITIONS in counts else None
            progress = None if stored is None else Progress.from_json(stored)
            return [*found, *self._position(subject, progress, slot, identity)]
        except TallystreamError as error:
            return [*found, Finding(FAIL, "position", str(error))]

    def _slot_state(self, subject: str, slot: SlotState) -> list[Finding]:
        found = []
        if slot.active_pid is not None:
            text = f"is read by PID {slot.active_pid}: a source runs"
            found.append(Finding(WARN, subject, text, "a second run would be refused; stop that one first"))
        kept = (
            f"the server keeps {size(slot.retained_bytes)} of log for it, {size(slot.lag_bytes)} not yet read"
        )
        limit = self._config.slot_bytes_limit
        if slot.lost:
            found.append(Finding(FAIL, subject, f"is lost ({slot.lost})", _REPAIR))
        elif slot.wal_status == "unreserved":
            text = f"is about to be lost: max_slot_wal_keep_size is exceeded; {kept}"
            found.append(Finding(WARN, subject, text, "run the source now, or raise max_slot_wal_keep_size"))
        elif limit is not None and slot.retained_bytes > limit:
            text = f"{kept}, more than slot_bytes_limit = {limit}"
            found.append(Finding(WARN, subject, text, "run the source, or drop the slot if nobody needs it"))
        else:
            found.append(Finding(OK, subject, kept))
        if slot.failover != self._config.failover and not slot.lost:
            text = f"has failover = {str(slot.failover).lower()}; the next run sets it as configured"
            found.append(Finding(OK, subject, text))
        return found

    def _position(
        self, subject: str, progress: Progress | None, slot: SlotState | None, identity: Identity
    ) -> list[Finding]:
        config = self._config
        if progress is None or (must_snapshot(progress) and progress.run is None):
            if slot is None:
                return [Finding(OK, "position", "none: the first run makes the slot and takes a snapshot")]
            if not may_drop(progress, slot, config.name) and slot.active_pid is None:
                text = f"exists, but source {config.name} has no position in it"
                remedy = f"if nobody needs it, SELECT pg_drop_replication_slot('{slot.name}'); else set another slot"
                return [Finding(FAIL, subject, text, remedy)]
            text = (
                "none, but a slot of the source's own: it is made anew, and the snapshot taken from the start"
            )
            return [Finding(OK, "position", text)]
        try:
            check_resume(config.name, progress, config.slot_name, slot, identity)
        except PositionLost as lost:
            return [Finding(FAIL, "position", str(lost), _REPAIR)]
        except ConfigurationError as wrong:
            return [Finding(FAIL, "position", str(wrong))]
        return [Finding(OK, "position", f"goes on at {lsn_text(progress.flushed_lsn)} without a gap")]


_REPAIR = "run `tallystream source repair` with this file"


def _no_such_table(connection: psycopg.Connection, entry: str, problem: str) -> tuple[str, str]:
    """Why an entry names no table that can be captured, and what to do."""
    schema, _, table = entry.partition(".")
    row = connection.execute(
        "SELECT c.relkind::text, c.relpersistence::text FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        [schema, table],
    ).fetchone()
    if row is None:
        return problem, "correct the include list"
    kind, persistence = row
    if kind in "rp":
        what = "an unlogged table" if persistence == "u" else "a temporary table"
        return (
            f"is {what}: its rows are not in the log",
            f"run ALTER TABLE {entry} SET LOGGED, or leave it out",
        )
    kinds = {
        "v": "a view",
        "m": "a materialized view",
        "f": "a foreign table",
        "S": "a sequence",
        "i": "an index",
    }
    return (
        f"is {kinds.get(kind, 'no table')}: it has no changes of its own in the log",
        "name its tables instead",
    )
