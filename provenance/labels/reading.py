"""Reads labels out of metadata of any origin. Hostile input: sizes are limited, and no DTD or entity is ever taken.

Metadata is easily written and easily removed by anybody: this reports what it says, never whether that is so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element, ParseError

import orjson
from defusedxml.ElementTree import fromstring

from provenance.claims import LabelProfile
from provenance.labels.embedded import Embedded
from provenance.labels.profiles import AIGC_FIELDS, NAMESPACES, PROPERTIES, profiles_in

_RDF: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_MOST_CHARACTERS: Final = 200
_AI_SOURCES: Final = frozenset(
    {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"}
)
"""IPTC digital source types that say an AI system made the picture, or a part of it."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file's metadata says of its making.

    `fields`: those of `profiles.PROPERTIES` that were found, except `aigc`, as clean single lines of at most 200
    characters. `aigc`: the fields of China's label. `profiles`: those whose fields are all there. `unreadable`: some
    metadata is broken, too large or hostile, and was left out.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    aigc: Mapping[str, str] = field(default_factory=dict)
    unreadable: bool = False

    @property
    def profiles(self) -> tuple[LabelProfile, ...]:
        """See above."""
        return profiles_in({**self.fields, **({"aigc": self.aigc} if self.aigc else {})})

    @property
    def says_ai(self) -> bool:
        """The metadata says that an AI system took part. False says nothing about how the picture was made."""
        source = self.fields.get("source_type", "").rsplit("/", 1)[-1]
        return source in _AI_SOURCES or "system" in self.fields or bool(self.aigc)


NO_LABELS: Final = Labels()


def read_labels(found: Embedded) -> Labels:
    """The labels in a file's metadata. Never raises for what is in it."""
    fields: dict[str, str] = {}
    unreadable = found.unreadable
    try:
        fields = dict(_properties(found.xmp)) if found.xmp else {}
    except (ParseError, ValueError, LookupError):  # not XML, a DTD or an entity (defusedxml), an encoding nobody has
        unreadable = True
    notes = (fields.pop("aigc", ""), *found.notes)
    aigc = next((label for label in map(_aigc, notes) if label), {})
    return Labels({name: clean for name, text in fields.items() if (clean := _clean(text))}, aigc, unreadable)


def _properties(xmp: bytes) -> Iterator[tuple[str, str]]:
    """Fields with their text, wherever RDF lets a property stand: as an attribute, an element or an array."""
    names = {_clark(qualified): name for name, qualified in PROPERTIES.items()}
    for description in fromstring(xmp.strip(b"\x00 \r\n\t"), forbid_dtd=True).iter(f"{_RDF}Description"):
        yield from ((names[key], value) for key, value in description.attrib.items() if key in names)
        yield from ((names[child.tag], _text(child)) for child in description if child.tag in names)


def _text(element: Element) -> str:
    items = element.findall(f"*/{_RDF}li")
    return ", ".join(item.text or "" for item in items) or element.get(f"{_RDF}resource") or element.text or ""


def _clark(qualified: str) -> str:
    prefix, name = qualified.split(":")
    return f"{{{NAMESPACES[prefix]}}}{name}"


def _aigc(note: str) -> dict[str, str]:
    """The fields of GB 45438-2025's JSON, bare or within `{"AIGC": …}`; empty for anything else."""
    try:
        said = orjson.loads(note) if note.lstrip()[:1] == "{" else None
    except orjson.JSONDecodeError:
        return {}
    inner = said.get("AIGC", said) if isinstance(said, dict) else None
    if not isinstance(inner, dict) or "Label" not in inner:
        return {}
    return {name: _clean(str(inner[name])) for name in AIGC_FIELDS if isinstance(inner.get(name), str | int)}


def _clean(text: str) -> str:
    """One line that a terminal or a page can show."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_CHARACTERS]).split())
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"
