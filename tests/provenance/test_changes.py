"""What was added, replaced or copied is named, and where; ordinary handling is no change of content."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from provenance.claims import SealedImage
from provenance.files.encoding import FileBounds, decode
from provenance.looks.change_map import ChangeMap, RegionKind
from provenance.marks.tile_watermark import TileWatermark
from provenance.sealing import seal
from provenance.standings import Standing
from provenance.verification import VerifierSetup, verify
from tests.provenance.anatomy import store_of
from tests.provenance.forgeries import png_chunk
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import jpeg, make_photo_like

TILE = TileWatermark(TileWatermark.Options.model_validate({"keys": [{"id": "own", "hex": "07" * 32}]}))
Kept = tuple[VerifierSetup, SealedImage, Image.Image]


@pytest.fixture(scope="module", params=["painted", "kodim04.png", "kodim05.png"])
def kept(gateway: Gateway, request: pytest.FixtureRequest) -> Kept:
    """A gateway that keeps a sealed picture, the picture, and its pixels."""
    if request.param == "painted":
        pixels = make_photo_like(1)
    else:
        folder: Path = request.getfixturevalue("shared_data")
        pixels = np.asarray(Image.open(folder / "photos" / "kodak" / request.param).convert("RGB"))
    sealing = dataclasses.replace(gateway.sealing, watermarker=TILE)
    file = seal(sealing, pixels, make_claim())
    return (
        dataclasses.replace(gateway, sealing=sealing).keeping(file),
        file,
        Image.fromarray(np.array(decode(file.data, FileBounds()))),
    )


def changed(kept: Kept, picture: Image.Image, quality: int = 90) -> tuple[Standing, ChangeMap | None]:
    """What is said of a copy that was saved as a JPEG."""
    report = verify(kept[0], jpeg(np.asarray(picture), quality))
    return report.standing, report.record.change_map if report.record is not None else None


def kinds(found: ChangeMap | None) -> set[RegionKind]:
    assert found is not None
    return {region.kind for region in found.regions}


def lettered(picture: Image.Image) -> Image.Image:
    """A meme: white words with a black edge at the top and at the bottom."""
    copy = picture.copy()
    size = picture.width // 12
    for top, words in ((0.03, "WHEN THE PIPELINE"), (0.86, "IS GREEN AT LAST")):
        place = (picture.width // 12, int(picture.height * top))
        ImageDraw.Draw(copy).text(place, words, "white", font_size=size, stroke_width=3, stroke_fill="black")
    return copy


def barred(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    ImageDraw.Draw(copy).rectangle((0, 0, picture.width, picture.height // 8), "black")
    return copy


def framed(picture: Image.Image) -> Image.Image:
    return ImageOps.expand(picture, picture.width // 12, "white")


def letterboxed(picture: Image.Image) -> Image.Image:
    return ImageOps.expand(picture, (0, picture.height // 6), "black")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lettered, {RegionKind.OVERLAY, RegionKind.CONTENT}),  # between thin letters a photograph shows through
        (barred, {RegionKind.OVERLAY}),
        (framed, {RegionKind.MARGIN}),
        (letterboxed, {RegionKind.MARGIN}),
    ],
)
def test_what_was_laid_over_or_around_a_picture_is_named(  # case V2
    kept: Kept, change: Callable[[Image.Image], Image.Image], named: set[RegionKind]
) -> None:
    standing, found = changed(kept, change(kept[2]))
    assert standing is Standing.OURS_ALTERED
    assert kinds(found) & named


def test_a_mark_on_a_picture_with_too_little_to_compare_is_never_ours(kept: Kept) -> None:  # case V3
    pixels = np.asarray(kept[2])
    marked = TILE.embed(np.full_like(pixels, 128), kept[1].mark, 2.0)
    report = verify(kept[0], jpeg(marked, 98))
    assert report.detection is not None, "the mark is there"
    assert report.standing in (Standing.CANNOT_TELL, Standing.COPIED_MARK)
    assert report.exit_code == 1


def test_our_manifest_in_another_picture_is_a_copied_credential(kept: Kept) -> None:  # case V4
    out = io.BytesIO()
    Image.fromarray(make_photo_like(77)).save(out, "PNG")
    start, end = store_of(kept[1].data)
    plain = out.getvalue()
    forged = plain[:33] + png_chunk(b"caBX", kept[1].data[start:end]) + plain[33:]
    report = verify(kept[0], forged)
    assert (report.standing, report.exit_code) == (Standing.COPIED_CREDENTIAL, 1)
    assert verify(kept[0], kept[1].data).standing is Standing.OURS_INTACT


@pytest.mark.parametrize("share", [0.05, 0.10])
@pytest.mark.parametrize("place", [(0.3, 0.35), (0.65, 0.6)])
def test_a_replaced_part_is_named_and_its_place_shown(  # case V5
    kept: Kept, share: float, place: tuple[float, float]
) -> None:
    picture = kept[2]
    width, height = picture.size
    radius = (share * width * height / np.pi) ** 0.5
    middle = (place[0] * width, place[1] * height)
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    mask = Image.new("L", picture.size)
    ImageDraw.Draw(mask).ellipse(box, 255)
    other = Image.fromarray(make_photo_like(5)).resize(picture.size)
    standing, found = changed(kept, Image.composite(other, picture, mask.filter(ImageFilter.GaussianBlur(2))))
    assert standing is Standing.OURS_ALTERED
    assert found is not None
    assert found.changed >= share / 3
    main = max((each for each in found.regions if each.kind is not RegionKind.MARGIN), key=lambda each: each.share)
    assert abs(main.x + main.width / 2 - middle[0]) < radius
    assert abs(main.y + main.height / 2 - middle[1]) < radius


@pytest.mark.parametrize(
    "handled",
    [
        lambda picture: picture.resize((picture.width * 9 // 10, picture.height)),
        lambda picture: picture.resize((picture.width // 2, picture.height // 2)),
        lambda picture: ImageEnhance.Color(picture).enhance(1.15),
        lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
        lambda picture: picture.crop((0, 0, picture.width * 9 // 10, picture.height * 9 // 10)),
        lambda picture: picture.filter(ImageFilter.GaussianBlur(0.8)),
    ],
    ids=["squeezed", "halved", "more colour", "brighter", "cropped", "blurred"],
)
def test_ordinary_handling_is_no_change_of_content(  # case V5
    kept: Kept, handled: Callable[[Image.Image], Image.Image]
) -> None:
    standing, found = changed(kept, handled(kept[2]), 50)
    assert standing in (Standing.OURS_ALTERED, Standing.LOOKS_LIKE_OURS)
    assert RegionKind.CONTENT not in kinds(found)


@pytest.mark.parametrize("standing", Standing)
def test_every_standing_has_a_sentence_and_an_exit_code(standing: Standing) -> None:
    assert standing.sentence.endswith(".")
    assert standing.exit_code in (0, 1, 2, 3)
