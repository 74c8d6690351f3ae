"""The billing flow: two stages over shared reference tables."""

from __future__ import annotations

from agents.billing.allocate_stage import INPUTS as ALLOCATE_INPUTS
from agents.billing.allocate_stage import AllocateStage
from agents.billing.rate_stage import INPUTS as RATE_INPUTS
from agents.billing.rate_stage import RateStage
from agents.billing.view import BillingView
from streams.worker.flow import FlowDefinition, StageDefinition

# At some hundred changes a second this makes one transaction of several, and a transaction costs ten records.
PACE_SECONDS = 0.015

BILLING = FlowDefinition(
    "billing",
    (
        StageDefinition("billing-rate", RATE_INPUTS, RateStage, "entry", pace_seconds=PACE_SECONDS),
        StageDefinition(
            "billing-allocate", ALLOCATE_INPUTS, AllocateStage, "root", pace_seconds=PACE_SECONDS
        ),
    ),
    BillingView,
)
