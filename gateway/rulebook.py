"""Which policy decides about whom: the gateway's own, or a tenant's where an overlay lies over it. Made at start."""

from collections.abc import Mapping
from pathlib import Path

from gateway.auth.key_store import TENANT
from gateway.parts import BootError
from policies.loading import load_overlay
from policies.overlay import overlaid
from policies.policy import Policy


class Rulebook:
    """Every policy that can decide here. `own`: tenant → the policy that decides about it instead of `base`."""

    def __init__(self, base: Policy, own: Mapping[str, Policy]) -> None:
        self.base = base
        self._own = dict(own)

    def policy_for(self, tenant: str) -> Policy:
        """The policy that decides about the tenant's requests, pictures sent in and moderation calls."""
        return self._own.get(tenant, self.base)

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All of them, the base first."""
        return (self.base, *self._own.values())


def rulebook(base: Policy, overlays: Mapping[str, Path]) -> Rulebook:
    """`overlays`: tenant → overlay file. Raises `PolicyError`, or `BootError` for what cannot be a tenant's name."""
    for tenant in overlays:
        if not TENANT.fullmatch(tenant):
            raise BootError(f"overlays: {tenant!r} is no tenant's name. Write it as `fluxgate keys list` shows it.")
    return Rulebook(
        base, {tenant: overlaid(base, load_overlay(path, base), tenant) for tenant, path in overlays.items()}
    )
