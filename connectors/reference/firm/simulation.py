"""Simulate a firm into a plan."""

from __future__ import annotations

from itertools import groupby

from connectors.reference.firm.amendments import Amendments
from connectors.reference.firm.clients import Clients
from connectors.reference.firm.concessions import Concessions
from connectors.reference.firm.contracts import Contracts
from connectors.reference.firm.entities import seed_calendars, seed_entities
from connectors.reference.firm.entries import Entries
from connectors.reference.firm.expenses import Expenses
from connectors.reference.firm.fx import Fx
from connectors.reference.firm.invoicing import Invoicing
from connectors.reference.firm.lots import PrepaidLots
from connectors.reference.firm.model import SYSTEM_OF, FirmSettings, Insert, Plan, Transaction, fold
from connectors.reference.firm.opportunities import Opportunities
from connectors.reference.firm.payers import Payers
from connectors.reference.firm.people import People
from connectors.reference.firm.period_rights import PeriodRights
from connectors.reference.firm.plans import Plans
from connectors.reference.firm.positions import Positions
from connectors.reference.firm.rates import Rates
from connectors.reference.firm.resourcing import Resourcing
from connectors.reference.firm.second_thoughts import SecondThoughts
from connectors.reference.firm.signatures import ApprovalLimits
from connectors.reference.firm.staffing import Staffing
from connectors.reference.firm.targets import Targets
from connectors.reference.firm.timesheets import Timesheets
from connectors.reference.firm.trouble_codes import CodeTrouble
from connectors.reference.firm.trouble_contracts import ContractTrouble
from connectors.reference.firm.trouble_entries import EntryTrouble
from connectors.reference.firm.world import World


def plan(settings: FirmSettings) -> Plan:
    """The whole life of a firm, the same for equal settings.

    What happened before ``settings.start`` is folded into the rows that the databases hold then; the
    rest stays a list of transactions in order of simulated time.
    """
    world = World(settings)
    world.at(settings.opening, world.forget_counts)  # counters tell what the live phase holds
    people = People(world)
    clients = Clients(world)
    contracts = Contracts(world, clients)
    rates = Rates(world, contracts, people)
    opportunities = Opportunities(world, clients, contracts, rates)
    payers = Payers(world, clients, contracts)
    with world.transaction("erp", "seed") as tx:
        seed_entities(world, tx)
        seed_calendars(world, tx)
        people.seed(tx)
        Positions(world, people).schedule()
        PeriodRights(world, people).seed(tx)
        ApprovalLimits(world, people).seed(tx)
        clients.seed_clients(tx)
        contracts.seed(tx)
        payers.seed(tx)
        rates.seed(tx)
        Fx(world).seed(tx)
        Targets(world, people).seed(tx)
    with world.transaction("crm", "seed") as tx:
        clients.seed_accounts(tx)
        opportunities.seed(tx)
    staffing = Staffing(world, people, contracts)
    Resourcing(world, people, contracts, staffing).schedule()
    entries = Entries(world)
    later = SecondThoughts(world, people, staffing, entries)
    Timesheets(world, people, staffing, entries, later).schedule()
    invoicing = Invoicing(world, contracts, people, rates, entries, payers)
    invoicing.schedule()
    Amendments(world, clients, contracts, people, invoicing, entries).schedule()
    Plans(world, contracts).schedule()
    Expenses(world, contracts, people).schedule()
    PrepaidLots(world, contracts).schedule()
    Concessions(world, contracts, people, invoicing, entries).schedule()
    CodeTrouble(world, people, staffing, contracts, rates).schedule()
    ContractTrouble(world, clients, contracts, rates).schedule()
    EntryTrouble(world, people, contracts, entries, later, invoicing).schedule()
    world.run()
    history = [done for done in world.transactions if done.simulated_at < settings.opening]
    return Plan(
        settings=settings,
        seed=tuple(_snapshot(history, settings)),
        transactions=tuple(world.transactions[len(history) :]),
        trouble=dict(sorted(world.trouble.items())),
        features=dict(sorted(world.features.items())),
    )


def _snapshot(history: list[Transaction], settings: FirmSettings) -> list[Transaction]:
    """One transaction a system with the rows that are left of a history."""
    inserts = [Insert(table, row) for table, rows in fold(history).items() for row in rows.values()]
    return [
        Transaction(system, settings.opening, tuple(rows), "seed")
        for system, rows in groupby(inserts, key=lambda insert: SYSTEM_OF[insert.table])
    ]
