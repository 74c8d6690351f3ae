"""The firm writes its plan into real PostgreSQL databases."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine, select

from connectors.reference.firm import Firm, FirmSettings, Plan, Progress, connect, plan
from connectors.reference.firm.model import SYSTEM_OF, TABLES
from connectors.reference.schema import SYSTEMS
from streams.errors import DependencyUnavailable, UsageError
from streams.stack import Stack

SMALL = FirmSettings(seed=5, consultants=10, days=14)
Content = dict[str, list[tuple[str, ...]]]
NewDatabases = Callable[[], dict[str, Engine]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One server for all tests here."""
    with Stack(tmp_path_factory.mktemp("firm"), services=("postgres",)) as running:
        yield running


@pytest.fixture
def new_databases(stack: Stack, request: pytest.FixtureRequest) -> Iterator[NewDatabases]:
    """Makes three empty databases at each call."""
    made: list[Engine] = []
    turn = itertools.count()
    prefix = request.node.name.partition("[")[0][:30]

    def make() -> dict[str, Engine]:
        number = next(turn)
        connection = stack.postgres.connect()
        connection.autocommit = True
        urls = {}
        with connection.cursor() as cursor:
            for system in SYSTEMS:
                name = f"{prefix}_{number}_{system}"
                cursor.execute(f'CREATE DATABASE "{name}"')
                urls[system] = stack.postgres.dsn(name)
        connection.close()
        engines = connect(urls)
        made.extend(engines.values())
        return engines

    yield make
    for engine in made:
        engine.dispose()


def content(engines: Mapping[str, Engine]) -> Content:
    """All rows of all tables as sorted text."""
    found: Content = {}
    for name, table in TABLES.items():
        with engines[SYSTEM_OF[name]].connect() as connection:
            found[name] = sorted(tuple(map(as_text, row)) for row in connection.execute(select(table)))
    return found


def planned_content(made: Plan) -> Content:
    """The same of a plan."""
    return {
        name: sorted(tuple(map(as_text, row.values())) for row in rows.values())
        for name, rows in made.tables().items()
    }


def as_text(value: object) -> str:
    """Equal for equal values: numbers without trailing zeros, instants in UTC, NaN as itself."""
    if isinstance(value, Decimal):
        return str(value.normalize() + 0)
    return str(value.astimezone(UTC)) if isinstance(value, datetime) else str(value)


def test_two_runs_leave_the_same_rows_as_the_plan(new_databases: NewDatabases) -> None:
    """One run as fast as possible, one interrupted and paced: identical tables, to the last column."""
    made = plan(SMALL)
    fast, slow = new_databases(), new_databases()
    firm = Firm(made, fast)
    firm.seed()
    firm.run()
    again = Firm(plan(SMALL), slow)
    again.seed()
    stop = threading.Event()
    stop.set()
    assert again.run(stop=stop).transactions == 0
    again.run(pace=2000)
    assert content(fast) == content(slow) == planned_content(made)


def test_the_default_firm_is_written_within_fifteen_seconds(new_databases: NewDatabases) -> None:
    """At least ten thousand changes of time entries, and what the databases hold is what was planned."""
    made = plan(FirmSettings())
    engines = new_databases()
    firm = Firm(made, engines)
    firm.seed()
    started = time.monotonic()
    done = firm.run()
    elapsed = time.monotonic() - started
    print(f"{done.changes} changes in {done.transactions} transactions: {elapsed:.1f} s")
    assert made.changes("time_entry") >= 10_000
    assert elapsed < 15
    assert content(engines) == planned_content(made)


def test_a_planned_transaction_is_one_of_the_database(new_databases: NewDatabases) -> None:
    """All rows that a transaction wrote carry the same transaction id."""
    made = plan(SMALL)
    engines = new_databases()
    firm = Firm(made, engines)
    firm.seed()
    firm.run()
    drafts = [transaction for transaction in made.transactions if transaction.label == "draft"]
    widest = max(drafts, key=lambda transaction: len(transaction.statements))
    events = tuple(s.key for s in widest.statements if s.table == "time_entry_event")
    assert len(events) > 1
    with engines["time"].connect() as connection:
        ids = connection.exec_driver_sql(
            "SELECT DISTINCT xmin::text FROM time_entry_event WHERE id IN %s", (events,)
        ).all()
    assert len(ids) == 1


def test_a_run_stops_between_transactions_and_goes_on(new_databases: NewDatabases) -> None:
    """Stopping is prompt even at a slow pace; progress says where it was."""
    made = plan(SMALL)
    firm = Firm(made, new_databases())
    firm.seed()
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    started = time.monotonic()
    part = firm.run(pace=20, stop=stop)
    assert time.monotonic() - started < 3
    assert 0 < part.transactions == firm.position < 30
    reports: list[Progress] = []
    rest = firm.run(reports.append)
    assert rest.transactions == rest.of_transactions == len(made.transactions)
    assert rest.changes == made.changes()
    assert reports[-1] == rest
    assert firm.run() == rest


def test_the_settings_pace_row_changes(new_databases: NewDatabases) -> None:
    """At 400 changes a second about 400 are written in a second."""
    made = plan(FirmSettings(seed=5, consultants=10, days=14, changes_per_second=400.0))
    firm = Firm(made, new_databases())
    firm.seed()
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    assert 150 < firm.run(stop=stop).changes < 700


def test_databases_that_are_not_empty_are_refused(new_databases: NewDatabases) -> None:
    """A second seed would mix two firms."""
    firm = Firm(plan(SMALL), new_databases())
    firm.seed()
    with pytest.raises(UsageError, match="empty database"):
        firm.seed()


def test_rows_that_are_gone_are_noticed(new_databases: NewDatabases) -> None:
    """Somebody else deletes what the plan wants to update: it stops and says so."""
    engines = new_databases()
    firm = Firm(plan(SMALL), engines)
    firm.seed()
    with engines["time"].begin() as connection:
        connection.execute(TABLES["time_entry"].delete())
    with pytest.raises(UsageError, match="somebody else writes"):
        firm.run()


def test_engines_must_be_the_three_systems(new_databases: NewDatabases) -> None:
    """The message names them."""
    with pytest.raises(UsageError, match="erp, crm, time"):
        Firm(plan(SMALL), {"erp": new_databases()["erp"]})


def test_a_server_that_does_not_answer_is_a_dependency() -> None:
    """One line, with the system's name."""
    firm = Firm(plan(SMALL), connect(dict.fromkeys(SYSTEMS, "postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(DependencyUnavailable, match="database erp"):
        firm.seed()
