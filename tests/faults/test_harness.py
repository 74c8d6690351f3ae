"""What the fault tests rest on, without any server: a judge that sees, a proxy that breaks what it should."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest
from integration.sources.harness import Message
from support.faults.judge import difference, fold
from support.faults.proxy import HOST, Proxy

COLUMNS = ["id", "note"]
_ordinals = itertools.count()


def change(key: int | None, before: Any, after: Any, unchanged: bytes = b"[]") -> Message:
    rows = [None if note is None else {"id": key, "note": note} for note in (before, after)]
    value = {"op": "u", "before": rows[0], "after": rows[1]}
    headers = {"tallystream.unchanged": unchanged, "tallystream.position": f"1/1/{next(_ordinals)}".encode()}
    return Message(0, 0, None if key is None else {"id": key}, value, headers)


HISTORY = [change(1, None, "a"), change(2, None, "b"), change(1, "a", "c"), change(2, "b", None)]


def test_the_judge_folds_by_key() -> None:
    """Updates replace, deletes remove, a value that was left out stays."""
    assert fold(HISTORY, COLUMNS) == Counter([(1, "c")])
    left_out = change(1, "a", "gone", b'["note"]')
    assert left_out.value is not None
    left_out.value["after"]["note"] = None
    assert fold([*HISTORY, left_out], COLUMNS) == Counter([(1, "c")])


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_the_judge_sees_a_lost_change(lost: int) -> None:
    """An insert, an update or a delete that is not there; only an insert that was updated since is not missed."""
    found = fold([one for at, one in enumerate(HISTORY) if at != lost], COLUMNS)
    assert difference(Counter([(1, "c")]), found) == (0 if lost == 0 else 1)


def test_the_judge_counts_rows_without_a_key() -> None:
    """One too many and one too few are each a difference; a row that goes without having come is an error."""
    twice = [change(None, None, "a"), change(None, None, "a")]
    assert fold(twice, COLUMNS) == Counter({(None, "a"): 2})
    assert difference(Counter({(None, "a"): 1}), fold(twice, COLUMNS)) == 1
    assert difference(Counter({(None, "a"): 3}), fold(twice, COLUMNS)) == 1
    with pytest.raises(AssertionError, match="not there"):
        fold([change(None, "a", None)], COLUMNS)


def test_the_judge_counts_in_the_order_of_positions() -> None:
    """Records without a key lie on any partition; a truncate takes back what stands before it."""
    first, truncate, second = change(None, None, "a"), change(None, None, None), change(None, None, "b")
    assert truncate.value is not None
    truncate.value["op"] = "t"
    assert fold([second, first, truncate], COLUMNS) == Counter({(None, "b"): 1})


def echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except ConnectionResetError:
            return


def test_the_proxy_holds_and_resets() -> None:
    """Bytes arrive, are kept while held in either direction, arrive after healing; a cut is a reset."""
    with socket.create_server((HOST, 0)) as listener:
        server = threading.Thread(target=echo, args=(listener,))
        server.start()
        with (
            Proxy(listener.getsockname()[1]) as proxy,
            socket.create_connection((HOST, proxy.port)) as client,
        ):
            client.settimeout(0.3)
            client.sendall(b"first")
            assert client.recv(100) == b"first"
            total = len(b"first")
            for up, down in ((True, True), (True, False), (False, True)):
                deadline = (
                    time.monotonic() + 5
                )  # bytes are counted once they are sent, which may be a bit later
                while (proxy.up.passed, proxy.down.passed) != (total, total) and time.monotonic() < deadline:
                    time.sleep(0.001)
                proxy.hold(up=up, down=down)
                passed = (proxy.up.passed, proxy.down.passed)
                assert passed == (total, total)
                total += len(b"held")
                client.sendall(b"held")
                with pytest.raises(TimeoutError):
                    client.recv(100)
                assert (proxy.up.passed, proxy.down.passed) == (passed[0] + (0 if up else 4), passed[1])
                assert (proxy.up.waiting, proxy.down.waiting) == ((4, 0) if up else (0, 4))
                proxy.heal()
                assert client.recv(100) == b"held"
            assert proxy.cut() == 1
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        server.join(5)
        assert not server.is_alive(), "the other side was not cut"
