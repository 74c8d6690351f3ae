"""The billing flow: two stages over shared reference tables."""

from __future__ import annotations

from agents.billing.allocate_stage import INPUTS as ALLOCATE_INPUTS
from agents.billing.allocate_stage import AllocateStage
from agents.billing.rate_stage import INPUTS as RATE_INPUTS
from agents.billing.rate_stage import RateStage
from agents.billing.view import BillingView
from streams.worker.flow import FlowDefinition, StageDefinition

BILLING = FlowDefinition(
    "billing",
    (
        StageDefinition("billing-rate", RATE_INPUTS, RateStage, "entry"),
        StageDefinition("billing-allocate", ALLOCATE_INPUTS, AllocateStage, "root"),
    ),
    BillingView,
)
