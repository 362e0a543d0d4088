"""Paths and contents of tlog-tiles files (c2sp.org/tlog-tiles): hash tiles and entry bundles. Pure."""

from collections.abc import Iterator, Sequence

from provenance.errors import ProvenanceError

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT  # "Full tiles MUST be exactly 256 hashes wide"
MAX_ENTRY_BYTES = 65535  # entries carry their length as uint16


class TileInvalid(ProvenanceError):
    """A tile or bundle does not have the form that its place in the log demands."""


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path below the log's prefix of the hash tile `index` at tile level `level`, `width` hashes wide."""
    return f"tile/{level}/{_number(index)}{_partial(width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path below the log's prefix of the entry bundle `index` with `width` entries."""
    return f"tile/entries/{_number(index)}{_partial(width)}"


def tiles_at(level: int, size: int) -> Iterator[tuple[int, int]]:
    """(index, width) of every tile at a tile level of a log of `size` entries; only the last may be partial."""
    hashes = size >> TILE_HEIGHT * level
    full, rest = divmod(hashes, TILE_WIDTH)
    yield from ((index, TILE_WIDTH) for index in range(full))
    if rest:
        yield full, rest


def levels(size: int) -> range:
    """The tile levels of a log of `size` entries."""
    return range(-(-size.bit_length() // TILE_HEIGHT))


def bundle(leaves: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry after its length, big-endian uint16. Raises `TileInvalid` on an entry too long."""
    if any(len(leaf) > MAX_ENTRY_BYTES for leaf in leaves):
        raise TileInvalid(f"an entry is longer than {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(leaf).to_bytes(2) + leaf for leaf in leaves)


def read_bundle(data: bytes, width: int) -> list[bytes]:
    """The `width` entries of a bundle, back. Raises `TileInvalid` if it holds more, fewer or half an entry."""
    leaves, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2])
        if end > len(data):
            raise TileInvalid("the bundle ends within an entry")
        leaves.append(data[at + 2 : end])
        at = end
    if len(leaves) != width:
        raise TileInvalid(f"the bundle holds {len(leaves)} entries instead of {width}")
    return leaves


def _number(index: int) -> str:
    groups: list[str] = []
    while True:
        index, low = divmod(index, 1000)
        groups.append(f"{low:03}" if not groups else f"x{low:03}")
        if not index:
            return "/".join(reversed(groups))


def _partial(width: int) -> str:
    if not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"a tile is 1 to {TILE_WIDTH} wide, not {width}")
    return "" if width == TILE_WIDTH else f".p/{width}"
