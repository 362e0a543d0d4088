"""Which uses the owner of a picture reserves, as far as the file itself says so. Pure, and fed by strangers.

Three vocabularies, all machine-readable: `training-mining` assertions in a C2PA manifest (CAWG 1.1, formerly C2PA's
own), `plus:DataMining` in XMP (PLUS LDF, IPTC Photo Metadata 2023.1) and `tdm:reservation` in XMP (W3C TDMRep; DSM
Directive Art 4(3)). Silence reserves nothing here; whether it does in law, a file cannot tell.
"""

import json
from collections.abc import Iterator
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

USES: Final = ("data_mining", "ai_inference", "ai_generative_training", "ai_training")
"""CAWG training and data mining assertion 1.1, 3.1; without their prefix."""

_NOT_FREE: Final = frozenset({"notAllowed", "constrained"})

_PLUS: Final = "{http://ns.useplus.org/ldf/xmp/1.0/}DataMining"
_TDM: Final = frozenset({"{http://www.w3.org/ns/tdmrep#}reservation", "{http://www.w3.org/ns/tdmrep/}reservation"})
"""Both spellings of the namespace are written."""
_RESOURCE: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"

_PROHIBITED: Final = "DMI-PROHIBITED"
_NARROWER: Final = {
    "DMI-PROHIBITED-AIMLTRAINING": ("ai_training", "ai_generative_training"),
    "DMI-PROHIBITED-GENAIMLTRAINING": ("ai_generative_training",),
}
_ALL_MINING: Final = ("data_mining", "ai_training", "ai_generative_training")
_MOST_BYTES: Final = 1024 * 1024


def reservations(manifest_json: str | None, xmp: bytes) -> tuple[str, ...]:
    """Those of `USES` that are reserved, in that order.

    `manifest_json`: of the reader, None without a credential. `xmp`: the packet, empty for none; one that is longer
    than a megabyte or is not plain XML raises `ValueError`, since it may hide what it says.
    """
    found = set(_in_manifest(manifest_json)) | set(_in_xmp(xmp))
    return tuple(use for use in USES if use in found)


def _in_manifest(manifest_json: str | None) -> Iterator[str]:
    store: dict[str, Any] = json.loads(manifest_json) if manifest_json else {}
    active = store.get("manifests", {}).get(store.get("active_manifest"), {})
    for assertion in active.get("assertions", ()):
        data = assertion.get("data")
        if assertion.get("label", "").partition("__")[0] in ("cawg.training-mining", "c2pa.training-mining"):
            entries = data.get("entries") if isinstance(data, dict) else None
            for use, said in entries.items() if isinstance(entries, dict) else ():
                if isinstance(said, dict) and said.get("use") in _NOT_FREE:
                    yield str(use).rpartition(".")[2]


def _in_xmp(xmp: bytes) -> Iterator[str]:
    if len(xmp) > _MOST_BYTES:
        raise ValueError("the XMP packet is too long to be read")
    if not xmp:
        return
    try:
        root = fromstring(xmp.rstrip(b"\x00 \r\n\t").decode("utf-8-sig"), forbid_dtd=True)
    except (ParseError, DefusedXmlException, UnicodeDecodeError) as cause:
        raise ValueError("the XMP packet is not plain XML") from cause
    for element in root.iter():
        said = dict(element.attrib)
        said[element.tag] = element.get(_RESOURCE) or element.text or ""
        value = said.get(_PLUS, "").strip().rpartition("/")[2].upper()
        if value.startswith(_PROHIBITED):
            yield from _NARROWER.get(value, _ALL_MINING)
        if any(said.get(name, "").strip() == "1" for name in _TDM):
            yield "data_mining"
