"""Holds the warehouse and the topics against the oracle, for whoever runs a firm whose writers come to rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from sqlalchemy import Engine

from connectors.proof.oracle import load_oracle
from connectors.proof.topics import TopicFolds
from streams.serde import Decoder

# Without any change in the number of differences for this long, the pipeline is not going to get there.
PATIENCE_SECONDS = 30.0  # float: a wait


class Judge:
    """Compares what came out with what the oracle says must come out."""

    def __init__(self, engines: Mapping[str, Engine], warehouse: Engine) -> None:
        self._oracle = load_oracle()
        self.engines = engines
        self._warehouse = warehouse

    def expect(self) -> Any:
        """The oracle's result over the source databases, whose writers are at rest."""
        return self._oracle.compute(self.engines["erp"], self.engines["crm"], self.engines["time"])

    def compare_warehouse(self, expected: Any) -> Any:
        """The comparison with the warehouse."""
        return self._oracle.compare(expected, self._oracle.actual_from_warehouse(self._warehouse))

    def compare_topics(self, expected: Any, bootstrap: str, decoder: Decoder) -> Any:
        """The comparison with the published topics."""
        with closing(TopicFolds(bootstrap, decoder)) as folds:
            folds.advance()
            return self._oracle.compare(expected, folds.actual())

    def wait(
        self,
        expected: Any,
        check: Callable[[], None],
        progress: Callable[[int], None] = lambda _: None,
        patience_s: float = PATIENCE_SECONDS,  # float: a wait
    ) -> Any:
        """Compare until nothing differs, or until nothing has changed for a while; returns the last one.

        ``check`` raises if the pipeline is broken; ``progress`` gets the rows that still differ.
        """
        last, since = None, time.monotonic()
        while True:
            check()
            comparison = self.compare_warehouse(expected)
            progress(comparison.rows_different)
            if comparison.rows_different == 0:
                return comparison
            if comparison.rows_different != last:
                last, since = comparison.rows_different, time.monotonic()
            if time.monotonic() - since > patience_s:
                return comparison
            time.sleep(0.3)  # float: a wait
