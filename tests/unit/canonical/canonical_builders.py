"""Changes, headers and golden rows for the tests of the canonical flow."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from agents.canonical import SystemMapping, TableMapping, load_mappings

MAPPINGS = load_mappings()
NOW = datetime(2024, 5, 6, 12, tzinfo=UTC)
COMMIT_US = 1_714_989_600_000_000  # 2024-05-06T10:00:00Z


def _decimals(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"decimal"}:
            return Decimal(value["decimal"])
        return {key: _decimals(item) for key, item in value.items()}
    return value


GOLDEN: dict[str, dict[str, dict[str, dict[str, Any]]]] = _decimals(
    yaml.safe_load((Path(__file__).parent / "golden.yaml").read_text(encoding="utf-8"))
)


def row_of(system: str, table: str, **changes: Any) -> dict[str, Any]:
    """The golden row of a table, with some columns changed."""
    return {**copy.deepcopy(GOLDEN[system][table]["row"]), **changes}


def table_of(system: str, table: str) -> TableMapping:
    """The compiled mapping of a table."""
    found = MAPPINGS[system].tables[table]
    assert isinstance(found, TableMapping)
    return found


def mapping_of(system: str) -> SystemMapping:
    """The compiled mapping of a system."""
    return MAPPINGS[system]


def change(
    system: str,
    table: str,
    op: str = "c",
    after: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    **source: Any,
) -> dict[str, Any]:
    """An envelope as it is decoded."""
    block = {
        "version": "1",
        "connector": "postgresql",
        "name": f"cdc.{system}",
        "ts_ms": COMMIT_US // 1000,
        "ts_us": COMMIT_US,
        "ts_ns": COMMIT_US * 1000,
        "snapshot": "false",
        "db": system,
        "sequence": None,
        "schema": "public",
        "table": table,
        "txId": 7,
        "lsn": 500,
        "xmin": None,
    }
    return {
        "before": before,
        "after": after,
        "source": {**block, **source},
        "transaction": None,
        "op": op,
        "ts_ms": COMMIT_US // 1000 + 40,
        "ts_us": COMMIT_US + 40_000,
        "ts_ns": COMMIT_US * 1000 + 40_000_000,
    }


def headers(lsn: int = 500, ordinal: int = 0, last: bool = True, **more: bytes) -> dict[str, bytes]:
    """The headers that our sources send."""
    return {
        "tallystream.position": f"1/{lsn}/{ordinal}".encode(),
        "tallystream.last_for_key": b"1" if last else b"0",
        **{f"tallystream.{name}": value for name, value in more.items()},
    }
