"""A writer under load: every kind of statement on four tables, at a set rate, until it is stopped."""

from __future__ import annotations

import random
import threading
import time
from types import TracebackType

import psycopg

TABLES = ("line", "wide", "bulk", "tally")
# wide: values out of line, and an identity that leaves them out of the log when they do not change.
# tally: no key, so that only as a multiset it can be compared.
DDL = """
CREATE TABLE line (id bigint PRIMARY KEY, cost numeric(12,2) NOT NULL, note text);
ALTER TABLE line REPLICA IDENTITY FULL;
CREATE TABLE wide (id bigint PRIMARY KEY, note text, body text);
ALTER TABLE wide ALTER body SET STORAGE EXTERNAL;
CREATE TABLE bulk (id bigint PRIMARY KEY, amount int, at timestamptz NOT NULL DEFAULT now());
CREATE TABLE tally (kind text, amount int);
ALTER TABLE tally REPLICA IDENTITY FULL;
"""
ROWS = 10  # of one insert
COPIED = 50  # rows of one COPY
BODY = 9_000  # characters of a wide value: beyond what fits into a page
RETRY_S = 0.1  # while the server is away
CONNECT_TIMEOUT_S = 3


class Load(threading.Thread):
    """``with Load(dsn, schema, seed):`` writes; an error that is no lost connection is raised at the end.

    A transaction whose commit was under way when the connection was lost may be there or not: the
    tables themselves tell, so nothing is repeated.
    """

    def __init__(self, dsn: str, schema: str, seed: int, rate: float = 60.0, old: int = 0) -> None:
        """``old``: change also those of the lines 1 … ``old`` whose number three divides."""
        super().__init__(daemon=True)
        self._old = old
        self.transactions = 0
        self._dsn, self._schema, self._rate = dsn, schema, rate
        self._chance = random.Random(seed)
        self._next = 10_000_000 * (1 + seed % 1_000)  # ids: never those of another writer
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(
                    self._dsn,
                    autocommit=True,
                    options=f"-c search_path={self._schema}",
                    connect_timeout=CONNECT_TIMEOUT_S,
                ) as sql:
                    self._write(sql)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                time.sleep(RETRY_S)
            except BaseException as error:
                self._error = error
                return

    def _write(self, sql: psycopg.Connection) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            self._next += 1_000
            with sql.transaction():
                for statements in self._chance.sample(KINDS, self._chance.randint(1, 3)):
                    statements(self, sql, self._next)
                if self._old:
                    self._old_lines(sql)
            self.transactions += 1
            due = max(due + 1 / self._rate, time.monotonic() - 1)
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def _some(self, number: int) -> int:
        """The first id of some transaction of this writer, an earlier one or this."""
        return number - 1_000 * self._chance.randrange(100)

    def _lines(self, sql: psycopg.Connection, number: int) -> None:
        """A business write in two steps: rows without a cost, and then with it."""
        sql.execute(
            "INSERT INTO line SELECT %s::bigint + i, 0, 'new' FROM generate_series(1, %s) i", [number, ROWS]
        )
        sql.execute("UPDATE line SET cost = id %% 97 WHERE id BETWEEN %s AND %s", [number, number + ROWS])

    def _moved_lines(self, sql: psycopg.Connection, number: int) -> None:
        """Changes of key, there and (now and then) back."""
        some = self._some(number)
        sql.execute("UPDATE line SET id = -id WHERE id = ANY(%s)", [[some + 1, some + 2, -some - 1]])
        sql.execute("UPDATE line SET note = 'moved' WHERE id = %s", [-some - 2])

    def _old_lines(self, sql: psycopg.Connection) -> None:
        """Rows of a snapshot under way: they grow, and so change pages; they go, and change keys."""
        some = [3 * self._chance.randrange(1, self._old // 3) for _ in range(12)]
        sql.execute("UPDATE line SET note = note || 'x' WHERE id = ANY(%s)", [some[:8]])
        sql.execute("DELETE FROM line WHERE id = ANY(%s)", [some[8:10]])
        sql.execute("UPDATE line SET id = -id WHERE id = ANY(%s)", [some[10:]])

    def _deleted(self, sql: psycopg.Connection, number: int) -> None:
        some = self._some(number)
        sql.execute("DELETE FROM line WHERE id BETWEEN %s AND %s", [some + 5, some + 7])
        sql.execute("DELETE FROM wide WHERE id = %s", [some + 2])
        sql.execute("DELETE FROM bulk WHERE id BETWEEN %s AND %s", [some, some + COPIED // 2])

    def _wide(self, sql: psycopg.Connection, number: int) -> None:
        """Large values that come, stay as they are while their row changes, and change."""
        letter, some = chr(97 + self._chance.randrange(26)), self._some(number)
        sql.execute(
            "INSERT INTO wide SELECT %s::bigint + i, 'new', repeat(%s::text, %s::int) "
            "FROM generate_series(1, 3) i",
            [number, letter, BODY],
        )
        sql.execute("UPDATE wide SET note = %s WHERE id = %s", [str(number), some + 1])
        sql.execute(
            "UPDATE wide SET body = repeat(%s::text, %s::int) WHERE id = %s", [letter, BODY + 1, some + 3]
        )

    def _copied(self, sql: psycopg.Connection, number: int) -> None:
        """Many rows at one position of the log."""
        with sql.cursor() as cursor, cursor.copy("COPY bulk (id, amount) FROM STDIN") as copy:
            for row in range(COPIED):
                copy.write_row((number + row, row))
        sql.execute("UPDATE bulk SET amount = amount + 1 WHERE id BETWEEN %s AND %s", [number, number + 9])

    def _tallied(self, sql: psycopg.Connection, number: int) -> None:
        """Equal rows, of which one is changed and one goes."""
        kind = self._chance.choice("abcde")
        one = "WHERE ctid = (SELECT ctid FROM tally WHERE kind = %s LIMIT 1)"
        sql.execute("INSERT INTO tally SELECT %s, i %% 3 FROM generate_series(1, 5) i", [kind])
        sql.execute(f"UPDATE tally SET amount = amount + 10 {one}", [kind])
        sql.execute(f"DELETE FROM tally {one}", [self._chance.choice("abcde")])

    def __enter__(self) -> Load:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self.join(60)
        assert not self.is_alive(), "the writer hangs"
        if self._error is not None and error is None:
            raise self._error


KINDS = (Load._lines, Load._moved_lines, Load._deleted, Load._wide, Load._copied, Load._tallied)
