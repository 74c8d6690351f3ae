"""Which columns of which tables are left out, masked, hashed, or published as text.

Rules are compiled into a table's encoders: a column without any costs nothing. Whoever makes tables
gives the source's whole configuration: a reader that forgot the rules would publish clear values.
"""

from __future__ import annotations

import functools
import hmac
import os
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import psycopg

from connectors.sources import avro
from connectors.sources.postgres.types.values import MEMO, ColumnType, nothing
from streams.errors import ConfigurationError, ContractViolation

LEFT_OUT = "left out"
HASH_KEY_BYTES = 16  # a shorter key could be guessed, and with it every value that has few


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """The rules of a source. Columns are named ``schema.table.column``."""

    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    mask: Mapping[str, str] | None = None
    mask_null: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    as_text: frozenset[str] = frozenset()
    hash_key_env: str | None = None
    hash_key_file: Path | None = None

    def check(self) -> None:
        """`ValueError` when the rules contradict each other or the key of the hashes is not given."""
        seen: dict[str, str] = {}
        for option, column in self._named():
            if option in ("columns_include", "as_text"):
                continue
            if column in seen:
                raise ValueError(f"{column} is named by {seen[column]} and by {option}; name it once")
            seen[column] = option
        keys = sum(given is not None for given in (self.hash_key_env, self.hash_key_file))
        if self.hashed and keys != 1:
            raise ValueError("hash needs exactly one of hash_key_env and hash_key_file")
        for option, column in self._named():
            if column.count(".") < 2:
                raise ValueError(f"{option}: {column!r} is not schema.table.column")

    def verify(self, connection: psycopg.Connection) -> None:
        """`ConfigurationError` when a rule names a column that is not there: a slip would publish it."""
        for option, column in self._named():
            row = connection.execute(
                "SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname || '.' || c.relname || '.' || a.attname = %s "
                "AND a.attnum > 0 AND NOT a.attisdropped",
                [column],
            ).fetchone()
            if row is None:
                raise ConfigurationError(f"{option}: there is no column {column}; correct or remove it")

    def of(self, table: str) -> TableRules:
        """The rules of one table, by its full name. `ConfigurationError` when the hash key can't be had."""
        prefix = f"{table}."

        def ours(columns: frozenset[str]) -> frozenset[str]:
            return frozenset(one.removeprefix(prefix) for one in columns if one.startswith(prefix))

        masks = {
            one.removeprefix(prefix): text
            for one, text in (self.mask or {}).items()
            if one.startswith(prefix)
        }
        hashed = ours(self.hashed)
        key = self._hash_key() if hashed else b""
        return TableRules(
            table,
            ours(self.exclude),
            ours(self.include),
            {
                **{column: _masked(text) for column, text in masks.items()},
                **{column: _hashed(key) for column in hashed},
            },
            ours(self.mask_null),
            hashed,
            ours(self.as_text),
        )

    def _named(self) -> Iterator[tuple[str, str]]:
        """Each option and a column that it names."""
        for option, columns in (
            ("columns_exclude", self.exclude),
            ("columns_include", self.include),
            ("mask", self.mask or {}),
            ("mask_null", self.mask_null),
            ("hash", self.hashed),
            ("as_text", self.as_text),
        ):
            for column in sorted(columns):
                yield option, column

    def _hash_key(self) -> bytes:
        if self.hash_key_file is not None:
            where = f"hash_key_file: {self.hash_key_file}"
            try:
                key = self.hash_key_file.read_bytes().strip()
            except OSError as error:
                raise ConfigurationError(f"{where}: cannot be read: {error.strerror}") from None
        else:
            where = f"hash_key_env: environment variable {self.hash_key_env}"
            key = os.environ.get(str(self.hash_key_env), "").encode()
        if len(key) < HASH_KEY_BYTES:
            raise ConfigurationError(
                f"{where} holds {len(key)} bytes; a key has at least {HASH_KEY_BYTES}, say those of openssl rand -hex 32"
            )
        return key


@dataclass(frozen=True, slots=True)
class TableRules:
    """The rules of one table, by column."""

    table: str
    exclude: frozenset[str]
    include: frozenset[str]
    replaced: Mapping[str, ColumnType]
    nulled: frozenset[str]
    hashed: frozenset[str]
    as_text: frozenset[str]

    def check_key(self, key: tuple[str, ...]) -> None:
        """`ConfigurationError` when a key column would be missing or masked: rows could not be told apart."""
        for option, columns in (
            ("columns_exclude", self.exclude),
            ("mask", self.replaced.keys() - self.hashed),
            ("mask_null", self.nulled),
        ):
            for column in key:
                if column in columns:
                    raise ConfigurationError(
                        f"{option}: {self.table}.{column} is a key column, which rows are told apart by; "
                        "remove it, or name it in hash"
                    )

    def check_shape(self, columns: Set[str], current: Set[str]) -> None:
        """`ContractViolation` when the log's shape lacks a column of a rule and may have it by another name.

        It may not when the column exists and all the others do: then it was added later.
        """
        protected = self.exclude | self.replaced.keys() | self.nulled
        for column in sorted(protected - columns):
            if column not in current or not columns <= current:
                raise ContractViolation(
                    f"{self.table}: column {column}, which is not to be published in clear, is not among "
                    f"{', '.join(sorted(columns))}; if it was renamed, correct the configuration"
                )

    def publishes(self, column: str, key: tuple[str, ...]) -> bool:
        """Whether a column is published at all; the key's always are."""
        if column in key:
            return True
        return column not in self.exclude and (not self.include or column in self.include)

    def form(self, column: str, key: tuple[str, ...]) -> str:
        """How a column is published, in a word that changes when its values come out as others."""
        if not self.publishes(column, key):
            return LEFT_OUT
        forms = (
            ("null", self.nulled),
            ("hash", self.hashed),
            ("mask", self.replaced),
            ("text", self.as_text),
        )
        return next((form for form, columns in forms if column in columns), "clear")

    def treat(self, column: str, kind: ColumnType) -> ColumnType:
        """A column's type as it is to be published."""
        if column in self.nulled:
            return ColumnType(kind.schema, nothing)
        return self.replaced.get(column, kind)


def _masked(text: str) -> ColumnType:
    encoded = avro.text(text)
    return ColumnType(
        {"type": "string", "connect.parameters": {"tallystream.masked": "fixed"}}, lambda raw: encoded
    )


def _hashed(key: bytes) -> ColumnType:
    """HMAC-SHA-256 of PostgreSQL's text of the value, in hexadecimal: the same in all columns of a key."""

    @functools.lru_cache(MEMO)
    def encode(raw: bytes) -> bytes:
        return avro.text(hmac.digest(key, raw, "sha256").hex())

    parameters = {"tallystream.hashed": "hmac-sha256"}
    return ColumnType({"type": "string", "connect.parameters": parameters}, encode)
