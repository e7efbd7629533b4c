"""One message's decision: external recipients by ``outgoing``, internal ones by ``incoming``, joined into one Plan.

Guarantees
    Pure. Every waiting recipient stands in exactly one delivery, hold or refusal of the Plan.

Raises
    PlanUnlawful.
"""

from __future__ import annotations

from letterlock.decision import incoming, outgoing
from letterlock.decision.known import Facts, Findings, Opened
from letterlock.decision.plan import Plan, PlanUnlawful, join
from letterlock.mail.envelope import Envelope


def decide(envelope: Envelope, opened: Opened, findings: Findings, facts: Facts) -> Plan:
    """The plan for all of ``facts.recipients``."""
    plans = (outgoing.decide(envelope, opened, findings, facts), incoming.decide(envelope, opened, findings, facts))
    plan = join(*(each for each in plans if each.recipients))
    if set(plan.recipients) != set(facts.recipients):
        raise PlanUnlawful(detail=f"{len(facts.recipients)} recipients wait, {len(plan.recipients)} decided on")
    return plan
