"""Tiles, bundles and checkpoints against the files of a published log (tessera's test data), byte for byte."""

import re
import tarfile

import pytest

from provenance.log.checkpoints import CheckpointInvalid, CheckpointSigner, LogKeyInvalid, parse_vkey, verify_checkpoint
from provenance.log.merkle import Frontier, leaf_hash, root_of
from provenance.log.tiles import TileInvalid, bundle, bundle_path, levels, read_bundle, tile_path, tiles_at

# The published key pair of that test log (transparency-dev/tessera, testdata/build_log.sh).
PRIVATE = "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SIZE = 15


@pytest.fixture(scope="module")
def log(vectors):
    with tarfile.open(vectors / "tlog_tiles_vectors" / "tessera_testdata.tar.gz") as archive:
        files = [each for each in archive.getmembers() if each.isfile()]
        return {each.name.partition("/log/")[2]: archive.extractfile(each).read() for each in files}


@pytest.fixture(scope="module")
def leaves(log):
    return read_bundle(log[bundle_path(0, SIZE)], SIZE)


def test_every_published_bundle_is_rebuilt_byte_for_byte(log, leaves):
    bundles = {name: data for name, data in log.items() if name.startswith("tile/entries/")}
    assert len(bundles) == SIZE
    for name, data in bundles.items():
        width = int(name.rpartition("/")[2])
        assert name == bundle_path(0, width)
        assert bundle(leaves[:width]) == data
        assert read_bundle(data, width) == leaves[:width]


def test_every_published_tile_is_rebuilt_byte_for_byte(log, leaves):
    tiles = {name: data for name, data in log.items() if name.startswith("tile/0/")}
    assert tiles
    for name, data in tiles.items():
        width = int(name.rpartition("/")[2])
        assert name == tile_path(0, 0, width)
        assert b"".join(map(leaf_hash, leaves[:width])) == data


def test_every_published_checkpoint_is_verified_and_signed_again_byte_for_byte(log, leaves):
    signer, key = CheckpointSigner.parse(PRIVATE), parse_vkey(VKEY)
    assert signer.key == key
    notes = {name: data.decode() for name, data in log.items() if re.fullmatch(r"checkpoint(\.\d+)?", name)}
    assert len(notes) >= SIZE
    for name, note in notes.items():
        size = int(name.removeprefix("checkpoint.")) if "." in name else SIZE
        checkpoint = verify_checkpoint(note, key)
        assert (checkpoint.size, checkpoint.root) == (size, root_of(map(leaf_hash, leaves[:size]))), name
        tree = Frontier()
        for leaf in leaves[:size]:
            tree.append(leaf_hash(leaf))
        assert signer.sign(size, tree.root()) == note, name


def test_a_changed_bit_anywhere_in_a_published_checkpoint_is_refused(log):
    key, note = parse_vkey(VKEY), log["checkpoint"]
    for position in range(len(note) * 8):
        changed = bytearray(note)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(CheckpointInvalid):
            verify_checkpoint(changed.decode(errors="replace"), key)


def test_a_checkpoint_with_foreign_signatures_beside_ours_is_accepted(log):
    note = log["checkpoint"].decode()
    foreign = "".join(f"— witness{number}.example AAAAAAAA\n" for number in range(16))
    assert verify_checkpoint(note + foreign, parse_vkey(VKEY)).size == SIZE


def test_the_verifier_key_of_the_specification_is_read_and_written_as_it_is():
    example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    key = parse_vkey(example)
    assert key.name == "example.com/foo"
    assert key.key_id.hex() == "530d903a"
    assert key.vkey == example
    for broken in (
        example.replace("530d", "530e"),
        example.replace("foo", "fop"),
        example[:-1],
        example[:-1] + "l",
        "",
    ):
        with pytest.raises(LogKeyInvalid):
            parse_vkey(broken)


def test_paths_are_those_of_the_specification():
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert bundle_path(1000, 17) == "tile/entries/x001/000.p/17"
    assert tile_path(2, 0, 1) == "tile/2/000.p/1"


def test_a_log_of_70000_entries_has_the_tiles_that_the_specification_counts():
    tiles = {level: list(tiles_at(level, 70_000)) for level in levels(70_000)}
    assert len(tiles[0]) == 274
    assert tiles[0][-1] == (273, 112)
    assert tiles[1] == [(0, 256), (1, 17)]
    assert tiles[2] == [(0, 1)]
    assert [list(tiles_at(level, 256)) for level in levels(256)] == [[(0, 256)], [(0, 1)]]
    assert list(levels(0)) == []


def test_an_entry_of_65535_bytes_fits_into_a_bundle_and_a_longer_one_does_not():
    largest = b"x" * 65535
    assert read_bundle(bundle([largest, b""]), 2) == [largest, b""]
    with pytest.raises(TileInvalid):
        bundle([largest + b"x"])


def test_a_bundle_that_is_cut_or_holds_another_count_is_refused():
    whole = bundle([b"one", b"two"])
    for data, width in ((whole[:-1], 2), (whole, 1), (whole, 3), (whole + b"\x00", 2)):
        with pytest.raises(TileInvalid):
            read_bundle(data, width)
