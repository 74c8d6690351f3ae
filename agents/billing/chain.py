"""From an entry to the engagement that pays for it, as far as the references go."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from agents.billing.contracts import ContractLine, Engagement
from agents.billing.entities import NON_BILLABLE, Consultant, Project, Task
from agents.billing.reference import BillingReference


@dataclass(slots=True)
class Chain:
    """What was found, what was missing, and every dependency looked at on the way.

    ``chargeable`` is None while it can't be said: it takes the project, the task where there is one, and
    the contract line, but neither the consultant nor the engagement. With nothing missing, no ``line``
    means internal work.
    """

    consultant: Consultant | None = None
    line: ContractLine | None = None
    engagement: Engagement | None = None
    task_non_billable: bool = False
    chargeable: bool | None = None
    missing: list[str] = field(default_factory=list)
    dependencies: list[str] = field(default_factory=list)


def resolve(
    consultant_id: str, project_id: str, task_id: str | None, ref: BillingReference, day: date | None
) -> Chain:
    """Follow consultant (as of the day), project, task, contract line, engagement, client and legal entity.

    A task of another project counts as missing. The line is the task's, else the project's. While the task
    is missing, the project's line says where the parked time shows, though not whether it is chargeable:
    the task could name a line of its own. So what was posted before a task went stays posted.
    """
    chain = Chain()
    chain.dependencies = [f"consultant:{consultant_id}", f"project:{project_id}"]
    chain.consultant = ref.consultant_on(consultant_id, day)
    if chain.consultant is None:
        chain.missing.append(f"consultant:{consultant_id}")
    project = ref.projects.get(project_id)
    if project is None:
        chain.missing.append(f"project:{project_id}")
    task, task_known = None, True
    if task_id is not None:
        chain.dependencies.append(f"task:{task_id}")
        task = ref.tasks.get(task_id)
        if task is None or task.project_id != project_id:
            chain.missing.append(f"task:{task_id}")
            task_known, task = False, None
    if project is None:
        return chain
    if project.engagement_id is None:
        chain.chargeable = False if task_known else None
        return chain
    _follow_line(chain, project, task, ref)
    if not task_known:
        chain.chargeable = None
    return chain


def milestone_chain(contract_line_id: str, engagement_id: str, ref: BillingReference) -> Chain:
    """Follow a milestone's own contract line and engagement, then client and legal entity."""
    chain = Chain()
    chain.dependencies = [f"line:{contract_line_id}"]
    chain.line = ref.lines.get(contract_line_id)
    if chain.line is None:
        chain.missing.append(f"line:{contract_line_id}")
    _follow_engagement(chain, engagement_id, ref)
    return chain


def _follow_line(chain: Chain, project: Project, task: Task | None, ref: BillingReference) -> None:
    line_id = (task.contract_line_id if task is not None else None) or project.contract_line_id
    if line_id is None:
        chain.missing.append(f"line-of:{project.id}")
        return
    chain.dependencies.append(f"line:{line_id}")
    line = ref.lines.get(line_id)
    if line is None:
        chain.missing.append(f"line:{line_id}")
        return
    chain.line = line
    chain.task_non_billable = task is not None and task.non_billable
    chain.chargeable = line.method != NON_BILLABLE and not chain.task_non_billable
    _follow_engagement(chain, line.engagement_id, ref)


def _follow_engagement(chain: Chain, engagement_id: str, ref: BillingReference) -> None:
    chain.dependencies.append(f"engagement:{engagement_id}")
    engagement = ref.engagements.get(engagement_id)
    if engagement is None:
        chain.missing.append(f"engagement:{engagement_id}")
        return
    chain.engagement = engagement
    client = f"client:{engagement.client_id}"
    legal_entity = f"legal_entity:{engagement.legal_entity_id}"
    chain.dependencies += (client, legal_entity)
    if engagement.client_id not in ref.clients:
        chain.missing.append(client)
    if engagement.legal_entity_id not in ref.legal_entities:
        chain.missing.append(legal_entity)
