"""The warehouse sink on real servers: what arrives in its tables."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from connectors.sinks.warehouse import WarehouseTarget, warehouse
from tests.integration.sinks.sink_world import World
from tests.unit.sinks.sink_builders import (
    DAY,
    T0,
    entity,
    exception,
    group,
    ledger_line,
    record_of,
    segment,
)


def test_every_topic_arrives(world: World) -> None:
    """One record of each topic is one row of its table, value for value."""
    sent = {topic: record_of(topic) for topic in warehouse().loads}
    sent["exceptions"] = exception(
        message='tab\there, "quotes", back\\slash and\nnew line',
        raw_value=b"\x00\xff",
        amount=Decimal("-0.0001"),
    )
    sent["billing.events"] = ledger_line(
        1, missing_keys=['a"b', "c,d", "NULL", ""], price=Decimal("1234.5600")
    )
    for topic, record in sent.items():
        world.send(topic, record)
    world.load()
    for topic, load in warehouse().loads.items():
        names = ", ".join(f'"{column}"' for column in load.columns.values())
        (row,) = world.rows(f"SELECT {names} FROM {load.table.name}")
        found = dict(
            zip(load.columns, (bytes(v) if isinstance(v, memoryview) else v for v in row), strict=True)
        )
        assert found == sent[topic], topic
    assert world.count("sink_dead_letter") == 0


def test_loading_again_and_duplicates_change_nothing(world: World) -> None:
    """A restart continues; the same records sent twice, or all read again after a reset, add nothing."""
    lines = [ledger_line(n) for n in range(50)]
    world.send("billing.events", *lines)
    world.send("billing.current", *[segment(n) for n in range(50)])
    world.load()
    before = world.rows("SELECT * FROM fact_billing_event ORDER BY event_id")
    world.send("billing.events", *lines[:10], ledger_line(99))
    world.load()
    assert (
        world.rows("SELECT * FROM fact_billing_event WHERE entry_id <> 'time:99' ORDER BY event_id") == before
    )
    assert world.count("fact_billing_event") == 51
    target = WarehouseTarget(world.dsn)
    partitions = len(target.open())
    assert target.forget(None) == partitions > len(target.topics)
    target.close()
    world.load()
    assert world.count("fact_billing_event") == 51
    assert world.count("billing_current") == 50


def test_revised_rows_replace_and_stale_ones_do_not(world: World) -> None:
    """The highest revision stands, a deletion of the same revision too, and a segment can come back."""
    world.send("billing.current", segment(1, 1), segment(2, 1), segment(3, 1), segment(4, 2, bucket="billed"))
    world.load()
    world.send(
        "billing.current",
        segment(1, 2, bucket="billed", amount=Decimal("151.0000")),
        segment(2, 1, deleted=True, seconds=0),
        segment(3, 1, deleted=True),
        segment(4, 1),
    )
    world.load()
    world.send("billing.current", segment(3, 2))
    world.load()
    rows = world.rows(
        "SELECT entry_id, revision, deleted, bucket, amount, hours FROM billing_current ORDER BY 1"
    )
    assert rows == [
        ("time:1", 2, False, "billed", Decimal("151.0000"), Decimal("1.0000")),
        ("time:2", 1, True, "unbilled", Decimal("150.0000"), Decimal("0.0000")),
        ("time:3", 2, False, "unbilled", Decimal("150.0000"), Decimal("1.0000")),
        ("time:4", 2, False, "billed", Decimal("150.0000"), Decimal("1.0000")),
    ]


def test_dimensions_keep_their_history(world: World) -> None:
    """A consultant's promotion, a no-op update, a departure: three ranges that adjoin, over two loads."""
    world.send(
        "canonical.consultant",
        entity("consultant", "erp:7", 1, name="Ada", grade="senior", fte=Decimal("1.0000")),
    )
    world.load()
    world.send(
        "canonical.consultant",
        entity("consultant", "erp:7", 2, name="Ada", grade="senior", fte=Decimal("1.0000")),
        entity("consultant", "erp:7", 3, name="Ada", grade="principal", fte=Decimal("0.8000")),
        entity("consultant", "erp:7", 4, name="Ada", grade="principal", fte=Decimal("0.8000"), deleted=True),
    )
    world.load()
    rows = world.rows(
        "SELECT grade, deleted, valid_from, valid_to, is_current, source_lsn FROM dim_consultant ORDER BY valid_from"
    )
    at = [T0 + timedelta(seconds=n) for n in range(5)]
    assert rows == [
        ("senior", False, at[1], at[3], False, 2),
        ("principal", False, at[3], at[4], False, 3),
        ("principal", True, at[4], None, True, 4),
    ]


def test_views_add_up(world: World) -> None:
    """Finance sees named buckets with unknown amounts told apart, resourcing sees ratios of sums."""
    world.send("canonical.account", entity("account", "crm:1", 1, name="Acme"))
    world.send("canonical.client", entity("client", "erp:2", 1, account_id="crm:1"))
    world.send(
        "billing.current",
        segment(1),
        segment(2, seconds=1200, amount=Decimal("50.0000")),
        segment(3, bucket="parked", amount=None, exception_class="MISSING_RATE"),
        segment(4, deleted=True),
        segment(5, accounting_date=date(2026, 4, 1)),
    )
    world.send("billing.events", *[ledger_line(n) for n in (1, 5)])
    world.send("billing.events", ledger_line(2, seconds=1200, amount=Decimal("50.0000")))
    world.send(
        "utilization.groups", group(), group(dimension="region", value="eu"), group("cloud", deleted=True)
    )
    world.load()
    buckets = world.rows(
        "SELECT accounting_month, client_name, bucket, hours, amount, segments, unpriced_segments "
        "FROM v_billing_by_bucket ORDER BY 1, 3"
    )
    assert buckets == [
        (date(2026, 3, 1), "Acme", "parked", Decimal("1.0000"), None, 1, 1),
        (date(2026, 3, 1), "Acme", "unbilled", Decimal("1.3333"), Decimal("200.0000"), 2, 0),
        (date(2026, 4, 1), "Acme", "unbilled", Decimal("1.0000"), Decimal("150.0000"), 1, 0),
    ]
    practice = world.rows(
        "SELECT practice, starts_on, consultants, idle_consultants, consultants_without_capacity, billable_hours, "
        "utilization FROM v_utilization_by_practice"
    )
    assert practice == [("data", DAY, 3, 1, 0, Decimal("50.0000"), Decimal("0.500000"))]
    # The ledger lacks the parked hour; the fifth it has in another month, which is no difference.
    differing = {row[0] for row in world.rows("SELECT entry_id FROM v_billing_tie_out")}
    assert differing == {"time:3"}
    books = world.rows("SELECT accounting_month, bucket, hours, amount FROM v_books_by_month")
    assert books == [(date(2026, 3, 1), "unbilled", Decimal("2.3333"), Decimal("350.0000"))]


def test_aborted_transactions_are_not_loaded(world: World) -> None:
    """Only committed records count, and positions pass over the aborted ones and the markers."""
    producer = world.transactional("lane-0")
    for number in range(4):
        producer.begin_transaction()
        world.send("billing.events", ledger_line(number), producer=producer)
        if number % 2:
            producer.abort_transaction(10)
        else:
            producer.commit_transaction(10)
    world.load()
    assert world.rows("SELECT entry_id FROM fact_billing_event ORDER BY 1") == [("time:0",), ("time:2",)]
    world.send("billing.events", ledger_line(9))
    world.load()
    assert world.count("fact_billing_event") == 3


def test_poison_is_set_aside_and_the_flow_goes_on(world: World) -> None:
    """Bytes that are no record, an unknown schema, text that no database takes: kept raw, with the reason."""
    unknown = b"\x00\x00\x00\xff\xff" + b"x"
    nul = ledger_line(3, segment="nul\0")
    world.send("billing.events", ledger_line(1), b"\x01nonsense", unknown)
    world.send("billing.events", nul, ledger_line(4))
    world.send("canonical.project", entity("project", "erp:1", 1, name="nul\0"))
    world.send("canonical.project", entity("project", "erp:2", 1))
    world.load()
    assert world.rows("SELECT entry_id FROM fact_billing_event ORDER BY 1") == [("time:1",), ("time:4",)]
    letters = world.rows(
        'SELECT topic, exception_class, raw_value FROM sink_dead_letter ORDER BY 1, 2, "offset"'
    )
    assert [(topic, kind) for topic, kind, _ in letters] == [
        ("billing.events", "INVALID_VALUE"),
        ("billing.events", "POISON"),
        ("billing.events", "SCHEMA"),
        ("canonical.project", "INVALID_VALUE"),
    ]
    assert {bytes(raw) for _, kind, raw in letters if kind in ("POISON", "SCHEMA")} == {
        b"\x01nonsense",
        unknown,
    }
    assert world.count("dim_project") == 1


def test_a_cost_that_is_set_aside_is_not_shown(world: World) -> None:
    """Of a confidential topic the dead letter has the place and the class, no bytes and no value."""
    world.send("canonical.cost_rate", b"62.12", entity("cost_rate", "erp:1", 1, currency="62.12\0"))
    world.load()
    secret = "the record: what it says is confidential; see the source"
    assert world.rows(
        "SELECT topic, exception_class, message, raw_key, raw_value FROM sink_dead_letter ORDER BY 2"
    ) == [
        ("canonical.cost_rate", "INVALID_VALUE", secret, None, None),
        ("canonical.cost_rate", "POISON", secret, None, None),
    ]
    assert world.count("dim_cost_rate") == 0


def test_a_row_that_the_database_refuses_is_found(world: World) -> None:
    """One bad record among hundreds of one batch: it alone is set aside, wherever it stands."""
    lines = [ledger_line(n) for n in range(300)]
    world.load()
    # A rule that only this database has, so that the refusal comes from the merge.
    world.rows("ALTER TABLE fact_billing_event ADD CONSTRAINT no_137 CHECK (entry_id <> 'time:137')")
    world.send("billing.events", *lines)
    world.load()
    assert world.count("fact_billing_event") == 299
    ((message, value),) = world.rows("SELECT message, raw_value FROM sink_dead_letter")
    assert "no_137" in message
    assert bytes(value) == world.encode("billing.events", lines[137])


def test_the_lines_of_a_proposal(world: World) -> None:
    """Its unbilled, drafted, credited and posted segments; none of another client's, month's or contract's."""
    key = {"root_id": "erp:1", "month": f"{DAY:%Y-%m}", "payer_id": "erp:2", "currency": "EUR"}
    world.send(
        "billing.invoice_event", record_of("billing.invoice_event", **key, state="stale", deleted=False)
    )
    world.send(
        "billing.current",
        segment(1),
        segment(2, segment="due:erp:7", seconds=-3600, amount=Decimal("-150.0000")),
        segment(3, segment="draft:erp:8", bucket="on_draft", exception_class="STALE_DRAFT"),
        segment(4, segment="inv:erp:9", bucket="billed"),
        segment(5, bucket="over_cap"),
        segment(6, client_id="erp:OTHER"),
        segment(7, accounting_date=DAY + timedelta(days=40)),
        segment(8, root_id="erp:OTHER"),
        segment(9, deleted=True),
    )
    world.load()
    assert world.rows(
        "SELECT kind, entry_id, amount, is_stale, state FROM v_invoice_proposal_line ORDER BY entry_id"
    ) == [
        ("unbilled", "time:1", Decimal("150.0000"), False, "stale"),
        ("credit", "time:2", Decimal("-150.0000"), False, "stale"),
        ("on_draft", "time:3", Decimal("150.0000"), True, "stale"),
        ("billed", "time:4", Decimal("150.0000"), False, "stale"),
    ]


def test_the_roll_forward_of_revenue_adds_nothing_to_what_is_unknown(world: World) -> None:
    """A month of which a line can't be told is null, and so is the position from there on; parked work shows."""

    def month(
        line: str, number: int, recognised: int | None, billed: int, **fields: object
    ) -> dict[str, object]:
        money = None if recognised is None else Decimal(recognised)
        net = None if money is None else money - billed
        of = {"contract_line_id": f"erp:{line}", "period_start": date(2026, number, 1), "recognised": money}
        of |= {
            "breakage": money and Decimal(0),
            "billed": Decimal(billed),
            "net_change": net,
            "scheduled": money,
        }
        one = {
            "root_id": "erp:1",
            "legal_entity_id": "erp:LE",
            "revenue_method": "as_delivered",
            "currency": "EUR",
        }
        return record_of("revenue.current", **one, **of, **{"deleted": False, "parked_items": 0, **fields})

    world.send(
        "revenue.current", month("L1", 2, 500, 100), month("L1", 3, None, 800), month("L2", 3, 1000, 0)
    )
    world.send("revenue.current", month("L2", 4, 1000, 0, parked_items=5))
    world.load()
    assert world.rows(
        "SELECT recognised, billed, net_change, net_position, unknown_months, parked_items"
        " FROM v_revenue_by_month ORDER BY accounting_month"
    ) == [
        (Decimal(500), Decimal(100), Decimal(400), Decimal(400), 0, 0),
        (None, Decimal(800), None, None, 1, 0),
        (Decimal(1000), Decimal(0), Decimal(1000), None, 1, 5),
    ]
