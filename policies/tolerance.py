"""`safety_tolerance`: the levels at which a caller asks rules to be read. Stricter is free, softer is granted. Pure.

0 1   stricter, as far as the policy has such steps
2     the policy as it stands; what counts where nothing is asked
3-6   softer, for the tenants a step names, and never for a rule about what the floor refuses
"""

from dataclasses import replace

from policies.policy import USUAL_TOLERANCE, Policy, Rule, ToleranceStep


def tolerated(policy: Policy, asked: int, tenant: str) -> Policy:
    """The policy as it is read for the tenant at the step `asked`, 0 to 6; its `tolerance` is the step that counts.

    Steps add up: what one reads more strictly, every lower one does too, and so upwards. So a lower step is never
    softer than a higher one. The digest stays the file's.
    """
    stricter = [step for step in policy.tolerance_steps if asked <= step.step < USUAL_TOLERANCE]
    granted = [step for step in policy.tolerance_steps if tenant in step.tenants]
    softer = [step for step in granted if USUAL_TOLERANCE < step.step <= asked]
    counts = min((step.step for step in stricter), default=max((step.step for step in softer), default=USUAL_TOLERANCE))
    rules = tuple(_read(policy, rule, (*stricter, *softer)) for rule in policy.rules)
    return replace(policy, rules=rules, tolerance=counts)


def _read(policy: Policy, rule: Rule, steps: tuple[ToleranceStep, ...]) -> Rule:
    for step in steps:
        word = dict(step.levels).get(rule.level or "")
        if word and step.step < USUAL_TOLERANCE:
            rule = rule.read_at(policy.levels[word], min)
        elif word and not rule.guards_the_floor:
            rule = rule.read_at(policy.levels[word], max)
    return rule
