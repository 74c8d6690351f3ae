"""The change table and the triggers that fill it: SQL as text. Pure.

    tallystream_change    one row a change: table, op (c, u, d), milliseconds, images as JSON
    tallystream_replaced  rows that the statement at hand may be about to replace
    tallystream_source    whose change table this is, and which: a copy of the file keeps it

An image is a JSON object by column name; in it an integer is a number, null is null, and anything
else a string whose first letter says what it is: ``t`` a text, ``r`` a real with 20 digits (17 do
not always read back as the same number), ``b`` a blob in hex. A table of many columns has its image
as an array of such objects, for functions of SQLite take at most 100 arguments.

REPLACE removes rows that collide with the new one without firing delete triggers. So before an insert
or update the rows are noted that it collides with by a unique constraint, and after it those of them
that are gone are recorded as deleted. What an OR IGNORE notes in vain, the next statement throws away.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.sources.sqlite.shape import MAX_KEY, OURS, Shape

CHANGES = f"{OURS}change"
REPLACED = f"{OURS}replaced"
SOURCE = f"{OURS}source"
_COLUMNS_AT_ONCE = 45  # two arguments each
_NOW_MS = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"

TABLES = (
    # AUTOINCREMENT: numbers of deleted rows are not given again.
    f"CREATE TABLE IF NOT EXISTS {CHANGES} (seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, "
    "op TEXT NOT NULL, at_ms INTEGER NOT NULL, before TEXT, after TEXT)",
    f"CREATE TABLE IF NOT EXISTS {REPLACED} (tbl, {', '.join(f'k{n}' for n in range(MAX_KEY))}, before)",
    f"CREATE TABLE IF NOT EXISTS {SOURCE} (name TEXT NOT NULL, identity TEXT NOT NULL)",
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def image(columns: Sequence[str], of: str) -> str:
    """The expression that makes the image of row ``of`` (NEW, OLD or a table's alias)."""
    objects = []
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        pairs = ", ".join(
            f"{text(name)}, {_tagged(f'{of}.{quoted(name)}')}"
            for name in columns[start : start + _COLUMNS_AT_ONCE]
        )
        objects.append(f"json_object({pairs})")
    return objects[0] if len(objects) == 1 else "'[' || " + " || ',' || ".join(objects) + " || ']'"


def _tagged(value: str) -> str:
    return (
        f"CASE typeof({value}) WHEN 'text' THEN 't' || {value} WHEN 'real' THEN 'r' || printf('%!.20g', {value}) "
        f"WHEN 'blob' THEN 'b' || hex({value}) ELSE {value} END"
    )


def record(shape: Shape, op: str, before: str, after: str, rest: str = "") -> str:
    """The statement that adds to the change table."""
    return (
        f"INSERT INTO {CHANGES} (tbl, op, at_ms, before, after) "
        f"SELECT {text(shape.table)}, {text(op)}, {_NOW_MS}, {before}, {after}{rest}"
    )


def triggers(shape: Shape) -> dict[str, str]:
    """The table's triggers by name, each as the statement that makes it."""
    table = quoted(shape.table)
    new, old = image(shape.names, "NEW"), image(shape.names, "OLD")
    bodies = {
        "insert": ("AFTER INSERT", [record(shape, "c", "NULL", new)]),
        "update": ("AFTER UPDATE", [record(shape, "u", old, new)]),
        "delete": ("AFTER DELETE", [record(shape, "d", old, "NULL")]),
    }
    if shape.uniques or shape.hidden_rowid:
        forget = f"DELETE FROM {REPLACED} WHERE tbl = {text(shape.table)}"
        gone = record(
            shape, "d", "r.before", "NULL",
            f" FROM {REPLACED} r WHERE r.tbl = {text(shape.table)} AND NOT EXISTS "
            f"(SELECT 1 FROM {table} AS t WHERE {_is_key(shape, 't', 'r')})",
        )  # fmt: skip
        for name in ("insert", "update"):
            bodies[name] = (bodies[name][0], [gone, forget, *bodies[name][1]])
        # Where the writer has recursive_triggers on, a replaced row is recorded here.
        noted = " AND ".join(f"k{n} IS OLD.{quoted(one)}" for n, one in enumerate(shape.key))
        bodies["delete"][1].append(f"{forget} AND {noted}")
        itself = " AND ".join(f"t.{quoted(one)} IS OLD.{quoted(one)}" for one in shape.key)
        bodies["before_insert"] = ("BEFORE INSERT", [forget, _note(shape, "")])
        bodies["before_update"] = ("BEFORE UPDATE", [forget, _note(shape, f" AND NOT ({itself})")])
    return {
        f"{OURS}{name}_{shape.table}": (
            f"CREATE TRIGGER {quoted(f'{OURS}{name}_{shape.table}')} {when} ON {table} BEGIN "
            + "".join(f"{statement}; " for statement in statements)
            + "END"
        )
        for name, (when, statements) in bodies.items()
    }


def _is_key(shape: Shape, row: str, noted: str) -> str:
    return " AND ".join(f"{row}.{quoted(one)} IS {noted}.k{n}" for n, one in enumerate(shape.key))


def _note(shape: Shape, except_for: str) -> str:
    collisions = [
        " AND ".join(
            f"t.{quoted(name)} = NEW.{quoted(name)} COLLATE {quoted(coll)}" for name, coll in one.columns
        )
        for one in shape.uniques
    ]
    if shape.hidden_rowid:
        collisions.append("t.rowid = NEW.rowid")
    keys = ", ".join(f"k{n}" for n in range(len(shape.key)))
    values = ", ".join(f"t.{quoted(one)}" for one in shape.key)
    where = " OR ".join(f"({one})" for one in collisions)
    return (
        f"INSERT INTO {REPLACED} (tbl, {keys}, before) SELECT {text(shape.table)}, {values}, "
        f"{image(shape.names, 't')} FROM {quoted(shape.table)} AS t WHERE ({where}){except_for}"
    )
