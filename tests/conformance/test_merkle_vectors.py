"""The Merkle tree against the published RFC 6962 proofs (good and bad), a naive reading of the RFC, and pymerkle."""

import base64
import hashlib
import json
import tarfile
from itertools import pairwise
from pathlib import Path

import pymerkle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.log.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofInvalid,
    consistency_ranges,
    cover,
    inclusion_ranges,
    leaf_hash,
    prove,
    root_of,
    verify_consistency,
    verify_inclusion,
)

LARGEST = 130
LEAVES = [number.to_bytes(2) * (number % 7) for number in range(LARGEST)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]


def probes(vectors: Path, kind: str) -> list[dict]:
    with tarfile.open(vectors / "merkle_vectors" / "rfc6962_testdata.tar.gz") as archive:
        names = [each for each in archive.getmembers() if f"/{kind}/" in each.name and each.name.endswith(".json")]
        return [{"file": each.name, **json.load(archive.extractfile(each))} for each in names]


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def holds(check, *arguments) -> bool:
    try:
        check(*arguments)
    except ProofInvalid:
        return False
    return True


def test_every_published_inclusion_probe_is_judged_as_published(vectors):
    cases = probes(vectors, "inclusion")
    for case in cases:
        proof = [raw(each) for each in case["proof"] or ()]
        verdict = holds(
            verify_inclusion, raw(case["leafHash"]), case["leafIdx"], case["treeSize"], proof, raw(case["root"])
        )
        assert verdict is not case["wantErr"], case["file"]
    assert len(cases) == 98


def test_every_published_consistency_probe_is_judged_as_published(vectors):
    cases = probes(vectors, "consistency")
    for case in cases:
        proof = [raw(each) for each in case["proof"] or ()]
        verdict = holds(verify_consistency, case["size1"], case["size2"], raw(case["root1"]), raw(case["root2"]), proof)
        assert verdict is not case["wantErr"], case["file"]
    assert len(cases) == 98


# The RFC's own recursive definitions (2.1.1, 2.1.3.1, 2.1.4.1), written down as they stand there.


def split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = split(len(leaves))
    if old <= k:
        return [*naive_subproof(old, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(old - k, leaves[k:], False), naive_root(leaves[:k])]


@pytest.fixture(scope="module")
def nodes():
    tree, known = Frontier(), {}
    for each in HASHES:
        known.update(tree.append(each))
    return known


@pytest.fixture(scope="module")
def roots():
    return [naive_root(LEAVES[:size]) for size in range(LARGEST + 1)]


def test_every_root_is_that_of_the_definition(roots):
    tree = Frontier()
    assert tree.root() == roots[0] == EMPTY_ROOT
    for each, root in zip(HASHES, roots[1:], strict=True):
        tree.append(each)
        assert tree.root() == root


def test_every_leaf_is_proved_into_every_tree_as_the_definition_does(nodes, roots):
    for size in range(1, LARGEST + 1):
        for index in range(size):
            proof = prove(inclusion_ranges(index, size), nodes)
            verify_inclusion(HASHES[index], index, size, proof, roots[size])
            if size % 13 == 0:
                assert list(proof) == naive_path(index, LEAVES[:size])


def test_every_log_prefix_proves_into_every_larger_log(nodes, roots):
    for new in range(1, LARGEST + 1):
        for old in range(1, new + 1):
            proof = prove(consistency_ranges(old, new), nodes)
            verify_consistency(old, new, roots[old], roots[new], proof)
            if new % 13 == 0:
                assert list(proof) == naive_subproof(old, LEAVES[:new], True)


def test_no_proof_holds_for_a_neighbouring_leaf_or_size(nodes, roots):
    for size in range(2, 40):
        for index in range(size):
            proof = prove(inclusion_ranges(index, size), nodes)
            for other in {*range(size)} - {index}:
                assert not holds(verify_inclusion, HASHES[index], other, size, proof, roots[size])
            assert not holds(verify_inclusion, HASHES[index], index, size, proof, roots[size - 1])
        for old in range(1, size):
            proof = prove(consistency_ranges(old, size), nodes)
            assert not holds(verify_consistency, old, size, roots[old - 1], roots[size], proof)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=300), st.data())
@settings(max_examples=30, deadline=None)
def test_a_second_implementation_has_the_same_roots_and_proofs(leaves, data):
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    tree, known = Frontier(), {}
    for leaf in leaves:
        theirs.append_entry(leaf)
        known.update(tree.append(leaf_hash(leaf)))
    size = len(leaves)
    assert tree.root() == theirs.get_state() == root_of(map(leaf_hash, leaves))
    # Ours against their roots.
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    ours = prove(inclusion_ranges(index, size), known)
    verify_inclusion(theirs.get_leaf(index + 1), index, size, ours, theirs.get_state(size))
    growth = prove(consistency_ranges(old, size), known)
    verify_consistency(old, size, theirs.get_state(old), theirs.get_state(size), growth)
    # Theirs against our roots.
    path = theirs.prove_inclusion(index + 1)
    pymerkle.verify_inclusion(leaf_hash(leaves[index]), tree.root(), path)
    pymerkle.verify_consistency(root_of(map(leaf_hash, leaves[:old])), tree.root(), theirs.prove_consistency(old, size))
    assert ours == tuple(path.path[1:])


@given(st.integers(1, 1 << 40), st.data())
def test_proof_ranges_of_huge_trees_are_few_and_touch_each_other(size, data):
    index = data.draw(st.integers(0, size - 1))
    ranges = inclusion_ranges(index, size)
    assert len(ranges) <= 40
    ordered = sorted([*ranges, (index, index + 1)])
    assert ordered[0][0] == 0
    assert ordered[-1][1] == size
    assert all(before[1] == after[0] for before, after in pairwise(ordered))
    for start, end in ranges:
        assert sum(1 << level for level, _ in cover((start, end))) == end - start


def test_a_frontier_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="peaks"):
        Frontier(3, [HASHES[0]])
