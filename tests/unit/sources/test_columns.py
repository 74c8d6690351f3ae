"""The rules of columns: what they accept, what they leave out, and that no reader can go without them."""

from __future__ import annotations

import hmac
import multiprocessing
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader
from pydantic import ValidationError

from connectors.sources.postgres.config import PostgresConfig
from connectors.sources.postgres.rules import ColumnRules
from connectors.sources.postgres.tables import envelope as e
from connectors.sources.postgres.types.mapping import TypeInfo, column_type
from streams.errors import ConfigurationError, ContractViolation

INT = column_type(TypeInfo(23, "int4"), -1)
TEXT = column_type(TypeInfo(25, "text"), -1)
KEY = b"sixteen bytes ok"


def config(**more: Any) -> PostgresConfig:
    return PostgresConfig(**{"name": "rules", "dsn": "postgresql://h/d", "tables": ["a.t"], **more})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"mask": {"a.t.c": "x"}, "hash": ["a.t.c"], "hash_key_env": "K"},
            "a.t.c is named by mask and by hash",
        ),
        ({"columns_exclude": ["a.t.c"], "mask_null": ["a.t.c"]}, "columns_exclude and by mask_null"),
        ({"hash": ["a.t.c"]}, "hash needs exactly one of hash_key_env and hash_key_file"),
        ({"hash": ["a.t.c"], "hash_key_env": "K", "hash_key_file": "f"}, "hash needs exactly one"),
        ({"mask_null": ["t.c"]}, "mask_null: 't.c' is not schema.table.column"),
    ],
)
def test_rules_that_contradict(more: dict[str, Any], said: str) -> None:
    """Are refused as the file is read."""
    with pytest.raises(ValidationError, match=re.escape(said)):
        config(**more)


@pytest.mark.parametrize("key", [None, "short"])
def test_a_hash_key_that_is_none(key: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing or a short key is refused, and not shown."""
    monkeypatch.delenv("K", raising=False)
    if key is not None:
        monkeypatch.setenv("K", key)
    rules = ColumnRules(hashed=frozenset({"a.t.c"}), hash_key_env="K")
    with pytest.raises(ConfigurationError, match="at least 16") as raised:
        rules.of("a.t")
    assert "short" not in str(raised.value)
    rules.of("a.other")  # has no column to hash


def test_a_hash_key_from_a_file(tmp_path: Path) -> None:
    """Without the line's end; a file that is not there is named."""
    path = tmp_path / "key"
    rules = ColumnRules(hashed=frozenset({"a.t.c"}), hash_key_file=path)
    with pytest.raises(ConfigurationError, match=r"hash_key_file: .*key: cannot be read"):
        rules.of("a.t")
    path.write_bytes(KEY + b"\n")
    encoded = rules.of("a.t").treat("c", INT).encode(b"42")
    assert encoded[2:].decode() == hmac.digest(KEY, b"42", "sha256").hex()


def test_rows_without_the_columns_left_out() -> None:
    """The places of the others are kept; what is masked or null holds nothing of its value."""
    rules = ColumnRules(mask={"a.t.m": "***"}, mask_null=frozenset({"a.t.n"})).of("a.t")
    fields = [
        e.Field("id", "id", INT, False),
        e.Field("m", "m", rules.treat("m", INT), False),
        e.Field("n", "n", rules.treat("n", INT), True),
        e.Field("t", "t", rules.treat("t", TEXT), True),
    ]
    encoder = e.PartialRowEncoder(fields, [0, 2, 3, 5])
    encoded, special = encoder.encode((b"1", b"left out", b"secret", b"secret", b"left out", b"x"))
    row = e.value_schema("cdc.s.a.t", fields)["fields"][0]["type"][1]
    assert schemaless_reader(BytesIO(encoded), parse_schema({**row, "namespace": "n"}), None) == {
        "id": 1,
        "m": "***",
        "n": None,
        "t": "x",
    }
    assert special is None
    assert b"secret" not in encoded


@pytest.mark.parametrize(
    ("shape", "current", "fits"),
    [
        ({"id", "secret"}, {"id", "secret"}, True),
        ({"id"}, {"id", "secret"}, True),  # from before the column was added
        ({"id", "renamed"}, {"id", "renamed"}, False),
        ({"id", "old_name"}, {"id", "secret"}, False),  # from before the column got this name
        ({"id"}, set(), False),
    ],
)
def test_shapes_that_may_hold_a_secret_by_another_name(
    shape: set[str], current: set[str], fits: bool
) -> None:
    """Are refused, unless the column was certainly not there yet."""
    rules = ColumnRules(mask_null=frozenset({"a.t.secret"})).of("a.t")
    if fits:
        rules.check_shape(shape, current)
    else:
        with pytest.raises(ContractViolation, match="column secret"):
            rules.check_shape(shape, current)


def mask_of(given: PostgresConfig) -> Any:
    """Runs in another process."""
    return given.column_rules.mask


def test_a_reader_in_another_process_has_the_rules() -> None:
    """They are in the configuration that is sent there, though nothing validates it again."""
    sent = config(name="sent", mask={"a.t.c": "***"})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(mask_of, (sent,)) == {"a.t.c": "***"}
