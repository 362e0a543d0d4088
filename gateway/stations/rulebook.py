"""Which policy decides about whom: the gateway's own, or a tenant's where overlays lie over it. Made at start."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gateway.auth.key_store import TENANT
from gateway.parts import BootError
from policies.loading import JURISDICTIONS, load_overlay
from policies.overlay import Overlay, overlaid
from policies.policy import TOLERANCES, USUAL_TOLERANCE, Policy
from policies.tolerance import tolerated

EVERYBODY = "*"
"""In place of a tenant: what is laid over the policy for all of them."""

Overlays = Mapping[str, tuple[Overlay, ...]]


class Rulebook:
    """Every policy that can decide here. `overlays`: by tenant, or `EVERYBODY`, laid one over the other in their order.

    An overlay lies over the base as it is read at the tolerance asked for: what it tightens, no request softens.
    `canary`: decides instead about the share `share`, 0 to 1, of all ids. Raises `PolicyError` for an overlay that may
    not soften so.
    """

    def __init__(self, base: Policy, overlays: Overlays, canary: "Rulebook | None" = None, share: float = 0.0) -> None:
        granted = frozenset[str]().union(*(step.tenants for step in base.tolerance_steps))
        self._overlays = overlays
        self._everybody = _readings(base, "", self.overlays_for(""))
        tenants = sorted((granted | overlays.keys()) - {EVERYBODY})
        self._own = {each: _readings(base, each, self.overlays_for(each)) for each in tenants}
        self.canary, self.share = canary, share

    def overlays_for(self, tenant: str) -> tuple[Overlay, ...]:
        """What lies over the policy for this tenant, the lowest first."""
        return (*self._overlays.get(EVERYBODY, ()), *self._overlays.get(tenant, ()))

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those for whom something else holds than for everybody."""
        return tuple(self._own)

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

    @property
    def readings(self) -> tuple[Policy, ...]:
        """Everything that can decide here, at every tolerance."""
        own = (reading for readings in (self._everybody, *self._own.values()) for reading in readings)
        return (*own, *(self.canary.readings if self.canary else ()))


def _readings(base: Policy, tenant: str, overlays: Sequence[Overlay]) -> tuple[Policy, ...]:
    """The tenant's policy at every tolerance, 0 first."""

    def laid(policy: Policy) -> Policy:
        for overlay in overlays:
            policy = overlaid(policy, overlay, tenant)
        return policy

    return tuple(laid(tolerated(base, step, tenant)) for step in TOLERANCES)


def _part(subject: str) -> float:
    """Where in [0, 1) an id lies: the first 52 bits of its SHA-256, which a float holds exactly."""
    return int(hashlib.sha256(subject.encode()).hexdigest()[:13], 16) / 2**52


def rulebook(
    base: Policy,
    overlays: Mapping[str, Path],
    canary: Policy | None = None,
    share: float = 0.0,
    jurisdictions: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Rulebook:
    """`overlays`: tenant → overlay file. `jurisdictions`: tenant or `EVERYBODY` → shipped ones, which lie lowest.

    Both are laid over the canary too. Raises `PolicyError`, or `BootError` for what cannot be a tenant's name, a
    jurisdiction or a canary.
    """
    for setting, tenants in (("overlays", overlays.keys()), ("jurisdictions", jurisdictions.keys() - {EVERYBODY})):
        for tenant in tenants:
            if not TENANT.fullmatch(tenant):
                raise BootError(
                    f"{setting}: {tenant!r} is no tenant's name. Write it as `fluxgate keys list` shows it."
                )
    if canary and canary.classifiers != base.classifiers:
        raise BootError(
            f"canary_policy: {canary.name} does not ask the classifiers that {base.name} asks. Give both the same "
            "[[classifier]] tables, with the same options and data."
        )
    laid: dict[str, tuple[Overlay, ...]] = {
        EVERYBODY: stacked(base, jurisdiction_files(jurisdictions.get(EVERYBODY, ())))
    }
    for tenant in sorted((overlays.keys() | jurisdictions.keys()) - {EVERYBODY}):
        files = jurisdiction_files(jurisdictions.get(tenant, ()))
        files += (overlays[tenant],) if tenant in overlays else ()
        laid[tenant] = stacked(base, files, tenant, laid[EVERYBODY])
    return Rulebook(base, laid, rulebook(canary, overlays, jurisdictions=jurisdictions) if canary else None, share)


def stacked(
    base: Policy, files: Sequence[Path], tenant: str = "", below: Sequence[Overlay] = ()
) -> tuple[Overlay, ...]:
    """The overlays in `files`, each read over all that lie below it: no two of them may name a rule alike."""
    for overlay in below:
        base = overlaid(base, overlay, tenant)
    found: list[Overlay] = []
    for file in files:
        found.append(load_overlay(file, base))
        base = overlaid(base, found[-1], tenant)
    return tuple(found)


def jurisdiction_files(codes: Sequence[str]) -> tuple[Path, ...]:
    """The shipped overlays of these jurisdictions. Raises `BootError` for one that there is not."""
    for code in codes:
        if code not in JURISDICTIONS:
            known = ", ".join(JURISDICTIONS)
            raise BootError(f"jurisdictions: there is no profile {code!r}. Choose from {known}, or write an overlay.")
    return tuple(JURISDICTIONS[code] for code in codes)
