"""Which policy decides about whom: the gateway's own, or a tenant's where an overlay lies over it. Made at start."""

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
    """

    def __init__(self, base: Policy, overlays: Mapping[str, Overlay]) -> None:
        def readings(tenant: str) -> tuple[Policy, ...]:
            read = tuple(tolerated(base, step, tenant) for step in TOLERANCES)
            return tuple(overlaid(each, overlays[tenant], tenant) for each in read) if tenant in overlays else read

        granted = frozenset[str]().union(*(step.tenants for step in base.tolerance_steps))
        self._everybody = readings("")
        self._own = {tenant: readings(tenant) for tenant in sorted(granted | overlays.keys())}

    def policy_for(self, tenant: str, tolerance: int | None = None) -> Policy:
        """The policy that decides about the tenant. `tolerance`: the step its request asks for, 0 to 6."""
        return self._own.get(tenant, self._everybody)[USUAL_TOLERANCE if tolerance is None else tolerance]

    @property
    def base(self) -> Policy:
        """The gateway's own policy."""
        return self._everybody[USUAL_TOLERANCE]

    @property
    def overlaid(self) -> tuple[Policy, ...]:
        """The policies of single tenants, each as it stands."""
        return tuple(readings[USUAL_TOLERANCE] for readings in self._own.values())


def rulebook(base: Policy, overlays: Mapping[str, Path]) -> Rulebook:
    """`overlays`: tenant → overlay file. Raises `PolicyError`, or `BootError` for what cannot be a tenant's name."""
    for tenant in overlays:
        if not TENANT.fullmatch(tenant):
            raise BootError(f"overlays: {tenant!r} is no tenant's name. Write it as `fluxgate keys list` shows it.")
    return Rulebook(base, {tenant: load_overlay(path, base) for tenant, path in overlays.items()})
