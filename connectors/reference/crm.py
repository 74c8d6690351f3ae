"""The reference CRM: accounts and opportunities, owner of a client's identity."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase, Mapped

from connectors.reference.columns import Code, Key, Money, OptionalCode, OptionalDay


class Crm(DeclarativeBase):
    """Base of the CRM's tables (database ``crm``, schema ``public``)."""


class Account(Crm):
    """A company as sales knows it; ``domain`` identifies duplicates."""

    __tablename__ = "account"
    id: Mapped[Key]
    name: Mapped[Code]
    parent_id: Mapped[OptionalCode]
    domain: Mapped[OptionalCode]
    status: Mapped[Code]  # active | inactive


class Opportunity(Crm):
    """A deal."""

    __tablename__ = "opportunity"
    id: Mapped[Key]
    account_id: Mapped[Code]
    name: Mapped[Code]
    stage: Mapped[Code]  # prospect | proposal | won | lost
    amount: Mapped[Money]
    currency: Mapped[Code]
    contract_type: Mapped[OptionalCode]
    service_line: Mapped[OptionalCode]
    delivery_model: Mapped[OptionalCode]
    closed_on: Mapped[OptionalDay]
