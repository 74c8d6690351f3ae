"""The readers-writer lock."""

from __future__ import annotations

import threading
import time

from streams.lanes.locking import ReadWriteLock


def test_readers_are_together_and_a_writer_alone() -> None:
    """Two readers are inside at once; a writer waits for both, and a later reader for the writer."""
    lock = ReadWriteLock()
    inside = threading.Barrier(2, timeout=5)
    leave = threading.Event()
    order: list[str] = []

    def read() -> None:
        with lock.read:
            inside.wait()
            leave.wait(5)
            order.append("reader")

    def write() -> None:
        with lock.write:
            order.append("writer")

    def read_late() -> None:
        with lock.read:
            order.append("late")

    first = [threading.Thread(target=read) for _ in range(2)]
    for thread in first:
        thread.start()
    while inside.n_waiting or lock._readers < 2:
        time.sleep(0.001)
    writer = threading.Thread(target=write)
    writer.start()
    while not lock._writers_waiting:
        time.sleep(0.001)
    late = threading.Thread(target=read_late)
    late.start()
    leave.set()
    for thread in (*first, writer, late):
        thread.join(5)
    assert order == ["reader", "reader", "writer", "late"]


def test_an_error_inside_releases_either_side() -> None:
    """What fails under the lock does not keep it."""
    lock = ReadWriteLock()
    for side in (lock.read, lock.write):
        try:
            with side:
                raise ValueError
        except ValueError:
            pass
    with lock.write:
        assert lock._writing
    with lock.read:
        assert lock._readers == 1
