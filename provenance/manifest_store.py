"""Cuts manifest stores: a JUMBF box (ISO 19566-5) of manifests, the last of them active (C2PA 2.4, 11.1.4.2)."""

from collections.abc import Iterator

from provenance.errors import ProvenanceError

_HEADER_BYTES = 8


class StoreBroken(ProvenanceError):
    """The bytes are not a manifest store."""


def active_manifest(store: bytes) -> bytes:
    """A store that holds only the active manifest of `store`. Raises `StoreBroken`."""
    outer = list(_boxes(store))
    if len(outer) != 1 or store[4:8] != b"jumb":
        raise StoreBroken("a manifest store is one JUMBF box")
    description, *manifests = _boxes(store[_HEADER_BYTES:])
    if not manifests:
        raise StoreBroken("the manifest store holds no manifest")
    content = description + manifests[-1]
    return (len(content) + _HEADER_BYTES).to_bytes(4, "big") + b"jumb" + content


def _boxes(data: bytes) -> Iterator[bytes]:
    """The boxes that stand one after another in `data`, with their headers."""
    start = 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 4], "big")
        if length < _HEADER_BYTES or start + length > len(data):
            raise StoreBroken("a box is longer than what holds it")
        yield data[start : start + length]
        start += length
