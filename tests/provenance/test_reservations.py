"""What a file reserves is read in all three vocabularies, and nothing is read into silence."""

import json

import pytest

from provenance.credentials.reservations import USES, reservations

PLUS = 'xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/"'
VOCABULARY = "http://ns.useplus.org/ldf/vocab/"


def packet(attributes: str = "", content: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {attributes}>{content}</rdf:Description></rdf:RDF></x:xmpmeta>'
        '<?xpacket end="w"?>'
    ).encode()


def manifest(label: str, entries: dict[str, object]) -> str:
    assertion = {"label": label, "data": {"entries": entries}}
    return json.dumps({"active_manifest": "urn:1", "manifests": {"urn:1": {"assertions": [assertion]}}})


@pytest.mark.parametrize(
    ("value", "reserved"),
    [
        ("DMI-PROHIBITED", ("data_mining", "ai_generative_training", "ai_training")),
        ("DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", ("data_mining", "ai_generative_training", "ai_training")),
        ("DMI-PROHIBITED-AIMLTRAINING", ("ai_generative_training", "ai_training")),
        ("DMI-PROHIBITED-GENAIMLTRAINING", ("ai_generative_training",)),
        ("DMI-ALLOWED", ()),
        ("DMI-UNSPECIFIED", ()),
    ],
)
def test_plus_data_mining_is_read_however_it_is_written(value: str, reserved: tuple[str, ...]) -> None:
    for xmp in (
        packet(f'{PLUS} plus:DataMining="{VOCABULARY}{value}"'),
        packet(PLUS, f"<plus:DataMining>{VOCABULARY}{value}</plus:DataMining>"),
        packet(PLUS, f'<plus:DataMining rdf:resource="{VOCABULARY}{value}"/>'),
    ):
        assert reservations(None, xmp) == reserved


@pytest.mark.parametrize("namespace", ["http://www.w3.org/ns/tdmrep#", "http://www.w3.org/ns/tdmrep/"])
def test_a_tdm_reservation_is_read(namespace: str) -> None:
    tdm = f'xmlns:tdm="{namespace}"'
    assert reservations(None, packet(f'{tdm} tdm:reservation="1"')) == ("data_mining",)
    assert reservations(None, packet(tdm, "<tdm:reservation> 1 </tdm:reservation>")) == ("data_mining",)
    assert reservations(None, packet(f'{tdm} tdm:reservation="0"')) == ()


@pytest.mark.parametrize("prefix", ["cawg", "c2pa"])
@pytest.mark.parametrize("use", USES)
def test_training_mining_assertions_are_read(prefix: str, use: str) -> None:
    for word, reserved in (("notAllowed", (use,)), ("constrained", (use,)), ("allowed", ())):
        said = manifest(f"{prefix}.training-mining", {f"{prefix}.{use}": {"use": word}})
        assert reservations(said, b"") == reserved


@pytest.mark.parametrize(
    "entries",
    [{"cawg.ai_inference": "notAllowed"}, {"cawg.unheard_of": {"use": "notAllowed"}}, [], "notAllowed", None],
)
def test_odd_assertions_reserve_nothing_and_break_nothing(entries: object) -> None:
    assert reservations(manifest("cawg.training-mining", entries), b"") == ()  # type: ignore[arg-type]


def test_silence_reserves_nothing() -> None:
    assert reservations(None, b"") == ()
    assert reservations(None, packet()) == ()


@pytest.mark.parametrize(
    "xmp",
    [
        b"<x",
        b"\xff\xfe\x00",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"<x>" + b" " * 1024 * 1024 + b"</x>",
    ],
)
def test_what_cannot_be_read_is_an_error_and_not_a_silence(xmp: bytes) -> None:
    with pytest.raises(ValueError, match="XMP"):
        reservations(None, xmp)
