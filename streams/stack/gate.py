"""A gate in front of the embedded broker: it makes fetches wait, and takes stale aborted transactions out.

noida-db answers a fetch that finds nothing at once instead of waiting for records. Clients then ask again
at once, ten thousand times a second each: a handful of idle consumers takes two cores. The gate asks the
broker again in the client's place, when something passed it that the client may see, until there is
something or the client's own time limit is over.

The broker also lists aborted transactions that ended before the fetched offset, for which clients drop
what the same producer committed later (see `streams.stack.fetches`). Everything else passes untouched.

The broker tells clients its own address; the gate puts its own in place of it. It listens on the
broker's port of another loopback address, so the replacement has the same length.

    python -m streams.stack.gate HOST PORT BROKER_HOST
"""

from __future__ import annotations

import asyncio
import signal
import struct
import sys
from collections import deque
from contextlib import suppress

from streams.stack.activity import (
    END_TRANSACTION,
    HIGHEST_END,
    HIGHEST_PRODUCE,
    PRODUCE,
    Activity,
    places_produced,
    transaction_of,
)
from streams.stack.fetches import (
    FETCH,
    HIGHEST,
    LOWEST,
    Aborted,
    aborted_entries,
    batches,
    fetch_offsets,
    fetch_request,
    is_empty,
    max_wait_seconds,
    strip_aborted,
)

# The versions that the gate reads; it tells clients that the broker knows no later ones.
API_VERSIONS = 18
THEIR_FETCH_RANGE = struct.pack(">hhh", FETCH, 0, 13)
THEIR_PRODUCE_RANGE = struct.pack(">hhh", PRODUCE, 0, 9)
UNKNOWN_REQUEST = b"\xff\xff\xff\xff"
OUR_FETCH_RANGE = struct.pack(">hhh", FETCH, 0, HIGHEST)
OUR_PRODUCE_RANGE = struct.pack(">hhh", PRODUCE, 0, HIGHEST_PRODUCE)
RANGES_AT = 7  # in an answer about versions, behind correlation, error and the list's length
# After records became visible that an answer does not have yet, the broker is asked again this soon, and
# without any such sign this often.
ASK_SECONDS = 0.004
IDLE_ASK_SECONDS = 0.05
# Metadata and coordinator answers are far smaller; record batches need no look.
LARGEST_WITH_ADDRESS = 256 * 1024
MAX_FRAME = 512 << 20


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MAX_FRAME:
        raise ConnectionError("frame too large")
    return await reader.readexactly(size)


def _framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


class Gate:
    """Listens on ``host:port`` for a broker on ``broker_host:port``."""

    def __init__(self, host: str, port: int, broker_host: str) -> None:
        self._host, self._port, self._broker_host = host, port, broker_host
        encoded = port.to_bytes(4, "big")
        self._theirs, self._ours = broker_host.encode() + encoded, host.encode() + encoded
        if len(self._theirs) != len(self._ours):
            raise ValueError("the gate's address must be as long as the broker's")
        # Where the transaction of an aborted entry ended; a producer has one at a time.
        self._ends: dict[tuple[str, int, int, int], int] = {}
        self._activity = Activity()

    async def serve(self) -> None:
        """Serve until cancelled."""
        server = await asyncio.start_server(self._connected, self._host, self._port, limit=4 << 20)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(self._broker_host, self._port, limit=4 << 20)
        except OSError:
            writer.close()
            return
        # Requests without an answer yet, in order, each with how far activity was when it was passed on.
        asked: deque[tuple[bytes, int]] = deque()
        pumps = {
            asyncio.ensure_future(self._requests(reader, up_writer, asked)),
            asyncio.ensure_future(self._responses(up_reader, writer, up_writer, asked)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, up_writer):
                end.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: deque[tuple[bytes, int]]
    ) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _read_frame(reader)
                waiting.append((frame, self._activity.now))
                writer.write(_framed(frame))
                await writer.drain()

    async def _responses(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asking: asyncio.StreamWriter,
        waiting: deque[tuple[bytes, int]],
    ) -> None:
        clock = asyncio.get_running_loop().time
        asked = 0.0
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await _read_frame(reader)
                # A produce request without acknowledgement has no answer: skip to the one that this is.
                while waiting and waiting[0][0][4:8] != frame[:4]:
                    waiting.popleft()
                request, then = waiting.popleft() if waiting else (UNKNOWN_REQUEST, 0)
                key, version = struct.unpack_from(">hh", request)
                if key == FETCH and LOWEST <= version <= HIGHEST:
                    now = clock()
                    asked = asked or now
                    left = asked + max_wait_seconds(request) - now
                    # With requests behind it the answer must not wait: answers come in order.
                    if is_empty(frame, version):
                        if not waiting and left > 0:
                            waiting.appendleft((request, await self._wait(request, version, then, left)))
                            asking.write(_framed(request))
                            continue
                    else:
                        frame = await self._without_stale_aborts(request, frame, version)
                    asked = 0.0
                else:
                    frame = self._seen(key, version, request, frame)
                writer.write(_framed(frame))
                await writer.drain()

    async def _wait(self, request: bytes, version: int, then: int, left: float) -> int:
        """Wait until the broker is worth asking again; returns how far activity is."""
        activity = self._activity
        places = fetch_offsets(request, version).keys()
        if activity.since(places, then):
            # Told already, and still nothing: another reader's records, or the broker is not as far yet.
            seen = activity.now
            await activity.wait(places, seen, min(left, ASK_SECONDS))
        else:
            await activity.wait(places, then, min(left, IDLE_ASK_SECONDS))
        return activity.now

    def _seen(self, key: int, version: int, request: bytes, frame: bytes) -> bytes:
        """Learn from an answer, and put the gate's address and versions in place of the broker's."""
        if key == PRODUCE and version <= HIGHEST_PRODUCE:
            self._activity.produced(transaction_of(request), places_produced(request))
        elif key == END_TRANSACTION and version <= HIGHEST_END:
            self._activity.ended(transaction_of(request))
        elif key == API_VERSIONS:
            ranges = frame[RANGES_AT:].replace(THEIR_FETCH_RANGE, OUR_FETCH_RANGE)
            return frame[:RANGES_AT] + ranges.replace(THEIR_PRODUCE_RANGE, OUR_PRODUCE_RANGE)
        elif len(frame) <= LARGEST_WITH_ADDRESS and self._theirs in frame:
            return frame.replace(self._theirs, self._ours)
        return frame

    async def _without_stale_aborts(self, request: bytes, frame: bytes, version: int) -> bytes:
        entries = aborted_entries(frame, version)
        if not entries:
            return frame
        offsets = fetch_offsets(request, version)
        stale = []
        for entry in entries:
            wanted = offsets.get((entry.topic, entry.partition), 0)
            if entry.first < wanted and await self._end_of(entry) < wanted:
                stale.append(entry)
        return strip_aborted(frame, version, stale)

    async def _end_of(self, entry: Aborted) -> int:
        """Offset of the marker that ended an aborted transaction; asked of the broker once."""
        key = (entry.topic, entry.partition, entry.producer, entry.first)
        if key not in self._ends:
            reader, writer = await asyncio.open_connection(self._broker_host, self._port, limit=32 << 20)
            try:
                self._ends[key] = await _find_marker(reader, writer, entry)
            finally:
                writer.close()
        return self._ends[key]


async def _find_marker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, entry: Aborted) -> int:
    at = entry.first
    while True:
        writer.write(_framed(fetch_request(entry.topic, entry.partition, at, at & 0x7FFFFFFF)))
        await writer.drain()
        answer = await _read_frame(reader)
        before = at
        for base, following, producer, is_control in batches(answer):
            if is_control and producer == entry.producer and base >= entry.first:
                return base
            at = max(at, following)
        if at == before:
            return at  # the log ends here, or retention took the marker: nothing of it can follow


async def _main(host: str, port: int, broker_host: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.ensure_future(Gate(host, port, broker_host).serve())
    stopping = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if serving in done:
        serving.result()  # e.g. the port is taken
    serving.cancel()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
