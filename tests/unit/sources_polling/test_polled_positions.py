"""Stored positions of the polling and SQLite sources are read back, and no others are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from connectors.sources.polling import progress as polling
from connectors.sources.sqlite import progress as sqlite
from streams.errors import PositionLost

POLLED = polling.Progress(
    epoch=2,
    number=7,
    tables={
        "a.time": polling.TableProgress(datetime(2024, 2, 29, 12, 0, 0, 1, UTC), ("id", "at")),
        "a.decimal": polling.TableProgress(Decimal("1.50"), ("id", "v")),
        "a.integer": polling.TableProgress(2**70, ("id", "v")),
        "a.text": polling.TableProgress("2024-02-29 12:00", ("id", "at")),
        "a.empty": polling.TableProgress(None, ("id", "at")),
    },
)
FILE = sqlite.Progress(epoch=2, identity="f00", number=7, tables={"main.line": 3})


def test_what_is_stored_is_read() -> None:
    """With cursors of each type, none of them rounded."""
    assert polling.Progress.from_json(POLLED.to_json()) == POLLED
    assert sqlite.Progress.from_json(FILE.to_json()) == FILE


@pytest.mark.parametrize("kind", [polling.Progress, sqlite.Progress])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"\xff", "utf-8"),
        (b"7", "int"),
        (b'{"slot":"s"}', "of connector postgresql"),
        (b'{"connector":"mariadb"}', "of connector mariadb"),
        (b'{"connector":"%s","epoch":1}', "number|identity|tables"),
    ],
)
def test_what_another_wrote_is_refused(
    kind: type[polling.Progress | sqlite.Progress], value: bytes, words: str
) -> None:
    """In one line that says why."""
    connector = b"polling" if kind is polling.Progress else b"sqlite"
    with pytest.raises(PositionLost, match=words) as raised:
        kind.from_json(value.replace(b"%s", connector))
    assert "\n" not in str(raised.value)
