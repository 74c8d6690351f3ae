"""Writers that go on while a source is killed."""

from __future__ import annotations

import random
import threading
import time

from integration.sources_mariadb.harness import Capture, connect

LINE = "CREATE TABLE line (id int PRIMARY KEY, cost decimal(12,2) NOT NULL, note text)"
COLUMNS = ("id", "cost", "note")


class Writers:
    """Threads that write to the table until they are stopped, in transactions of several rows."""

    def __init__(self, capture: Capture, count: int) -> None:
        self._capture = capture
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n + 1,)) for n in range(count)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        sql = connect(self._capture.server, database=self._capture.name)
        seed = random.Random(number)
        at = number * 1_000_000
        with sql.cursor() as cursor:
            while not self._stop.is_set():
                sql.begin()
                cursor.execute(
                    "INSERT INTO line VALUES (%s, 0, 'a'), (%s, 0, 'b'), (%s, 0, 'c')", [at, at + 1, at + 2]
                )
                cursor.execute("UPDATE line SET cost = cost + 1, note = 'u' WHERE id = %s", [at])
                if seed.random() < 0.3:
                    cursor.execute("DELETE FROM line WHERE id = %s", [at + 1])
                if seed.random() < 0.2:
                    cursor.execute("UPDATE line SET id = -id WHERE id = %s", [at + 2])
                sql.commit()
                at += 3
                time.sleep(0.003)
        sql.close()
