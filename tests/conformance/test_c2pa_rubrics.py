"""What we sign, against the conformance programme's own rubrics (0.2, C2PA 2.4), over crJSON: not one failure."""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import c2pa
import pytest
import yaml

from provenance.claims import MediaType, Region, Source, VisibleLabel
from provenance.sealing import seal
from tests.conformance.json_formula import Formulas
from tests.provenance.formats import every_format
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import jpeg, make_picture

RUBRICS = ("asset-rubric-conformance0.2-spec2.4.yml", "asset-rubric-integrity.yml")
KINDS: dict[str, Callable[[Source, Source], dict[str, object]]] = {
    "generated": lambda plain, signed: {},
    "visibly labelled": lambda plain, signed: {"visible_label": VisibleLabel("text")},
    "edited and visibly labelled": lambda plain, signed: {"parent": plain, "visible_label": VisibleLabel("icon")},
    "edited": lambda plain, signed: {"parent": plain},
    "edit of a signed picture": lambda plain, signed: {"parent": signed},
    "region painted anew": lambda plain, signed: {"parent": signed, "region": Region(16, 8, 100, 60)},
    "from references": lambda plain, signed: {"references": (plain, signed)},
    "edit with references": lambda plain, signed: {"parent": signed, "references": (plain, signed)},
    "enlarged": lambda plain, signed: {"steps": ("upscaled",)},
    "edited, recoloured, enlarged": lambda plain, signed: {"parent": plain, "steps": ("recoloured", "upscaled")},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Rubric Test")


def crjson(gateway: Gateway, kind: str, media_type: str) -> dict[str, Any]:
    """A sealed picture as the conformance programme's tools see it."""
    signed = seal(gateway.sealing, make_picture(seed=5), make_claim("image/jpeg", mark=b"parent..")).data
    sources = Source(jpeg(make_picture(seed=5), 90), "image/jpeg"), Source(signed, "image/jpeg")
    claim = make_claim(cast("MediaType", media_type), **KINDS[kind](*sources))
    data = seal(gateway.sealing, make_picture(seed=2), claim).data
    settings = {"trust": {"user_anchors": gateway.anchors_pem}, "verify": {"verify_trust": True}}
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(media_type, io.BytesIO(data), context=context) as file,
    ):
        return cast("dict[str, Any]", json.loads(file.crjson()))


def failures(rubric: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Rule by rule, what does not hold; warnings too, since we want none either."""
    head, rules = yaml.safe_load_all(rubric.read_text("utf-8"))
    named = {**(head.get("variables") or {}), "$expected_spec_version": "2.4.0"}
    formulas = Formulas(named, head.get("expressions") or {})
    failed = {}
    for rule in rules:
        value = formulas.evaluate(rule["expression"], document)
        if rule.get("failIfMatched") or rule.get("warnIfMatched"):
            if value not in (None, False, [], "", {}):
                failed[rule["id"]] = value
        elif value is not True:
            failed[rule["id"]] = value
    return failed


@every_format
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rubric", RUBRICS)
def test_no_rule_of_the_conformance_programme_fails(
    shared_data: Path, gateway: Gateway, rubric: str, kind: str, media_type: str
) -> None:
    document = crjson(gateway, kind, media_type)
    assert failures(shared_data / "c2pa_conformance" / "asset-rubrics" / rubric, document) == {}


@pytest.mark.parametrize(
    ("rule", "spoil"),
    [
        ("validation:mandatory_all_actions_included", lambda m: _actions(m).pop("allActionsIncluded")),
        ("validation:mandatory_dst_for_created_action", lambda m: _actions(m)["actions"][0].pop("digitalSourceType")),
        ("validation:no_deprecated_actions", lambda m: _actions(m)["actions"][0].update(action="c2pa.produced")),
        ("validation:no_unsupported_assertions", lambda m: m["assertions"].update({"c2pa.invented": {}})),
        ("validation:no_unrecognized_custom_assertions", lambda m: m["assertions"].update(invented={})),
        ("validation:active_manifest_urn", lambda m: m.update(label="urn:uuid:1")),
        ("validation:mandatory_spec_version", lambda m: _generator(m).update(specVersion="2.2.0")),
        ("validation:well_formed_data_present", lambda m: m.pop("validationResults")),
    ],
)
def test_the_evaluator_sees_what_is_broken_on_purpose(
    shared_data: Path, gateway: Gateway, rule: str, spoil: Any
) -> None:
    document = copy.deepcopy(crjson(gateway, "generated", "image/png"))
    spoil(document["manifests"][0])
    assert rule in failures(shared_data / "c2pa_conformance" / "asset-rubrics" / RUBRICS[0], document)


def _actions(manifest: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", manifest["assertions"]["c2pa.actions.v2"])


def _generator(manifest: dict[str, Any]) -> dict[str, Any]:
    said = manifest["claim.v2"]["claim_generator_info"]
    return cast("dict[str, Any]", said[0] if isinstance(said, list) else said)
