"""What the Soft Binding Resolution API answers, for the API's description."""

from typing import Any

from gateway.dialects.described import Answer, Answers, binary

ROOT = "/c2pa/v1"


class SoftBindingError(Answer):
    """Every answer that is a no."""

    error: str
    code: str
    field: str | None = None
    remedy: str | None = None


class Match(Answer):
    """`similarityScore`: 0 to 100; left out where nothing was compared."""

    manifestId: str  # noqa: N815  the standard's spelling, here and below
    similarityScore: int | None = None  # noqa: N815


class Matches(Answer):
    """Best first."""

    matches: list[Match]


class Checked(Answer):
    """Whether a receipt holds, and if not, why."""

    verified: bool
    error: str | None = None


class ManifestReceipt(Checked):
    """JSON-LD: `@context`, `@type`, where the manifest is, and the proof in the log."""

    repository: dict[str, Any]
    anchor: dict[str, Any]


class Algorithm(Answer):
    """A name from C2PA's list."""

    alg: str


class Algorithms(Answer):
    """The algorithms that this gateway resolves."""

    watermarks: list[Algorithm]
    fingerprints: list[Algorithm]


class Status(Answer):
    """`ok` or `down`."""

    status: str
    timestamp: str


class Capabilities(Answer):
    """What of the standard is supported."""

    c2paSpecificationVersion: str  # noqa: N815
    supportedCapabilities: list[str]  # noqa: N815


class WellKnown(Answer):
    """Where to ask."""

    apiEndpoint: str  # noqa: N815
    c2paSpecificationVersion: str  # noqa: N815
    statusEndpoint: str  # noqa: N815
    capabilitiesEndpoint: str  # noqa: N815


ANSWERS: Answers = {
    f"GET {ROOT}/matches/byBinding": {200: {"model": Matches}},
    f"POST {ROOT}/matches/byBinding": {200: {"model": Matches}},
    f"POST {ROOT}/matches/byContent": {200: {"model": Matches}},
    f"GET {ROOT}/manifests/{{manifest_id}}": {200: binary("application/c2pa")},
    f"GET {ROOT}/manifests/{{manifest_id}}/receipts": {200: {"model": ManifestReceipt}},
    f"POST {ROOT}/manifests/{{manifest_id}}/receipts": {200: {"model": Checked}},
    f"GET {ROOT}/services/supportedAlgorithms": {200: {"model": Algorithms}},
    f"GET {ROOT}/services/status": {200: {"model": Status}},
    f"GET {ROOT}/services/capabilities": {200: {"model": Capabilities}},
    "GET /.well-known/c2pa-soft-binding-resolution": {200: {"model": WellKnown}},
}
