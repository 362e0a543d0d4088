"""Which policy decides about whom: the gateway's own, or a tenant's where an overlay lies over it. Made at start."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gateway.auth.key_store import TENANT
from gateway.parts import BootError
from policies.loading import load_overlay
from policies.overlay import Overlay, overlaid
from policies.policy import TOLERANCES, USUAL_TOLERANCE, Policy
from policies.tolerance import tolerated


class Rulebook:
    """Every policy that can decide here. `overlays`: by tenant. Raises `PolicyError` for one that may not soften so.

    An overlay lies over the base as it is read at the tolerance asked for: what it tightens, no request softens.
    `canary`: decides instead about the share `share`, 0 to 1, of all ids.
    """

    def __init__(
        self, base: Policy, overlays: Mapping[str, Overlay], canary: "Rulebook | None" = None, share: float = 0.0
    ) -> None:
        granted = frozenset[str]().union(*(step.tenants for step in base.tolerance_steps))
        self._everybody = _readings(base, "", None)
        self._own = {each: _readings(base, each, overlays.get(each)) for each in sorted(granted | overlays.keys())}
        self.canary, self.share = canary, share

    def policy_for(self, tenant: str, tolerance: int | None = None, *, subject: str | None = None) -> Policy:
        """The policy that decides about the tenant. `tolerance`: the step its request asks for, 0 to 6.

        `subject`: id of the request or picture sent in; equal ids are always decided by the same policy.
        """
        if self.canary and subject is not None and _part(subject) < self.share:
            return self.canary.policy_for(tenant, tolerance)
        return self._own.get(tenant, self._everybody)[USUAL_TOLERANCE if tolerance is None else tolerance]

    @property
    def base(self) -> Policy:
        """The gateway's own policy."""
        return self._everybody[USUAL_TOLERANCE]

    @property
    def others(self) -> tuple[Policy, ...]:
        """Every policy beside the base, each as it stands: those of single tenants, and the canary's."""
        own = tuple(readings[USUAL_TOLERANCE] for readings in self._own.values())
        return (*own, self.canary.base, *self.canary.others) if self.canary else own


def _readings(base: Policy, tenant: str, overlay: Overlay | None) -> tuple[Policy, ...]:
    """The tenant's policy at every tolerance, 0 first."""
    read = tuple(tolerated(base, step, tenant) for step in TOLERANCES)
    return tuple(overlaid(each, overlay, tenant) for each in read) if overlay else read


def _part(subject: str) -> float:
    """Where in [0, 1) an id lies: the first 52 bits of its SHA-256, which a float holds exactly."""
    return int(hashlib.sha256(subject.encode()).hexdigest()[:13], 16) / 2**52


def rulebook(base: Policy, overlays: Mapping[str, Path], canary: Policy | None = None, share: float = 0.0) -> Rulebook:
    """`overlays`: tenant → overlay file, laid over the canary too.

    Raises `PolicyError`, or `BootError` for what cannot be a tenant's name or a canary.
    """
    for tenant in overlays:
        if not TENANT.fullmatch(tenant):
            raise BootError(f"overlays: {tenant!r} is no tenant's name. Write it as `fluxgate keys list` shows it.")
    if canary and canary.classifiers != base.classifiers:
        raise BootError(
            f"canary_policy: {canary.name} does not ask the classifiers that {base.name} asks. Give both the same "
            "[[classifier]] tables, with the same options and data."
        )
    laid = {tenant: load_overlay(path, base) for tenant, path in overlays.items()}
    return Rulebook(base, laid, rulebook(canary, overlays) if canary else None, share)
