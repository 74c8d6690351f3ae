"""One exception of one subject, as a value, as a record of ``exceptions``, and as stored bytes."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias

from streams.errors import ContractViolation
from streams.packing import packed

Record: TypeAlias = dict[str, Any]

_TIMES: Final = ("first_seen_at", "last_seen_at", "visible_at", "resolved_at")
_BYTES: Final = ("raw_key", "raw_value")


@dataclass(frozen=True, slots=True)
class Incident:
    """The current state of an exception.

    ``revision`` grows with the business content; ``report`` is the revision of the last report that was
    applied, and is not published. ``seconds`` and ``amount`` are what is at stake.
    """

    exception_id: str
    revision: int
    state: str
    flow: str
    subject: str
    exception_class: str
    message: str
    blocks: str | None
    queue: str
    severity: str
    missing_keys: tuple[str, ...]
    seconds: int | None
    amount: Decimal | None
    currency: str | None
    raw_topic: str | None
    raw_partition: int | None
    raw_offset: int | None
    raw_key: bytes | None
    raw_value: bytes | None
    first_seen_at: datetime
    last_seen_at: datetime
    visible_at: datetime
    resolved_at: datetime | None
    times_seen: int
    report: int

    def to_record(self) -> Record:
        """As ``exceptions`` carries it, keyed by ``<flow>|<subject>``."""
        record: Record = {name: getattr(self, name) for name in PUBLISHED}
        record["missing_keys"] = list(self.missing_keys)
        return record

    def to_bytes(self) -> bytes:
        """JSON with exact decimals as text and bytes in base64."""
        values: Record = {name: getattr(self, name) for name in _FIELDS}
        for name in _TIMES:
            if values[name] is not None:
                values[name] = values[name].isoformat()
        for name in _BYTES:
            if values[name] is not None:
                values[name] = base64.b64encode(values[name]).decode("ascii")
        if self.amount is not None:
            values["amount"] = str(self.amount)
        return packed(values)

    @classmethod
    def from_bytes(cls, data: bytes) -> Incident:
        """The inverse of `to_bytes`."""
        values: Record = json.loads(data)
        if values.keys() != set(_FIELDS):
            raise ContractViolation(
                "a stored exception has other fields than this version's; upgrade the worker"
            )
        for name in _TIMES:
            if values[name] is not None:
                values[name] = datetime.fromisoformat(values[name])
        for name in _BYTES:
            if values[name] is not None:
                values[name] = base64.b64decode(values[name])
        if values["amount"] is not None:
            values["amount"] = Decimal(values["amount"])
        values["missing_keys"] = tuple(values["missing_keys"])
        return cls(**values)


_FIELDS: Final = tuple(field.name for field in fields(Incident))
PUBLISHED: Final = tuple(name for name in _FIELDS if name != "report")
