"""Views and functions of this version in place of those of another; who may read them, and what else reads them, stays.

Where its columns allow it a view is replaced as it is. Else it is dropped, with ours that read it, and made again with
the grants it had. A view of somebody else's that reads it is in the way then, and its owner has to drop it first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2.errors
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from connectors.sinks.warehouse.functions import FUNCTIONS, create_function
from connectors.sinks.warehouse.views import VIEWS
from streams.errors import ContractViolation

# What others than its owner may do with a relation or a function; of its columns, too.
_GRANTS_OF_VIEW = text("""
SELECT acl.privilege_type || coalesce(' (' || quote_ident(given.attname) || ')', '') AS privilege,
       CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS grantee, acl.is_grantable
FROM (
    SELECT NULL AS attname, relacl AS acls, relowner FROM pg_class WHERE oid = to_regclass(:name)
    UNION ALL
    SELECT attname, attacl, relowner FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE attrelid = to_regclass(:name) AND NOT attisdropped
) AS given, aclexplode(given.acls) AS acl
WHERE acl.grantee <> given.relowner ORDER BY 1, 2""")
_COLUMNS = text(
    "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0"
)
_READERS = text("""
WITH RECURSIVE readers AS (
    SELECT to_regclass(:name)::oid AS view, 0 AS depth
    UNION
    SELECT rule.ev_class, readers.depth + 1
    FROM readers
    JOIN pg_depend AS need ON need.refobjid = readers.view AND need.refclassid = 'pg_class'::regclass
         AND need.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = need.objid AND rule.ev_class <> readers.view
)
SELECT relname FROM readers JOIN pg_class ON pg_class.oid = view GROUP BY relname ORDER BY max(depth) DESC""")

Grants = list[tuple[str, str, bool]]


def create_views(connection: Connection) -> None:
    """Create or replace the views and functions that are not of this version: replacing locks out their readers.

    `ContractViolation` names what else reads one that has to be dropped.
    """
    grants: dict[str, Grants] = {}
    for name, query in VIEWS.items():
        _create_view(connection, name, query, grants)
    for name, granted in grants.items():
        _restore(connection, name, granted)
    for name in FUNCTIONS:
        _create_function(connection, name)


def _create_view(connection: Connection, name: str, query: str, grants: dict[str, Grants]) -> None:
    version = _version(query)
    found = connection.scalar(text("SELECT obj_description(to_regclass(:name), 'pg_class')"), {"name": name})
    if found == version:
        return
    if not _is_replaced(connection, f"CREATE OR REPLACE VIEW {name} AS{query}"):
        for view in _ours_that_read(connection, name):
            grants[view] = [(*row,) for row in connection.execute(_GRANTS_OF_VIEW, {"name": view})]
            with _in_the_way(f"view {view}"):
                connection.exec_driver_sql(f"DROP VIEW {view}")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS{query}")
    connection.exec_driver_sql(f"COMMENT ON VIEW {name} IS '{version}'")


def _create_function(connection: Connection, name: str) -> None:
    statement = create_function(name)
    version = _version(statement)
    found = connection.scalar(text("SELECT obj_description(to_regproc(:name), 'pg_proc')"), {"name": name})
    if found == version:
        return
    if not _is_replaced(connection, statement, function=name):
        with _in_the_way(f"function {name}"):
            connection.exec_driver_sql(f"DROP FUNCTION {name}")
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"COMMENT ON FUNCTION {name} IS '{version}'")


def _is_replaced(connection: Connection, statement: str, *, function: str | None = None) -> bool:
    """Whether a replacement could be made; not if columns of a view, or parameters of a function, are others."""
    try:
        with connection.begin_nested() as attempt:
            connection.exec_driver_sql(statement)
            if function is not None:
                # Of other parameters there are two of the name now, which is no name then.
                names_one = text("SELECT to_regproc(:name) IS NOT NULL")
                if not connection.scalar(names_one, {"name": function}):
                    attempt.rollback()
                    return False
    except DBAPIError as error:
        if isinstance(
            error.orig,
            psycopg2.errors.InvalidTableDefinition | psycopg2.errors.InvalidFunctionDefinition,
        ):
            return False
        raise
    return True


def _restore(connection: Connection, name: str, granted: Grants) -> None:
    """Give a view that was made again the grants it had, and no other."""
    for _, holder, _ in connection.execute(_GRANTS_OF_VIEW, {"name": name}).all():
        connection.exec_driver_sql(f"REVOKE ALL ON {name} FROM {holder}")
    columns = set(connection.scalars(_COLUMNS, {"name": name}))
    for privilege, holder, is_grantable in granted:
        of_column = re.search(r" \((.*)\)$", privilege)
        if of_column is None or of_column[1] in columns:
            option = " WITH GRANT OPTION" if is_grantable else ""
            connection.exec_driver_sql(f"GRANT {privilege} ON {name} TO {holder}{option}")


@contextmanager
def _in_the_way(ours: str) -> Iterator[None]:
    """`ContractViolation` with the names of what depends on something that is to be dropped."""
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg2.errors.DependentObjectsStillExist):
            raise
        others = "; ".join((error.orig.diag.message_detail or "").splitlines())
        raise ContractViolation(
            f"{ours} of the warehouse has to be replaced, and something else reads it: {others}; drop that, start "
            "the sink, and create it again"
        ) from None


def _version(statement: str) -> str:
    return f"tallystream {hashlib.sha256(statement.encode()).hexdigest()[:16]}"


def _ours_that_read(connection: Connection, name: str) -> list[str]:
    """A view of ours and those that read it in the database, before what they read themselves."""
    return [view for view in connection.scalars(_READERS, {"name": name}) if view in VIEWS]
