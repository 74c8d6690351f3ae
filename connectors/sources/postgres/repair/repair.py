"""Closing a gap: the tables against what the topics make of them, and only the difference published.

After a slot was lost, recreated or advanced, changes are missing that nobody can tell any more. A
repair makes a new slot, reads the tables as of the very point where it starts, and compares them row
by row with the folded topics. What the topics lack becomes a create, what they have otherwise an
update, what the tables no longer have a delete with its tombstone, all with ``source.snapshot`` =
``incremental`` and a position in a new epoch: after everything before the gap, and before all that
the stream brings from the slot on. Streaming then goes on as after a first snapshot.

Killed at any moment it is simply run again. Before it touches anything it stores that it has begun
(`Progress.repairing`), in an epoch of its own: the source refuses to run until a repair has ended.
Differences are published in bounded Kafka transactions; the next attempt finds them in the topics,
so it publishes none of them twice, and its own stand in a later epoch. The attempt's slot is replaced.

The tables are read in one COPY each, in whatever order they are stored: the folded state finds a row
by its key on disk, so chunks by key would add a sort and save nothing.

Memory does not grow with the rows: 117 MB at 100,000 rows of nine columns, 124 MB at 400,000, from Apache
Kafka. The embedded broker answers with all of a partition at once, which then is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import psycopg
import structlog
from psycopg import errors, sql

from connectors.sources.positions import read_position
from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.pgoutput.messages import Row
from connectors.sources.postgres.pgoutput.transactions import CREATE, DELETE, UPDATE
from connectors.sources.postgres.position import Progress
from connectors.sources.postgres.repair.differences import Differences
from connectors.sources.postgres.repair.foldedstate import (
    CountedState,
    Folded,
    KeyedState,
    temporary_database,
)
from connectors.sources.postgres.repair.spelling import Spelling
from connectors.sources.postgres.repair.topicrows import Folding, Writers, fold_topic, read_records
from connectors.sources.postgres.resume import PLUGIN, check_resume, must_snapshot
from connectors.sources.postgres.server import catalog
from connectors.sources.postgres.server.catalog import PARTITIONED, CapturedTable
from connectors.sources.postgres.server.connection import Identity, Server, SlotState, identifier, quoted, raw
from connectors.sources.postgres.server.publication import Published, check_publication, publish
from connectors.sources.postgres.server.slotwatch import keep_for_failover, wait_until_free
from connectors.sources.postgres.snapshot.lines import parse_line
from connectors.sources.postgres.snapshot.snapshot import ExportedSnapshot, create_slot
from connectors.sources.postgres.tables.table import Table
from connectors.sources.postgres.tables.tables import Tables
from connectors.sources.progress import Steps
from connectors.sources.publisher import STREAM_TRANSACTION_S, Publisher
from connectors.sources.running import Surroundings
from connectors.sources.subjects import Subjects
from connectors.sources.topics import Topics
from streams.contracts.topics import backfill_topic
from streams.errors import ConfigurationError, DependencyUnavailable, PositionLost

log = structlog.get_logger()


@dataclass(slots=True)
class Repaired:
    """What a repair found and published. ``gap``: why it was needed."""

    gap: str
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    """By table: rows read, and published creates (c), updates (u) and deletes (d)."""

    def summary(self) -> str:
        """One line a table, for people."""
        lines = [
            f"{name}: {n['rows']} rows; published {n[CREATE]} creates, {n[UPDATE]} updates, {n[DELETE]} deletes"
            for name, n in self.tables.items()
        ]
        return "\n".join([*lines, "the gap is closed; go on with `tallystream source run`"])


class Repair:
    """One attempt; see the module's text."""

    def __init__(self, config: PostgresConfig, surroundings: Surroundings) -> None:
        self._config = config
        self._around = surroundings
        self._server = Server(config.read_dsn(), f"tallystream repair {config.name}")
        self._log = log.bind(source=config.name)

    def run(self, steps: Steps, *, force: bool = False) -> Repaired | None:
        """Publish the difference and leave a slot to go on from; None when nothing is lost.

        ``force`` compares also where no gap is known, and where the DSN leads to another cluster: a
        wrong DSN would otherwise delete every row.
        """
        config, server = self._config, self._server
        server.require_logical()
        server.identify()  # refuses a role that may not replicate
        with server.connect() as connection:
            captured = catalog.included_tables(connection, config.tables)
            published = check_publication(connection, config.publication_name, captured)
        wait_until_free(server, config.slot_name)
        topics = Topics(self._around.kafka, config.partitions, self._around.replication_factor)
        topics.ensure_positions()
        publisher = Publisher(config.name, self._around.kafka, STREAM_TRANSACTION_S)
        with Subjects(self._around.registry_url) as subjects:
            try:
                progress, gap = self._assess(force)
                if gap is None:
                    return None
                progress = self._begin(publisher, progress)
                with server.connect() as connection:
                    fresh = [one for one in captured if one.full_name not in published]
                    published = publish(server, connection, config.publication_name, fresh)
                # With columns that are not known before: the comparison mends what rows lack of them.
                tables = Tables(server, config, {one.full_name for one in captured}, subjects, topics)
                repaired = Repaired(gap)
                with create_slot(server, config.slot_name, temporary=False) as exported:
                    differences = Differences(publisher, progress, exported, config)
                    for one in captured:
                        repaired.tables[one.full_name] = self._table(
                            one, published[one.full_name], tables, topics, exported, differences, steps
                        )
                keep_for_failover(server, config)
                differences.end([one.full_name for one in captured], tables.columns)
            finally:
                publisher.close()
        self._log.info("repaired", tables=repaired.tables)
        return repaired

    def _assess(self, force: bool) -> tuple[Progress, str | None]:
        """The stored position and what is wrong with it; None for nothing."""
        config, server = self._config, self._server
        stored = read_position(self._around.kafka, config.name)
        progress = None if stored is None else Progress.from_json(stored)
        if progress is None or (must_snapshot(progress) and progress.run is None):
            raise ConfigurationError(
                f"source {config.name} has no finished snapshot that could be repaired; "
                "run `tallystream source run`, which takes one"
            )
        identity, slot = server.identify(), server.slot(config.slot_name)
        self._check_cluster(progress, identity, force)
        self._check_slot(slot, identity)
        try:
            check_resume(config.name, progress, config.slot_name, slot, identity)
        except PositionLost as lost:
            return progress, str(lost)
        return progress, "forced: no gap is known" if force else None

    def _check_cluster(self, progress: Progress, identity: Identity, force: bool) -> None:
        if progress.system_identifier != identity.system_identifier and not force:
            raise PositionLost(
                f"source {self._config.name} read cluster {progress.system_identifier}, the DSN leads to "
                f"cluster {identity.system_identifier}: a repair would turn the topics into that one's tables; "
                "correct the DSN, or add --force"
            )

    def _check_slot(self, slot: SlotState | None, identity: Identity) -> None:
        """Only a slot that could be the source's own is replaced."""
        if slot is not None and (slot.plugin != PLUGIN or slot.database != identity.database):
            raise ConfigurationError(
                f"slot {slot.name} is of plugin {slot.plugin} in database {slot.database}, source "
                f"{self._config.name} needs one of {PLUGIN} in {identity.database}; set another slot"
            )

    def _begin(self, publisher: Publisher, progress: Progress) -> Progress:
        """Store that a repair has begun, then make room for its slot."""
        identity = self._server.identify()
        begun = replace(
            progress,
            system_identifier=identity.system_identifier,
            timeline=identity.timeline,
            epoch=progress.epoch + 1,
            slot=self._config.slot_name,
            snapshot_done=True,
            repairing=True,
            run=None,
            incremental=(),
        )
        publisher.commit(begun.to_json())
        if self._server.slot(self._config.slot_name) is not None:
            self._server.drop_slot(self._config.slot_name)
            self._log.warning("slot_dropped", slot=self._config.slot_name, reason="a repair makes it anew")
        return begun

    def _table(
        self,
        one: CapturedTable,
        published: Published,
        tables: Tables,
        topics: Topics,
        exported: ExportedSnapshot,
        differences: Differences,
        steps: Steps,
    ) -> dict[str, int]:
        server = self._server
        with server.connect() as connection, connection.transaction(), temporary_database() as database:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(exported.name)))
            relation = catalog.current_relation(connection, one.oid, published.columns)
            table = tables.table(relation)
            assert table is not None
            spelling = Spelling(table)
            writers = Writers(self._around.registry_url, spelling)
            state = CountedState(database) if table.encode_key is None else KeyedState(database)
            folded: Folded = state
            try:
                with steps.step(f"{table.topic}: records", None) as advance:
                    # History that was published apart is there, also where it would not be any more.
                    for topic in (backfill_topic(table.topic), table.topic):
                        if partitions := topics.existing(topic):
                            messages = read_records(self._around.kafka, topic, partitions, advance)
                            folded = fold_topic(messages, Folding(topic, spelling, writers), state)
            finally:
                writers.close()
            with steps.step(f"{one.full_name}: rows", _estimate(connection, one.oid)) as advance:
                rows = self._rows(connection, one, published, table)
                return differences.of_table(table, spelling, rows, folded, advance)

    def _rows(
        self, connection: psycopg.Connection, one: CapturedTable, published: Published, table: Table
    ) -> Iterator[Row]:
        columns = sql.SQL(", ").join(identifier(column.name) for column in table.relation.columns)
        query = sql.SQL("COPY (SELECT {} FROM {}{}{}) TO STDOUT").format(
            columns,
            sql.SQL("" if one.kind == PARTITIONED else "ONLY "),
            identifier(one.schema, one.table),
            raw(f" WHERE {published.row_filter}" if published.row_filter else ""),
        )
        try:
            with connection.cursor() as cursor, cursor.copy(query) as copy:
                for line in copy:
                    yield parse_line(bytes(line))
        except errors.InsufficientPrivilege:
            raise DependencyUnavailable(
                f"role {self._server.user} may not read {one.full_name}; run GRANT SELECT ON "
                f"{quoted(one.schema, one.table)} TO {self._server.user}"
            ) from None


def _estimate(connection: psycopg.Connection, oid: int) -> int | None:
    """Rows of a table by its statistics, partitions included; None where there are none yet."""
    row = connection.execute(
        "SELECT sum(greatest(reltuples, 0))::bigint FROM pg_class WHERE oid IN "
        "(SELECT relid FROM pg_partition_tree(%s) WHERE isleaf UNION SELECT %s::oid)",
        [oid, oid],
    ).fetchone()
    return (row[0] or None) if row else None
