"""Reading chunks in parallel: threads for a small snapshot, processes for a large one.

Encoding rows is Python and holds the interpreter's lock, so that threads overlap with the server and
with the broker but not with each other; a process costs a second to start. The results come back in
the order of the chunks, and a bounded number of them is read ahead.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from types import TracebackType

from connectors.sources.postgres.chunks import Chunk
from connectors.sources.postgres.snapshot.copying import ChunkRows, Reader, ReaderSetup
from connectors.sources.running import StopSignal
from streams.errors import DependencyUnavailable

AHEAD = 1  # chunks read beyond one a reader: none of them waits for the broker
STOP_POLL_S = 0.2  # how soon a stop is seen while a chunk is awaited
_GC_THRESHOLD = 50_000  # rows are no cycles: see the command line's

_here = threading.local()  # of a reader's thread, which in a process is the main one


class Readers:
    """A context manager; ``count`` readers of ``setup``'s snapshot."""

    def __init__(self, setup: ReaderSetup, count: int, processes: bool) -> None:
        self._count = count
        self._opened: list[Reader] = []
        self._pool: Executor
        if processes:
            # Spawned: a fork would copy the producer's threads' locks.
            self._pool = ProcessPoolExecutor(
                count, multiprocessing.get_context("spawn"), _begin_process, (setup,)
            )
        else:
            self._pool = ThreadPoolExecutor(count, "snapshot", _begin_thread, (setup, self._opened))

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for reader in self._opened:
            reader.close()

    def read(self, chunks: Iterable[Chunk], stop: StopSignal) -> Iterator[ChunkRows]:
        """The chunks' rows, in their order; ends early when a stop is asked for. A reader's error is
        raised here; `DependencyUnavailable` when a process died."""
        waiting: deque[Future[ChunkRows]] = deque()
        upcoming = iter(chunks)
        try:
            while True:
                while len(waiting) < self._count + AHEAD and (chunk := next(upcoming, None)) is not None:
                    waiting.append(self._pool.submit(_read, chunk))
                if not waiting:
                    return
                found = _await(waiting.popleft(), stop)
                if found is None:
                    return
                yield found
        except BrokenExecutor:
            raise DependencyUnavailable(
                "a reader of the snapshot was killed; start the source again"
            ) from None


def _await(future: Future[ChunkRows], stop: StopSignal) -> ChunkRows | None:
    while not stop.is_set():
        try:
            return future.result(STOP_POLL_S)
        except NotYet:
            if future.done():
                raise
    return None


def _begin_thread(setup: ReaderSetup, opened: list[Reader]) -> None:
    _here.setup, _here.opened = setup, opened


def _begin_process(setup: ReaderSetup) -> None:
    _begin_thread(setup, [])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group: the parent decides
    gc.set_threshold(_GC_THRESHOLD)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed closes nothing: we would wait for it, holding the snapshot, for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read(chunk: Chunk) -> ChunkRows:
    reader: Reader | None = getattr(_here, "reader", None)
    if reader is None:  # not in the initializer, which would hide why it failed
        reader = _here.reader = Reader(_here.setup)
        _here.opened.append(reader)
    return reader.read(chunk)
