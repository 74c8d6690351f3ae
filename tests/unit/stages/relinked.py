"""A firm whose invoice lines and adjustments somebody corrects when all else is done."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from stage_builders import Firm
from stage_builders import firm as the_plan

Tables = dict[str, dict[Any, dict[str, Any]]]


class Relinked:
    """A firm after its last change, whose invoice lines and adjustments somebody then corrects."""

    def __init__(self, seed: int, crash: float = 0.0) -> None:
        self.firm = Firm(seed, crash)
        self.firm.live_through()
        self.firm.run()
        self.tables: Tables = {name: copy.deepcopy(dict(rows)) for name, rows in the_plan().tables().items()}

    def update(self, table: str, key: Any, **values: Any) -> None:
        """Correct a row."""
        self.firm.update(table, key, **values)
        self.tables[table][key].update(values)

    def delete(self, table: str, key: Any) -> None:
        """Delete a row."""
        self.firm.delete(table, key)
        del self.tables[table][key]

    def insert(self, table: str, **values: Any) -> None:
        """A new row."""
        self.firm.insert(table, **values)
        self.tables[table][values["id"]] = values

    def check(self) -> None:
        """All outputs are the oracle's."""
        self.firm.run()
        self.firm.driver.tick(1)
        self.firm.run()
        self.firm.assert_oracle(self.tables)

    def charge(self) -> dict[str, Any]:
        """A posted charge of time that is not credited, and still as it was billed, all of its entry to one client."""
        entries = self.tables["time_entry"]
        lines = self.tables["invoice_line"].values()
        credited = {line["credits_line_id"] for line in lines}
        times = Counter(line["entry_id"] for line in lines)
        return next(
            line
            for line in lines
            if line["kind"] == "charge"
            and line["status"] == "posted"
            and line["entry_id"].startswith("time:")
            and line["id"] not in credited
            and line["client_id"] == self.tables["engagement"][line["engagement_id"]]["client_id"]
            and times[line["entry_id"]] == 1
            and _is_as_billed(entries.get(int(line["entry_id"].removeprefix("time:"))), line["entry_version"])
        )

    def others(self, row: dict[str, Any]) -> list[str]:
        """Other entries that have a line on the same engagement."""
        lines = self.tables["invoice_line"].values()
        return sorted(
            {line["entry_id"] for line in lines if line["engagement_id"] == row["engagement_id"]}
            - {row["entry_id"]}
        )


def _is_as_billed(entry: dict[str, Any] | None, version: int) -> bool:
    return entry is not None and (entry["status"], entry["version"]) == ("approved", version)
