"""The Merkle tree of RFC 9162 (section 2.1, equal to RFC 6962): hashes, proofs and their verification. Pure.

A node is named `(level, index)`: the hash of the 2**level leaves from `index * 2**level` on. Every hash that a proof
needs covers a range of leaves, and every such range is a row of whole nodes (`cover`), so a store that can look up
nodes can prove anything without reading the leaves.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from provenance.errors import ProvenanceError

HASH_BYTES = 32
EMPTY_ROOT = sha256().digest()  # RFC 9162, 2.1.1: the hash of an empty list

Node = tuple[int, int]
Range = tuple[int, int]  # leaves from start to end, end excluded


class ProofInvalid(ProvenanceError):
    """A Merkle proof does not lead to the root that it should."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of one entry: SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: the roots of its whole subtrees, largest first; O(log n) to keep and extend."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, got {len(self.peaks)}")

    def copy(self) -> "Frontier":
        """An independent copy."""
        return Frontier(self.size, self.peaks)

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Adds one leaf hash and returns the nodes it completes, the leaf itself first."""
        level, index, done = 0, self.size, leaf
        completed = [((level, index), done)]
        while index & 1:
            done = node_hash(self.peaks.pop(), done)
            level, index = level + 1, index >> 1
            completed.append(((level, index), done))
        self.peaks.append(done)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Root hash of the tree so far."""
        return _join(self.peaks) if self.peaks else EMPTY_ROOT

    def nodes(self) -> dict[Node, bytes]:
        """The peaks by name."""
        return dict(zip(cover((0, self.size)), self.peaks, strict=True))


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Root over a list of leaf hashes (or of equally high whole subtrees)."""
    edge = Frontier()
    for each in hashes:
        edge.append(each)
    return edge.root()


def cover(leaves: Range) -> list[Node]:
    """The whole nodes, left to right, that make up a range as it occurs in proofs (aligned at its start)."""
    start, end = leaves
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """What an inclusion proof of leaf `index` in a tree of `size` leaves lists, sibling of the leaf first (2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} does not lie in a tree of {size} leaves")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """What a consistency proof between trees of `old` and `new` leaves lists (2.1.4.1). 1 <= old <= new."""
    if not 1 <= old <= new:
        raise ValueError(f"a tree of {old} leaves cannot be proved into one of {new}")
    start, end, path = 0, new, []
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    if start:  # the verifier knows the old root only where it is a node of the new tree
        path.append((start, end))
    return path[::-1]


def prove(ranges: Sequence[Range], nodes: Mapping[Node, bytes]) -> tuple[bytes, ...]:
    """The proof itself. `nodes` holds every node that covers one of `ranges`; raises `KeyError` otherwise."""
    return tuple(_hash_of(each, nodes) for each in ranges)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that the leaf hash `leaf` stands at `index` in the tree (RFC 9162, 2.1.3.2). Raises `ProofInvalid`."""
    # 1. The leaf lies in the tree.
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        raise ProofInvalid("the leaf does not lie in the tree")
    # 2. and 3. From the leaf up.
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        # 4a. More hashes than levels.
        if last == 0:
            raise ProofInvalid("the inclusion proof is too long")
        # 4b. A sibling to the left; then skip the levels at which the right edge has none.
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        # 4c. A sibling to the right.
        else:
            result = node_hash(result, sibling)
        # 4d. One level up.
        node, last = node >> 1, last >> 1
    # 5. The top is reached, and it is the root.
    if last or result != root:
        raise ProofInvalid("the inclusion proof does not lead to the root")


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Checks that the new tree begins with the old one (RFC 9162, 2.1.4.2). 1 <= old. Raises `ProofInvalid`."""
    if not 1 <= old <= new:
        raise ProofInvalid("the trees cannot be compared")
    if old == new:
        if proof or old_root != new_root:
            raise ProofInvalid("trees of one size must have one root and an empty proof")
        return
    # 1. An old tree that is a node of the new one is known by its root.
    path = [old_root, *proof] if old.bit_count() == 1 else list(proof)
    if not proof:
        raise ProofInvalid("the consistency proof is empty")
    # 2. and 3. Climb to where the old tree's right edge begins.
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    # 4. Both roots are computed side by side.
    was = now = path[0]
    for sibling in path[1:]:
        # 5a. More hashes than levels.
        if last == 0:
            raise ProofInvalid("the consistency proof is too long")
        # 5b. A node of both trees.
        if node & 1 or node == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        # 5c. A node that only the new tree has.
        else:
            now = node_hash(now, sibling)
        # 5d. One level up.
        node, last = node >> 1, last >> 1
    # 6. The top is reached, and both roots are right.
    if last or was != old_root or now != new_root:
        raise ProofInvalid("the consistency proof does not lead to both roots")


def _split(size: int) -> int:
    """The largest power of two below `size` (2.1.1)."""
    return 1 << (size - 1).bit_length() - 1


def _hash_of(leaves: Range, nodes: Mapping[Node, bytes]) -> bytes:
    start, end = leaves
    count = end - start
    if count & (count - 1) == 0:  # one whole node, as all but one of an inclusion proof's ranges are
        level = count.bit_length() - 1
        return nodes[level, start >> level]
    return _join([nodes[node] for node in cover(leaves)])


def _join(peaks: Sequence[bytes]) -> bytes:
    """Root over whole subtrees of falling height."""
    result = peaks[-1]
    for peak in reversed(peaks[:-1]):
        result = node_hash(peak, result)
    return result
