"""Statements of the log that change rows without logging them: what they do to which tables. Pure.

TRUNCATE empties a table. What drops, replaces or renames one, or moves its partitions, leaves other rows
behind than those that were published: such a table is emptied downstream and read again; so is one that gets
another primary key. What gives its rows other values, or a column of another name, leaves the same rows: they are
read again and go over the published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?:`(?:[^`]|``)+`|[\w$\u0080-\uffff]+)"
_TABLE = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_TABLES = rf"({_TABLE}(?:\s*,\s*{_TABLE})*)"
_LITERAL = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"", re.DOTALL)
# A comment that MariaDB executes ( /*! … */ ) is part of the statement, others are not.
_COMMENT = re.compile(r"/\*(?!!|M!).*?\*/|(?:--\s[^\n]*|#[^\n]*)(?:\n|$)", re.DOTALL)
_EXECUTED = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)


def _compile(pattern: str) -> re.Pattern[str]:
    """Blanks stand for one or more of any kind, ``~`` for any number of them."""
    return re.compile(pattern.replace(" ", r"\s+").replace("~", r"\s*"), re.IGNORECASE | re.DOTALL)


_TRUNCATE = _compile(rf"\s*TRUNCATE(?: TABLE)? ({_TABLE})")
_DROP = _compile(rf"\s*DROP TABLE(?: IF EXISTS)? {_TABLES}")
_DROP_SCHEMA = _compile(rf"\s*DROP (?:DATABASE|SCHEMA)(?: IF EXISTS)? ({_NAME})")
_REPLACE = _compile(rf"\s*CREATE OR REPLACE TABLE(?: IF NOT EXISTS)? ({_TABLE})")
_RENAME = _compile(r"\s*RENAME TABLES?(?: IF EXISTS)? (.*)")
_ALTER = _compile(rf"\s*ALTER(?: ONLINE)?(?: IGNORE)? TABLE(?: IF EXISTS)? ({_TABLE})(.*)")
_RENAMED = _compile(rf"\bRENAME\b~(?:(?:TO|AS)\b~|=~)?(?!COLUMN\b|INDEX\b|KEY\b)({_TABLE})")
# Of a new column rows have values that nobody wrote, unless it is null in them. One that is dropped, too, may have
# been another of that name, whose values are published.
_ADDED = _compile(
    r"\bADD\b~(?:COLUMN\b~)?(?:IF NOT EXISTS )?(?:\(|(?!(?:INDEX|KEY|CONSTRAINT|PRIMARY|UNIQUE|FULLTEXT|SPATIAL"
    rf"|FOREIGN|CHECK|PARTITION|PERIOD|SYSTEM|VECTOR)\b)({_NAME}))"
)
_GIVEN = _compile(r"\b(?:NOT NULL|DEFAULT(?! NULL\b)|AUTO_INCREMENT|AS~\(|SERIAL|TIMESTAMP)")
_DROPPED = _compile(rf"\bDROP\b~(?:COLUMN\b~)?(?:IF EXISTS )?({_NAME})")
_CONVERTED = _compile(rf"\b(?:MODIFY|CHANGE|RENAME COLUMN)\b~(?:COLUMN\b~)?(?:IF EXISTS )?({_NAME})")
_REWRITTEN = _compile(r"\bCONVERT TO\b|\bIMPORT TABLESPACE\b")
_KEY = _compile(r"\bPRIMARY KEY\b")
_PARTITION = _compile(r"\b(?:DROP|TRUNCATE|EXCHANGE|CONVERT) (?:PARTITION|TABLE)\b")
_CHANGES_ROWS = _compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE|LOAD|WITH)\b")


@dataclass(frozen=True, slots=True)
class Effect:
    """``emptied`` are left without rows; ``rewritten`` too, and what they hold now must be read again.
    ``altered`` keep their rows, which must be read again; unless one of ``columns``, which are of them, is of
    their key: then they are rewritten.

    All but these are ``schema.table``; a table ``*`` is all of a schema.
    """

    emptied: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def effect(text: str, schema: str) -> Effect:
    """What a statement that was run in ``schema`` does."""
    text = _plain_text(text)
    if match := _TRUNCATE.match(text):
        return Effect(emptied=_names(match.group(1), schema))
    if match := _DROP.match(text) or _REPLACE.match(text):
        return Effect(rewritten=_names(match.group(1), schema))
    if match := _DROP_SCHEMA.match(text):
        return Effect(rewritten=(f"{_plain(match.group(1))}.*",))
    if match := _RENAME.match(text):
        return Effect(rewritten=_names(match.group(1), schema))
    if match := _ALTER.match(text):
        target, rest = match.groups()
        if renamed := _RENAMED.search(rest):
            return Effect(rewritten=_names(target, schema) + _names(renamed.group(1), schema))
        if _PARTITION.search(rest):
            return Effect(rewritten=_names(target, schema))
        if _KEY.search(rest):
            return Effect(rewritten=_names(target, schema))
        columns = tuple(_plain(name) for name in _CONVERTED.findall(rest))
        if columns or _REWRITTEN.search(rest) or _adds_values(rest):
            return Effect(altered=_names(target, schema), columns=columns)
    return Effect()


def changes_rows(text: str) -> bool:
    """Whether a statement in the log is a change of rows, logged as text."""
    return _CHANGES_ROWS.match(_COMMENT.sub(" ", text)) is not None


def _adds_values(rest: str) -> bool:
    """Whether columns are added of which rows have values, or in place of others of that name."""
    added = [_plain(name).lower() for name in _ADDED.findall(rest)]  # "" for a list of them
    dropped = {_plain(name).lower() for name in _DROPPED.findall(rest)}
    return bool(added) and (_GIVEN.search(rest) is not None or not dropped.isdisjoint(added))


def _plain_text(text: str) -> str:
    """Without comments, and without what stands in quotes, which may look like one."""
    return _COMMENT.sub(" ", _EXECUTED.sub(r" \1 ", _LITERAL.sub("''", text)))


def _names(text: str, schema: str) -> tuple[str, ...]:
    found = []
    for match in re.finditer(_TABLE, text):
        parts = [_plain(part) for part in re.findall(_NAME, match.group())]
        if (
            len(parts) == 1
            and parts[0].upper() in ("TO", "WAIT", "NOWAIT")
            and not match.group().startswith("`")
        ):
            continue
        found.append(".".join(parts if len(parts) == 2 else [schema, parts[0]]))
    return tuple(found)


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name
