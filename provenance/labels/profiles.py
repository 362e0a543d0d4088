"""Which fields each profile asks for, where they stand in XMP, and what a claim says in them. Pure.

One table serves writing and reading. A field that two profiles ask for is written once. No profile holds a prompt or
a person: of IPTC Photo Metadata 2025.1's four AI properties, AI Prompt Information and AI Prompt Writer Name have no
place here and cannot be switched on.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from provenance.claims import Claim, LabelProfile, Operation

NAMESPACES: Final = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
}

PROPERTIES: Final = {
    "source_type": "Iptc4xmpExt:DigitalSourceType",
    "system": "Iptc4xmpExt:AISystemUsed",
    "version": "Iptc4xmpExt:AISystemVersionUsed",
    "tool": "xmp:CreatorTool",
    "kind": "dc:type",
    "provider": "dc:publisher",
    "created": "xmp:CreateDate",
    "id": "dc:identifier",
    "aigc": "TC260:AIGC",
}
"""Field → XMP property. IPTC 2025.1 for the AI system; the practice guide of TC260 to GB 45438-2025 for `AIGC`."""

BAGS: Final = frozenset({"kind", "provider"})
"""Fields whose property is an unordered array (XMP specification part 1, 8.3)."""

PROFILES: Final[Mapping[LabelProfile, tuple[str, ...]]] = {
    # IPTC Photo Metadata 2025.1.
    "iptc": ("source_type", "system", "version"),
    # AI Act Art 50(2) and its Code of Practice, 1.1.1 and M1.3: generated or manipulated, by which system and provider.
    "eu": ("source_type", "kind", "system", "provider", "created"),
    # California SB 942, s.22757.3(b): provider, system and version, time and date, unique identifier.
    "california": ("system", "version", "provider", "created", "id"),
    # GB 45438-2025, appendix E.
    "china": ("aigc",),
}

AIGC_FIELDS: Final = (
    "Label",
    "ContentProducer",
    "ProduceID",
    "ReservedCode1",
    "ContentPropagator",
    "PropagateID",
    "ReservedCode2",
)
"""GB 45438-2025, appendix E."""

_KINDS: Final[Mapping[Operation, str]] = {"generated": "AI-generated", "edited": "AI-manipulated"}  # Art 50(2)'s words


def fields_of(claim: Claim) -> dict[str, str]:
    """What `claim` says in the fields of its profiles, and beside the system in `tool`, which photo programs show."""
    wanted = {field for profile in claim.labels for field in PROFILES[profile]}
    said = {
        "source_type": claim.digital_source_type,
        "system": claim.system,
        "version": claim.system_version,
        "tool": f"{claim.system} {claim.system_version}",
        "kind": _KINDS[claim.operation],
        "provider": claim.provider,
        "created": claim.created_text,
        "id": claim.content_id,
        "aigc": orjson.dumps(_aigc(claim)).decode(),
    }
    return {field: said[field] for field in PROPERTIES if field in wanted or (field == "tool" and "system" in wanted)}


def profiles_in(fields: Mapping[str, Any]) -> tuple[LabelProfile, ...]:
    """The profiles all of whose fields are there."""
    return tuple(profile for profile, asked in PROFILES.items() if set(asked) <= fields.keys())


def _aigc(claim: Claim) -> dict[str, str]:
    """Label 1: is synthetic. As long as nobody passed it on, the propagator is the producer (appendix E, note 1).

    The reserved codes are the operator's own; the C2PA signature covers this label, so they stay empty.
    """
    values = ("1", claim.provider_code, claim.content_id, "", claim.provider_code, claim.content_id, "")
    return dict(zip(AIGC_FIELDS, values, strict=True))
