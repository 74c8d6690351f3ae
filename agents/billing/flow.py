"""The billing flow, from row change to ledger line: three stages in one lane.

Canonical mapping and both stages of billing share a consumer and their transactions: this is the path
that somebody waits for, and three flows of their own would pay for three transactions side by side.
"""

from __future__ import annotations

from agents.billing.allocate_stage import INPUTS as ALLOCATE_INPUTS
from agents.billing.allocate_stage import AllocateStage
from agents.billing.rate_stage import INPUTS as RATE_INPUTS
from agents.billing.rate_stage import RATED, RateStage
from agents.billing.view import BillingView
from agents.canonical.holding import ENDED
from agents.canonical.stage import canonical_stage
from streams.worker.flow import FlowDefinition, StageDefinition


def billing_flow() -> FlowDefinition:
    """The flow over the mappings that there are; reading them may raise `ConfigurationError`."""
    canonical = canonical_stage()
    return FlowDefinition(
        "billing",
        (
            canonical,
            StageDefinition("billing-rate", RATE_INPUTS, RateStage, "entry", passes_on=[RATED]),
            StageDefinition("billing-allocate", ALLOCATE_INPUTS, AllocateStage, "root"),
        ),
        BillingView,
        extra_topics=[topic for topic in canonical.inputs if topic != ENDED],
    )
