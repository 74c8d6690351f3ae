"""The judge that worked examples of utilization are put before: the agents, then the oracle."""

from __future__ import annotations

import pytest
from utilization_judges import Judge, agents, oracle


@pytest.fixture(params=[agents, oracle], ids=["agents", "oracle"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """Either judge."""
    of_kind: Judge = request.param
    return of_kind
