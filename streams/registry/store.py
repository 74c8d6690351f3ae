"""The registry's rules and its SQLite file: ids, subjects, versions, compatibility levels."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from streams.registry import errors
from streams.registry.compatibility import Compatibility, check_compatibility
from streams.registry.schemas import AvroSchema, InvalidSchema, parse_schema

DEFAULT_LEVEL = Compatibility.BACKWARD  # Confluent's
BUSY_TIMEOUT_S = 5.0  # somebody may look into the file while it runs

TABLES = """
CREATE TABLE IF NOT EXISTS schemas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,   -- never given twice, not even after a permanent delete
    identity TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS versions (
    subject TEXT NOT NULL,
    version INTEGER NOT NULL,
    schema_id INTEGER NOT NULL REFERENCES schemas (id),
    deleted INTEGER NOT NULL DEFAULT 0,     -- softly: hidden, but its id still answers
    PRIMARY KEY (subject, version)
);
CREATE INDEX IF NOT EXISTS versions_by_schema ON versions (schema_id);
CREATE TABLE IF NOT EXISTS levels (subject TEXT PRIMARY KEY, level TEXT NOT NULL);
"""
GLOBAL = ""  # the subject under which the global level is kept


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a subject; ``text`` is its schema."""

    subject: str
    version: int
    schema_id: int
    deleted: bool
    text: str


class Store:
    """All methods raise `RegistryError` with Confluent's code where the registry would."""

    def __init__(self, database: Path | str) -> None:
        self._connection = sqlite3.connect(database, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        self._connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {TABLES}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def register(self, subject: str, text: str) -> Version:
        """The version that holds the schema: an old one if the subject has it, else a new one."""
        schema = _parse(text)
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            version = self._registered(subject, schema)
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return version

    def _registered(self, subject: str, schema: AvroSchema) -> Version:
        existing = self._find(subject, schema, deleted=False)
        if existing is not None:
            return existing
        problems = self.incompatibilities(subject, schema, self.level(subject))
        if problems:
            raise errors.incompatible(problems)
        add = "INSERT INTO schemas (identity, text) VALUES (?, ?) ON CONFLICT (identity) DO NOTHING"
        self._connection.execute(add, (schema.identity, schema.text))
        (schema_id,) = self._connection.execute(
            "SELECT id FROM schemas WHERE identity = ?", (schema.identity,)
        ).fetchone()
        (last,) = self._connection.execute(
            "SELECT coalesce(max(version), 0) FROM versions WHERE subject = ?", (subject,)
        ).fetchone()
        self._connection.execute(
            "INSERT INTO versions (subject, version, schema_id) VALUES (?, ?, ?)",
            (subject, last + 1, schema_id),
        )
        return self.version(subject, last + 1)

    def lookup(self, subject: str, text: str, *, deleted: bool) -> Version:
        """The subject's version with this schema."""
        schema = _parse(text)
        self._require_subject(subject, deleted=deleted)
        found = self._find(subject, schema, deleted=deleted)
        if found is None:
            raise errors.schema_not_found()
        return found

    def schema_text(self, schema_id: int) -> str:
        """The schema with an id, whatever became of its subjects."""
        row = self._connection.execute("SELECT text FROM schemas WHERE id = ?", (schema_id,)).fetchone()
        if row is None:
            raise errors.schema_not_found(schema_id)
        return str(row[0])

    def uses(self, schema_id: int, *, deleted: bool) -> list[Version]:
        """The versions that hold the schema with an id."""
        self.schema_text(schema_id)
        return self._select("schema_id = ?", (schema_id,), deleted=deleted)

    def subjects(self, prefix: str = "", *, deleted: bool = False) -> list[str]:
        """All subjects, in order of their names."""
        found = {version.subject for version in self._select("1 = 1", (), deleted=deleted)}
        return sorted(subject for subject in found if subject.startswith(prefix))

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """The subject's versions, oldest first."""
        self._require_subject(subject, deleted=deleted)
        return self._select("subject = ?", (subject,), deleted=deleted)

    def version(self, subject: str, number: int | None, *, deleted: bool = False) -> Version:
        """One version; None is the latest."""
        versions = self.versions(subject, deleted=deleted)
        if number is None:
            return versions[-1]
        for version in versions:
            if version.version == number:
                return version
        raise errors.version_not_found(number)

    def delete_subject(self, subject: str, *, permanent: bool) -> list[int]:
        """Delete softly, or for good what was deleted softly before; return the versions."""
        everything = self._select("subject = ?", (subject,), deleted=True)
        alive = [version.version for version in everything if not version.deleted]
        if not everything:
            raise errors.subject_not_found(subject)
        if permanent:
            if alive:
                raise errors.subject_not_soft_deleted(subject)
            self._connection.execute("DELETE FROM versions WHERE subject = ?", (subject,))
            self._connection.execute("DELETE FROM levels WHERE subject = ?", (subject,))
            return [version.version for version in everything]
        if not alive:
            raise errors.subject_soft_deleted(subject)
        self._connection.execute("UPDATE versions SET deleted = 1 WHERE subject = ?", (subject,))
        return alive

    def delete_version(self, subject: str, number: int | None, *, permanent: bool) -> int:
        """Delete one version softly, or for good if it was deleted softly before; None is the latest."""
        version = self.version(subject, number, deleted=number is not None)
        where = "WHERE subject = ? AND version = ?"
        if permanent:
            if not version.deleted:
                raise errors.version_not_soft_deleted(subject, version.version)
            self._connection.execute(f"DELETE FROM versions {where}", (subject, version.version))
        else:
            if version.deleted:
                raise errors.version_soft_deleted(subject, version.version)
            self._connection.execute(f"UPDATE versions SET deleted = 1 {where}", (subject, version.version))
        return version.version

    def level(self, subject: str) -> Compatibility:
        """The level that counts for a subject: its own, else the global one."""
        return self.own_level(subject) or self.global_level()

    def own_level(self, subject: str) -> Compatibility | None:
        """The level set for the subject itself."""
        row = self._connection.execute("SELECT level FROM levels WHERE subject = ?", (subject,)).fetchone()
        return None if row is None else Compatibility(row[0])

    def global_level(self) -> Compatibility:
        """The level of subjects without their own."""
        return self.own_level(GLOBAL) or DEFAULT_LEVEL

    def set_level(self, subject: str | None, level: Compatibility) -> None:
        """Set a subject's level, or the global one (None)."""
        self._connection.execute(
            "INSERT INTO levels VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET level = excluded.level",
            (subject or GLOBAL, level.value),
        )

    def clear_level(self, subject: str | None) -> Compatibility:
        """Forget a subject's level, or the global one (None); return what it was."""
        previous = self.own_level(subject or GLOBAL)
        if subject and previous is None:
            raise errors.no_subject_level(subject)
        self._connection.execute("DELETE FROM levels WHERE subject = ?", (subject or GLOBAL,))
        return previous or DEFAULT_LEVEL

    def test(self, subject: str, text: str, number: int | None = None, *, all_versions: bool) -> list[str]:
        """Why the schema may not follow; against all versions, or one (None is the latest)."""
        schema, level = _parse(text), self.level(subject)
        if all_versions:
            return self.incompatibilities(subject, schema, level)
        if number is None:
            alive = self._select("subject = ?", (subject,), deleted=False)
            candidates = alive[-1:]
        else:
            candidates = [self.version(subject, number)]
        return check_compatibility(schema, [_parse(version.text) for version in candidates], level)

    def incompatibilities(self, subject: str, schema: AvroSchema, level: Compatibility) -> list[str]:
        """Why the schema may not be the subject's next version; empty if it may."""
        if level is Compatibility.NONE:
            return []
        alive = self._select("subject = ?", (subject,), deleted=False)
        if not level.transitive:
            alive = alive[-1:]
        return check_compatibility(schema, [_parse(version.text) for version in alive], level)

    def _require_subject(self, subject: str, *, deleted: bool) -> None:
        if not self._select("subject = ?", (subject,), deleted=deleted):
            raise errors.subject_not_found(subject)

    def _find(self, subject: str, schema: AvroSchema, *, deleted: bool) -> Version | None:
        found = self._select("subject = ? AND identity = ?", (subject, schema.identity), deleted=deleted)
        return found[-1] if found else None

    def _select(self, where: str, values: tuple[object, ...], *, deleted: bool) -> list[Version]:
        hidden = "" if deleted else "AND NOT deleted"
        rows = self._connection.execute(
            "SELECT subject, version, schema_id, deleted, text FROM versions JOIN schemas ON id = schema_id "
            f"WHERE {where} {hidden} ORDER BY subject, version",
            values,
        )
        return [Version(subject, number, key, bool(gone), text) for subject, number, key, gone, text in rows]


def _parse(text: str) -> AvroSchema:
    try:
        return parse_schema(text)
    except InvalidSchema as error:
        raise errors.invalid_schema(str(error)) from None
