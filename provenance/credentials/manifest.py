"""The C2PA manifest definition of a claim, as data. Pure.

After C2PA 2.4 and the conformance programme 0.2: one `c2pa.created`, or `c2pa.opened` and `c2pa.edited`, then what was
done to the pixels, with all actions included; a bound watermark and its soft binding; the AI disclosure;
training-mining. Everything here is what the gateway itself vouches for, hence `created`. No prompt and no person.

| made from | first action | source type | ingredients |
|---|---|---|---|
| words | created | trainedAlgorithmicMedia | none |
| words and references | created | trainedAlgorithmicMedia | references, `inputTo` |
| a picture, or a region of it | opened, then edited | compositeWithTrainedAlgorithmicMedia | it, `parentOf` |
| a picture that was cut first | opened, cropped, then edited | as above | it, `parentOf` |
| then cut | cropped | none | |
| then enlarged | resized.proportional | none: nothing is made up | |
| then recoloured | adjustedColor | algorithmicallyEnhanced | |
| then visibly labelled | addedText | algorithmicMedia | |
"""

import base64
from typing import Any, Final

from provenance.claims import ALGORITHMICALLY_ENHANCED, DRAWN, Claim, Region, Source

SPEC_VERSION: Final = "2.4.0"

_ACTIONS: Final = "c2pa.actions.v2"
_SOFT_BINDING: Final = "c2pa.soft-binding"
_PARENT: Final = "parent"


def definition(claim: Claim, mark_algorithm: str | None) -> dict[str, Any]:
    """What `c2pa.Builder` takes. `mark_algorithm`: id of the soft binding, None for an unmarked picture.

    What went into the picture with a credential has to be added as the `ingredients` of the same claim.
    """
    agent = {"name": claim.system, "version": claim.system_version}
    assertions = [
        _assertion(_ACTIONS, {"actions": _actions(claim, agent, mark_algorithm), "allActionsIncluded": True}),
        _assertion("c2pa.ai-disclosure", _disclosure(claim)),
        _assertion("cawg.training-mining", {"entries": _TRAINING_MINING}),
        {**_assertion("cawg.metadata", _metadata(claim)), "kind": "Json"},  # CAWG Metadata 1.1 wants a JSON box
    ]
    if mark_algorithm is not None:
        assertions.insert(1, _assertion(_SOFT_BINDING, soft_binding(claim.mark, mark_algorithm)))
    return {
        "claim_version": 2,
        "claim_generator_info": [{**agent, "specVersion": SPEC_VERSION}],
        "title": claim.content_id,
        "format": claim.media_type,
        "assertions": assertions,
        "ingredients": [
            ingredient | ({"description": source.left_out} if source.left_out else {})
            for ingredient, source in _sources(claim)
            if source.left_out is not None
        ],
    }


def ingredients(claim: Claim) -> list[tuple[dict[str, Any], Source]]:
    """What the actions name, each beside its file, whose own credential is validated and kept inside."""
    return [(ingredient, source) for ingredient, source in _sources(claim) if source.left_out is None]


def _sources(claim: Claim) -> list[tuple[dict[str, Any], Source]]:
    found = [] if claim.parent is None else [(_PARENT, "parentOf", claim.parent)]
    found += [(_reference(number), "inputTo", source) for number, source in enumerate(claim.references, 1)]
    return [
        ({"title": label, "format": source.media_type, "relationship": relationship, "label": label}, source)
        for label, relationship, source in found
    ]


def soft_binding(mark: bytes, algorithm: str) -> dict[str, Any]:
    """The soft-binding assertion of a mark: base64 of its 8 bytes.

    The standard wants a byte string for `value`; c2pa-python 0.38 writes text from JSON, and resolvers compare both.
    """
    return {"alg": algorithm, "blocks": [{"scope": {}, "value": base64.b64encode(mark).decode("ascii")}]}


def _actions(claim: Claim, agent: dict[str, str], mark_algorithm: str | None) -> list[dict[str, Any]]:
    when = {"softwareAgent": agent, "when": claim.created_text}
    actions: list[dict[str, Any]] = []
    drawn: dict[str, Any] = {"action": "c2pa.created", **when, "digitalSourceType": claim.digital_source_type}
    if claim.parent is not None:
        actions.append({"action": "c2pa.opened", **when, "parameters": {"ingredientIds": [_PARENT]}})
        if claim.cut_parent:
            actions.append({"action": "c2pa.cropped", **when})
        drawn["action"] = "c2pa.edited"
    if claim.references:
        drawn["parameters"] = {"ingredientIds": [_reference(n) for n in range(1, len(claim.references) + 1)]}
    if claim.region is not None:
        drawn["changes"] = [_region_of_interest(claim.region)]
    actions.append(drawn)
    actions += [{"action": action, **when, **more} for action, more in map(_STEPS.__getitem__, claim.steps)]
    if claim.visible_label is not None:
        shown = claim.visible_label
        words = "the icon AI" if shown.style == "icon" else f"words in language {shown.language}"
        where = shown.corner.replace("_", " ")
        said = f"Visible label that an AI system made or changed the picture: {words}, {where}."
        actions.append({"action": "c2pa.addedText", **when, "digitalSourceType": DRAWN, "description": said})
    if mark_algorithm is not None:
        # relatedAssertions should name the soft binding, but wants its hash, and c2pa-rs salts every assertion only
        # while signing. The soft binding is in the same manifest, which is what the standard requires.
        actions.append({"action": "c2pa.watermarked.bound", **when})
    return actions


def _reference(number: int) -> str:
    return f"reference-{number}"


def _region_of_interest(region: Region) -> dict[str, Any]:
    """C2PA 2.4, 18.3: a rectangle in pixels."""
    shape = {
        "type": "rectangle",
        "unit": "pixel",
        "origin": {"x": region.x, "y": region.y},
        "width": region.width,
        "height": region.height,
    }
    return {"region": [{"type": "spatial", "shape": shape}], "description": "painted anew"}


def _disclosure(claim: Claim) -> dict[str, Any]:
    """What made the picture. A demonstration pipeline with random weights is called untrained."""
    trained = {} if claim.model_trained else {"modelName": f"{claim.model_id} (untrained demonstration weights)"}
    return {
        "modelType": "c2pa.types.model.pytorch",
        "modelName": claim.model_id,
        **trained,
        "modelIdentifier": claim.model_version,
        "contentProfile": {"humanOversightLevel": "prompt_guided"},
    }


def _metadata(claim: Claim) -> dict[str, Any]:
    """Provider and public id, beside system and version in the claim itself (California SB 942 s.22757.3(b))."""
    return {
        "@context": {"dc": "http://purl.org/dc/elements/1.1/"},
        "dc:publisher": claim.provider,
        "dc:identifier": claim.content_id,
        "dc:date": claim.created_text,
    }


def _assertion(label: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": label, "data": data, "created": True}


_STEPS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "cropped": ("c2pa.cropped", {}),
    "upscaled": ("c2pa.resized.proportional", {}),
    "recoloured": ("c2pa.adjustedColor", {"digitalSourceType": ALGORITHMICALLY_ENHANCED}),
}

_TRAINING_MINING: Final = {
    f"cawg.{use}": {"use": "notAllowed"}
    for use in ("data_mining", "ai_inference", "ai_generative_training", "ai_training")
}
"""A provider's default: pictures that leave the gateway are not offered for training."""
