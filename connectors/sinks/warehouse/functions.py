"""Functions of the warehouse: questions that take a parameter. They run with the rights of who asks."""

from __future__ import annotations

from types import MappingProxyType

from connectors.sinks.warehouse.versions import WRITING


def _as_of(table: str) -> tuple[str, str, str]:
    """The rows of a table as they were reported at an instant."""
    return (
        f"(at timestamptz DEFAULT now()) RETURNS SETOF {table}_version",
        "plpgsql",
        f"BEGIN PERFORM versions_settled(at); RETURN QUERY SELECT * FROM {table}_version "
        "WHERE recorded_at <= at AND (superseded_at IS NULL OR superseded_at > at) AND NOT deleted; END",
    )


# By name: parameters and result, the language, the body.
FUNCTIONS = MappingProxyType(
    {
        # What could be billed ``days`` days before a day, or earlier, and is not.
        # Example: SELECT client_name, currency, sum(amount) FROM leakage('2026-04-30', 45) GROUP BY 1, 2;
        "leakage": (
            "(on_day date DEFAULT current_date, days integer DEFAULT 30) RETURNS TABLE ("
            "client_id text, client_name text, practice text, root_id text, entry_id text, segment text, "
            "currency text, seconds bigint, amount numeric, could_bill_on date, age_days integer, definition text)",
            "sql",
            "SELECT client_id, client_name, practice, root_id, entry_id, segment, currency, seconds, amount, "
            "could_bill_on, on_day - could_bill_on, definition "
            "FROM v_unbilled_age WHERE could_bill_on <= on_day - days",
        ),
        # Waits for the batch that the sink may be writing, of which a part may hold at that instant. What is in the
        # transaction by then is seen by its next statement, unless all of it sees what its first one saw.
        "versions_settled": (
            "(at timestamptz) RETURNS void",
            "plpgsql",
            "BEGIN "
            "IF at > clock_timestamp() THEN "
            "RAISE EXCEPTION USING MESSAGE = 'nothing is reported yet at ' || at || ', which is to come'; END IF; "
            "IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN "
            "RAISE EXCEPTION 'what was reported is asked for in a transaction of isolation level READ COMMITTED'; "
            "END IF; "
            # The lock is given back with the block, so that nobody who asks keeps the sink waiting.
            f"BEGIN PERFORM pg_advisory_xact_lock_shared({WRITING}); RAISE SQLSTATE 'TS001'; "
            "EXCEPTION WHEN SQLSTATE 'TS001' THEN NULL; END; "
            "END",
        ),
        # As reported at the end of a day: billing_as_of('2026-05-01') is what was said when April ended (UTC).
        # Example: SELECT bucket, currency, sum(amount) FROM billing_as_of('2026-05-01') GROUP BY 1, 2;
        "billing_as_of": _as_of("billing_current"),
        "revenue_as_of": _as_of("revenue_current"),
        "utilization_daily_as_of": _as_of("utilization_daily"),
        "utilization_window_as_of": _as_of("utilization_window"),
        "utilization_group_as_of": _as_of("utilization_group"),
        "utilization_plan_as_of": _as_of("utilization_plan"),
    }
)


def create_function(name: str) -> str:
    """The statement that makes it."""
    signature, language, body = FUNCTIONS[name]
    kind = "STABLE" if language == "sql" else "VOLATILE"  # what waits sees what was committed meanwhile
    return f"CREATE OR REPLACE FUNCTION {name}{signature} LANGUAGE {language} {kind} AS $$ {body} $$"
