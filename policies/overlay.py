"""A tenant's overlay over a policy: it tightens, and softens only what the policy grants it by name. Pure."""

import hashlib
from dataclasses import dataclass, replace

from policies.errors import PolicyError
from policies.policy import Level, Policy, Rule
from policies.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Overlay:
    """What a file says over a base policy. Built by `policies.loading.load_overlay`.

    `file`: for messages, as the operator named it. `digest`: `sha256:…` over the file. `levels`: whole levels that
    base rules are read at where they are lower. `verdicts`: (base rule, its new verdict). `rules`, `shadows`: what it
    adds. `grounds`: clauses it rests on. `labels`, `visible_label`: what it asks of pictures, in the gateway's words.
    """

    file: str
    name: str
    version: str
    digest: str
    levels: tuple[tuple[str, Level], ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    rules: tuple[Rule, ...] = ()
    shadows: tuple[Rule, ...] = ()
    grounds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    visible_label: str | None = None


def overlaid(base: Policy, overlay: Overlay, tenant: str) -> Policy:
    """The policy that decides about `tenant`: the base's rules, none softer unless granted, and the overlay's.

    The floor is the base's. The name is `BASE+OVERLAY`, the digest covers both. A rule it changed is granted to nobody
    any more: what is laid over it next does not take that back. Raises `PolicyError` for a verdict on no rule of the
    base, or a softer one without a grant.
    """
    known = {rule.id: rule for rule in base.rules}
    for rule_id, verdict in overlay.verdicts:
        _check_change(base, known.get(rule_id), rule_id, verdict, overlay, tenant)
    verdicts, levels = dict(overlay.verdicts), dict(overlay.levels)
    rules = tuple(
        replace(
            rule.read_at(level, min) if (level := levels.get(rule.level or "")) else rule,
            verdict=verdicts.get(rule.id, rule.verdict),
        )
        for rule in base.rules
    )
    digest = hashlib.sha256(f"fluxgate overlay digest v1\n{base.digest}\n{overlay.digest}\n".encode()).hexdigest()
    return replace(
        base,
        name=f"{base.name}+{overlay.name}",
        version=f"{base.version}+{overlay.version}",
        digest=f"sha256:{digest}",
        rules=rules + overlay.rules,
        shadows=base.shadows + overlay.shadows,
        grants=tuple(grant for grant in base.grants if grant.rule not in verdicts),
    )


def _check_change(
    base: Policy, rule: Rule | None, rule_id: str, verdict: Verdict, overlay: Overlay, tenant: str
) -> None:
    field = f"change[{rule_id}]"
    if rule is None:
        remedy = "Name a rule of the base policy's own; `fluxgate policy check` lists them"
        raise PolicyError(overlay.file, f"{field}.rule", f"the policy {base.name} has no such rule", remedy)
    if verdict >= rule.verdict:
        return
    granted = [grant.least for grant in base.grants if grant.rule == rule_id and tenant in grant.tenants]
    if rule.guards_the_floor or verdict < min(granted, default=rule.verdict):
        problem = f"{verdict.word} is softer than {rule.verdict.word}, and {base.name} does not grant it to {tenant!r}"
        remedy = "Make it as hard, or harder" + (
            ": what the floor refuses is granted to nobody" if rule.guards_the_floor else ", or add a [[grant]] there"
        )
        raise PolicyError(overlay.file, f"{field}.verdict", problem, remedy)
