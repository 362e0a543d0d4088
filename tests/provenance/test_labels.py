"""Labels in metadata: each profile's fields are written where its readers look, and read from files of any origin."""

import io
import json
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from provenance.claims import LabelProfile, MediaType, Source
from provenance.credentials.reading import CredentialState
from provenance.errors import ReadBackFailed
from provenance.files.encoding import encode
from provenance.files.headers import png_chunk
from provenance.labels import Labels, attach, embedded, packet, read_labels
from provenance.labels.embedded import MAX_BYTES, Embedded
from provenance.labels.profiles import PROFILES, fields_of
from provenance.reports import about_labels
from provenance.sealing import seal
from provenance.verification import verify
from tests.provenance.operators import Gateway, make_claim
from tests.provenance.pictures import jpeg, make_picture

FORMATS: tuple[MediaType, ...] = ("image/png", "image/jpeg", "image/webp", "image/avif", "image/tiff")
every_format = pytest.mark.parametrize("media_type", FORMATS)
CODE = "001191110108MA01KP2T5U00001"
PIXELS = make_picture(64, 64)

profiles = st.lists(st.sampled_from(sorted(PROFILES)), min_size=1, unique=True).map(tuple)
texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=100)


def plain(media_type: MediaType) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, media_type.removeprefix("image/"))
    return out.getvalue()


def labelled(media_type: MediaType, labels: tuple[LabelProfile, ...], **changes: object) -> tuple[bytes, Labels]:
    claim = make_claim(media_type, labels=labels, provider_code=CODE, **changes)
    encoded = encode(PIXELS, media_type, 90, packet(claim))
    data = attach(encoded, media_type, packet(claim), width=64, height=64)
    return data, read_labels(embedded(data, media_type))


def xmp(inside: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:q="http://purl.org/dc/elements/1.1/" '
        f'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/">{inside}</rdf:RDF></x:xmpmeta>'
    ).encode()


@every_format
@settings(max_examples=40, deadline=None)
@given(chosen=profiles, provider=texts)
def test_what_is_written_is_what_is_read(
    media_type: MediaType, chosen: tuple[LabelProfile, ...], provider: str
) -> None:
    _, found = labelled(media_type, chosen, provider=provider)

    assert set(chosen) <= set(found.profiles)
    claim = make_claim(media_type, labels=chosen, provider=provider, provider_code=CODE)
    assert dict(found.fields) == {name: text for name, text in fields_of(claim).items() if name != "aigc"}
    assert bool(found.aigc) == ("china" in chosen)
    assert found.says_ai


@pytest.mark.parametrize("alone", sorted(PROFILES))
def test_a_profile_that_is_off_leaves_no_field_of_its_own(alone: LabelProfile) -> None:
    _, found = labelled("image/png", (alone,))

    assert found.profiles == (alone,)


@every_format
def test_china_s_label_is_the_json_of_the_standard_in_its_xmp_property(media_type: MediaType) -> None:
    data, found = labelled(media_type, ("china",))

    assert b"<TC260:AIGC>{&quot;" in data or b'<TC260:AIGC>{"Label":"1",' in data
    assert found.aigc == {
        "Label": "1",
        "ContentProducer": CODE,
        "ProduceID": make_claim().content_id,
        "ReservedCode1": "",
        "ContentPropagator": CODE,
        "PropagateID": make_claim().content_id,
        "ReservedCode2": "",
    }


def test_an_edited_picture_is_labelled_as_manipulated() -> None:
    _, found = labelled("image/png", ("eu",), parent=Source(b"x", "image/png"))

    assert found.fields["kind"] == "AI-manipulated"
    assert found.fields["source_type"].endswith("/compositeWithTrainedAlgorithmicMedia")


def test_prompt_and_prompt_writer_are_in_no_profile() -> None:
    assert not [name for name in fields_of(make_claim(labels=tuple(PROFILES), provider_code=CODE)) if "prompt" in name]
    assert b"Prompt" not in packet(make_claim(labels=tuple(PROFILES), provider_code=CODE))


def test_a_claim_without_profiles_or_with_a_nameless_producer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one profile"):
        make_claim(labels=())
    with pytest.raises(ValueError, match="provider code"):
        make_claim(labels=("china",))


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
@every_format
def test_exiftool_reads_every_field(media_type: MediaType, tmp_path: Path) -> None:
    file = tmp_path / f"picture.{media_type.removeprefix('image/')}"
    file.write_bytes(labelled(media_type, tuple(PROFILES))[0])
    done = subprocess.run(["exiftool", "-json", "-G1", file], capture_output=True, check=True)
    (said,) = json.loads(done.stdout)

    claim = make_claim()
    assert said["XMP-iptcExt:DigitalSourceType"] == claim.digital_source_type
    assert said["XMP-dc:Type"] == "AI-generated"
    assert said["XMP-dc:Publisher"] == claim.provider
    assert said["XMP-dc:Identifier"] == claim.content_id
    assert said["XMP-xmp:CreatorTool"] == f"Fluxgate {claim.system_version}"
    assert said["XMP-xmp:CreateDate"].startswith(claim.created_at.strftime("%Y:%m:%d %H:%M:%S"))
    assert "ExifTool:Warning" not in said


@every_format
def test_the_verifier_shows_the_labels_of_a_sealed_file_and_the_signature_covers_them(
    gateway: Gateway, media_type: MediaType
) -> None:
    claim = make_claim(media_type, labels=tuple(PROFILES), provider_code=CODE)
    data = seal(gateway.sealing, make_picture(), claim).data
    found = verify(gateway.without_records(), data)

    assert set(found.labels.profiles) == set(PROFILES)
    said = dict(found.statements)["labels"]
    for fact in ("AI-generated", "Fluxgate", claim.provider, claim.created_text, claim.content_id, CODE, "SB 942"):
        assert fact in said
    forged = data.replace(b"Example &amp; Sons", b"Example &amp; Song")
    assert verify(gateway.without_records(), forged).credential.state is CredentialState.INVALID


def test_a_file_whose_labels_cannot_be_read_back_is_not_delivered(gateway: Gateway) -> None:
    with pytest.raises(ReadBackFailed, match="labels"):
        seal(gateway.sealing, make_picture(), make_claim(provider="not \x01 XML"))


# -- files of others ---------------------------------------------------------------------------------------------------


def test_properties_are_found_wherever_rdf_lets_them_stand() -> None:
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    for inside in (
        f'<rdf:Description e:DigitalSourceType="{source}" e:AISystemUsed="Painter"/>',
        f"<rdf:Description><e:DigitalSourceType>{source}</e:DigitalSourceType></rdf:Description>"
        "<rdf:Description><e:AISystemUsed>Painter</e:AISystemUsed></rdf:Description>",
        f'<rdf:Description e:AISystemUsed="Painter"><e:DigitalSourceType rdf:resource="{source}"/></rdf:Description>',
        "<rdf:Description><e:AISystemUsed><rdf:Seq><rdf:li>Painter</rdf:li></rdf:Seq></e:AISystemUsed>"
        f"<e:DigitalSourceType>{source}</e:DigitalSourceType></rdf:Description>",
    ):
        found = read_labels(Embedded(xmp(inside)))
        assert found.fields == {"source_type": source, "system": "Painter"}, inside
        assert found.says_ai


AIGC = {"Label": "1", "ContentProducer": "doubao", "ProduceID": "p-1"}


def _exif(comment: bytes) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    return exif.tobytes()


def _png_text(before: bool) -> bytes:
    note = png_chunk(b"tEXt", b"AIGC\0" + json.dumps(AIGC).encode())
    data = plain("image/png")
    return data[:33] + note + data[33:] if before else data[:-12] + note + data[-12:]


def _png_compressed() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("AIGC", json.dumps(AIGC), zip=True)
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def _with_exif(form: str, comment: bytes) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, form, exif=_exif(comment))
    return out.getvalue()


STRANGERS: dict[str, tuple[MediaType, Callable[[], bytes]]] = {
    "PNG text": ("image/png", lambda: _png_text(before=True)),
    "PNG text behind the pixels": ("image/png", lambda: _png_text(before=False)),
    "compressed PNG text": ("image/png", _png_compressed),
    "EXIF in ASCII": (
        "image/jpeg",
        lambda: _with_exif("JPEG", b"ASCII\0\0\0" + json.dumps({"AIGC": AIGC}).encode()),
    ),
    "EXIF in UTF-16": (
        "image/webp",
        lambda: _with_exif("WEBP", b"UNICODE\0" + json.dumps({"AIGC": AIGC}).encode("utf-16-le")),
    ),
    "XMP": (
        "image/jpeg",
        lambda: attach(
            plain("image/jpeg"),
            "image/jpeg",
            xmp(f"<rdf:Description><TC260:AIGC>{json.dumps(AIGC)}</TC260:AIGC></rdf:Description>"),
            width=64,
            height=64,
        ),
    ),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_china_s_label_of_another_system_is_found_wherever_it_is_put(gateway: Gateway, kind: str) -> None:
    _, made = STRANGERS[kind]
    found = verify(gateway.without_records(), made())

    assert found.labels.aigc == AIGC
    assert "AIGC ContentProducer doubao" in dict(found.statements)["labels"]


def test_of_a_file_without_labels_nothing_is_concluded(gateway: Gateway) -> None:
    said = dict(verify(gateway.without_records(), jpeg(PIXELS, 90)).statements)["labels"]

    assert "does not tell how the picture was made" in said
    assert "not AI" not in said


def test_a_photograph_s_own_metadata_is_no_ai_label() -> None:
    camera = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    found = read_labels(Embedded(xmp(f'<rdf:Description e:DigitalSourceType="{camera}" q:identifier="7"/>')))

    assert not found.says_ai
    assert "digitalCapture" in about_labels(found)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><x>&i;</x>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'


@pytest.mark.parametrize(
    "packet_of_a_stranger",
    [
        BOMB.encode(),
        OUTSIDE.encode(),
        b"<" * 1000,
        b"<a>" * 300_000,
        b'<?xml version="1.0" encoding="utf-7"?><a/>',
        b'<?xml version="1.0" encoding="nobody"?><a/>',
        b"\xff\xfe<",
    ],
    ids=["entities", "external entity", "no XML", "unclosed", "utf-7", "unknown encoding", "half utf-16"],
)
def test_hostile_xmp_yields_no_field_and_no_exception(packet_of_a_stranger: bytes) -> None:
    found = read_labels(Embedded(packet_of_a_stranger))

    assert not found.fields
    assert found.unreadable
    assert "cannot be read safely" in about_labels(found)


def test_deep_xmp_is_walked_through() -> None:
    depth = 100_000
    deep = b"<a>" * depth + b"</a>" * depth
    assert read_labels(Embedded(deep)) == Labels()


def test_what_is_too_large_is_not_looked_into() -> None:
    data = plain("image/webp")
    large = attach(data, "image/webp", b" " * MAX_BYTES + xmp(""), width=64, height=64)
    assert embedded(large, "image/webp") == Embedded(unreadable=True)
    bomb = png_chunk(b"zTXt", b"AIGC\0\0" + zlib.compress(b"{" * 50_000_000))
    png = plain("image/png")
    assert embedded(png[:33] + bomb + png[33:], "image/png") == Embedded(unreadable=True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=100))
def test_reading_never_raises(packet_of_a_stranger: bytes, note: str) -> None:
    for found in (
        Embedded(packet_of_a_stranger, (note,)),
        Embedded(xmp(packet_of_a_stranger.decode("latin-1")), ("{" + note,)),
    ):
        said = about_labels(read_labels(found))
        assert said.isprintable()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_broken_container_never_raises(data: st.DataObject) -> None:
    media_type, made = STRANGERS[data.draw(st.sampled_from(sorted(STRANGERS)))]
    broken = bytearray(made())
    for _ in range(3):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    read_labels(embedded(bytes(broken), media_type))


def test_what_a_stranger_wrote_is_shown_as_one_short_line() -> None:
    words = (
        "<rdf:Description><e:AISystemUsed>one\n two\u202e\u0085three "
        + "x" * 5000
        + "</e:AISystemUsed></rdf:Description>"
    )
    system = read_labels(Embedded(xmp(words))).fields["system"]

    assert system.startswith("one two three xxx")
    assert len(system) == 200


def test_pixels_are_not_touched_by_a_label() -> None:
    data, _ = labelled("image/png", tuple(PROFILES))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), PIXELS)
