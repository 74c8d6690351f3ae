"""All flows by name, in the order in which records pass them."""

from __future__ import annotations

from collections.abc import Sequence

from agents.billing.flow import billing_flow
from agents.exceptions.stage import EXCEPTIONS
from agents.latency.stages import LATENCY_FLOW
from agents.posting.stage import POSTING
from agents.revenue.stage import REVENUE
from agents.utilization.stage import UTILIZATION
from streams.errors import UsageError
from streams.worker.flow import FlowDefinition


def all_flows() -> dict[str, FlowDefinition]:
    """Every flow; reading the mappings may raise `ConfigurationError`."""
    flows = (billing_flow(), UTILIZATION, POSTING, REVENUE, EXCEPTIONS, LATENCY_FLOW)
    return {flow.name: flow for flow in flows}


def select_flows(names: str | None) -> Sequence[FlowDefinition]:
    """The flows of a comma-separated list, all of them for None; `UsageError` for an unknown one."""
    flows = all_flows()
    if names is None:
        return list(flows.values())
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in flows:
            raise UsageError(f"no flow {name}; flows are {', '.join(flows)}")
    if not wanted:
        raise UsageError(f"--flows names no flow; flows are {', '.join(flows)}")
    return [flows[name] for name in wanted]
