"""The judge that the worked examples are put before: the agents, then the oracle."""

from __future__ import annotations

import pytest
from source_databases import Sources
from two_judges import Agents, Judge, Judgement, Oracle


@pytest.fixture(params=[Agents, Oracle], ids=["agents", "oracle"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """Either judge; all that it says conserves seconds."""
    of_kind: Judge = request.param()

    def conserving(sources: Sources) -> Judgement:
        judgement = of_kind(sources)
        judgement.check_conservation()
        return judgement

    return conserving
