"""Whatever credential a picture sent in has, what is made from it is sealed and trusted, and says what became of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from provenance.claims import MediaType, SealedImage, Source
from provenance.credentials.ingredients import MOST_STORE_BYTES, IngredientTrial
from provenance.credentials.reading import CredentialState
from provenance.files.encoding import encode
from provenance.files.headers import read_header
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import verify
from tests.provenance.broken_credentials import holding
from tests.provenance.formats import FORMATS, every_format
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import make_picture

PIXELS = make_picture(256, 256)
READ = "could not be read and is not kept"


@pytest.fixture(scope="module")
def trial(gateway: Gateway) -> IngredientTrial:
    return IngredientTrial(gateway.sealing.reader, gateway.anchors_pem)


@pytest.fixture(scope="module")
def signed(gateway: Gateway) -> SealedImage:
    return seal(gateway.sealing, PIXELS, make_claim())


def made_from(
    gateway: Gateway, trial: IngredientTrial, *sources: Source, media_type: MediaType = "image/png", edits: bool = True
) -> list[dict[str, Any]]:
    """The ingredients in the manifest of a picture made from the sources, which is checked to be ours and intact."""
    settled = trial.settle(sources, media_type, edits=edits)
    parts = {"parent": settled[0], "references": settled[1:]} if edits else {"references": settled}

    sealed = seal(gateway.sealing, PIXELS, make_claim(media_type, **parts))

    report = verify(gateway.without_records(), sealed.data)
    assert report.standing is Standing.OURS_INTACT
    assert report.credential.state is CredentialState.TRUSTED
    store = json.loads(sealed.manifest_json)
    found: list[dict[str, Any]] = store["manifests"][store["active_manifest"]]["ingredients"]
    found.sort(key=lambda part: str(part["title"]))
    assert [part["relationship"] for part in found] == [
        "parentOf" if edits and not place else "inputTo" for place in range(len(sources))
    ]
    return found


def broken_stores(manifest: bytes) -> dict[str, bytes]:
    """Stores that c2pa cannot take apart, each for another reason."""
    return {
        "ten bytes": b"c2pa hello",
        "a length beyond the file": b"\xff" * 4 + b"jumb" + b"c2pa" * 10,
        "cut in the middle": manifest[: len(manifest) // 2],
        "zeros behind its beginning": manifest[:300] + bytes(len(manifest) - 300),
    }


# case R2
@every_format
@pytest.mark.parametrize("kind", broken_stores(bytes(300)))
@pytest.mark.parametrize("edits", [True, False], ids=["edit", "reference"])
def test_a_store_that_nobody_can_read_is_named_as_such(
    gateway: Gateway, trial: IngredientTrial, signed: SealedImage, media_type: MediaType, kind: str, edits: bool
) -> None:
    file = holding(broken_stores(signed.manifest)[kind], media_type)

    (found,) = made_from(gateway, trial, Source(file, media_type), edits=edits)

    assert "active_manifest" not in found
    if (media_type, kind) != ("image/jpeg", "ten bytes"):  # not even the beginning of a JUMBF segment
        assert READ in found["description"]


# case R2
@pytest.mark.parametrize("out", FORMATS)
def test_what_cannot_be_read_is_left_out_of_every_format_that_is_made(
    gateway: Gateway, trial: IngredientTrial, out: MediaType
) -> None:
    file = holding(b"c2pa hello", "image/png")

    (found,) = made_from(gateway, trial, Source(file, "image/png"), media_type=out)

    assert READ in found["description"]


# case R2
def test_an_empty_place_and_no_place_at_all_are_named_without_a_word(gateway: Gateway, trial: IngredientTrial) -> None:
    for file in (holding(b"", "image/png"), encode(PIXELS, "image/png", 90)):
        (found,) = made_from(gateway, trial, Source(file, "image/png"))

        assert not {"description", "active_manifest"} & set(found)


# case R2
def test_a_store_that_is_too_large_is_left_out_and_that_is_said(
    gateway: Gateway, trial: IngredientTrial, signed: SealedImage
) -> None:
    free = (8 + MOST_STORE_BYTES).to_bytes(4, "big") + b"free" + bytes(MOST_STORE_BYTES)
    store = (len(signed.manifest) + len(free)).to_bytes(4, "big") + signed.manifest[4:] + free

    (found,) = made_from(gateway, trial, Source(holding(store, "image/png"), "image/png"))

    assert "active_manifest" not in found


# case R2
def test_a_chain_is_kept_as_long_as_it_can_be_followed(gateway: Gateway, trial: IngredientTrial) -> None:
    file = seal(gateway.sealing, PIXELS, make_claim("image/jpeg")).data
    for _ in range(4):
        (source,) = trial.settle([Source(file, "image/jpeg")], "image/jpeg", edits=True)
        assert source.left_out is None
        sealed = seal(gateway.sealing, PIXELS, make_claim("image/jpeg", parent=source))
        file = sealed.data

    assert len(json.loads(sealed.manifest_json)["manifests"]) == 5


# case R2
def test_two_versions_of_one_manifest_do_not_spoil_each_other(
    gateway: Gateway, trial: IngredientTrial, signed: SealedImage
) -> None:
    changed = bytearray(signed.data)
    changed[changed.index(b"Example & Sons", changed.index(b"caBX"))] ^= 1

    found = made_from(
        gateway, trial, *(Source(bytes(data), "image/png") for data in (signed.data, changed, signed.data))
    )

    assert found[0]["active_manifest"] == signed.manifest_id
    assert any("not kept" in part.get("description", "") for part in found[1:])


SAMPLE = (
    "c2pa_python_fixtures/C_with_CAWG_data.jpg",
    "c2pa_python_fixtures/cloud.jpg",
    "c2pa_python_fixtures/files-for-reading-tests/CIE-sig-CA.jpg",
    "c2pa_python_fixtures/files-for-reading-tests/XCA.jpg",
)


# case R2
@pytest.mark.parametrize("name", SAMPLE)
def test_published_files_can_be_edited(gateway: Gateway, trial: IngredientTrial, published: Any, name: str) -> None:
    data = published(name).read_bytes()

    (found,) = made_from(gateway, trial, Source(data, "image/jpeg"), media_type="image/webp")

    assert ("active_manifest" in found) == ("cloud" not in name)
    if "cloud" in name:
        assert "kept elsewhere" in found["description"]


# case R2
@pytest.mark.slow
@pytest.mark.data
@every_format
def test_every_published_file_can_be_edited_and_looked_at(
    gateway: Gateway, trial: IngredientTrial, shared_data: Path, media_type: MediaType
) -> None:
    folders = ("c2pa_public_testfiles", "c2pa_python_fixtures")
    files = [file for folder in folders for file in (shared_data / folder).rglob("*.jp*g") if file.is_file()]
    assert len(files) >= 25
    for file in sorted(files):
        data = file.read_bytes()
        source = Source(data, read_header(data).media_type)  # type: ignore[arg-type]
        for edits in (True, False):
            (found,) = made_from(gateway, trial, source, media_type=media_type, edits=edits)
            if "E-clm" in file.name:
                assert "ingredient.manifest.missing" in found["description"]
