"""Rights of an invented holder, from the words and pictures of a request to the statement its sender reads."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from gateway.stations.moderating import Moderating
from gateway.stations.rulebook import Rulebook
from moderation.known_pictures.pdq import pdq
from provenance.files.encoding import FileBounds
from tests.inference.tiny_models import save_klein
from tests.policies.house_policy import RIGHTS
from tests.walk import independent
from tests.walk.dialogues import DIALOGUES, Dialogue, OpenAI
from tests.walk.house import HARMLESS, POLICY, SIZE, House, walk_settings

HOLDER = "appeals@holder.example"


def noise() -> Image.Image:
    """A picture like no other here."""
    return Image.effect_noise((SIZE, SIZE), 60).convert("RGB").filter(ImageFilter.GaussianBlur(3))


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def register(sent: Image.Image, drawn: bytes) -> str:
    """What the holder has asked for. `sent`: a work of theirs; `drawn`: one that the demo model draws."""
    shared = f'holder = "Somebody invented"\nproof = "contract 17"\nappeal = "{HOLDER}"\nfrom = 2026-01-01\n'
    hashes = [pdq(np.array(sent))[0], pdq(np.array(Image.open(io.BytesIO(drawn)).convert("RGB")))[0]]
    return f"""
id = "invented"
version = "1"

[[right]]
id = "r-name"
kind = "character"
{shared}names = ["Captain Glowmoth"]

[[right]]
id = "r-style"
kind = "style"
{shared}names = ["Brindlewick"]
beside = ["style", "manner"]

[[right]]
id = "r-work"
kind = "picture"
{shared}pictures = ["{hashes[0]}"]

[[right]]
id = "r-drawn"
kind = "picture"
{shared}pictures = ["{hashes[1]}"]
"""


CLASSIFIERS = RIGHTS + "\n[levels.sure]\nrights_holders = 0.75\n"

DRAWN = {"seed": 11}


@pytest.fixture(scope="module")
def work() -> Image.Image:
    return noise()


@pytest.fixture(scope="module")
def protected(the_house: House, work: Image.Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose policy honours the register."""
    drawn = OpenAI().ask(the_house, HARMLESS, **DRAWN).picture
    assert drawn is not None
    folder = tmp_path_factory.mktemp("rights")
    (folder / "rights.toml").write_text(register(work, drawn))
    policy = folder / "policy.toml"
    policy.write_text(POLICY.read_text().replace("[levels.sure]", CLASSIFIERS.strip()))
    path = folder / "data"
    house = House(path, **walk_settings(path) | {"policy": str(policy)})
    yield house
    house.close()


def check(house: House, reasons: dict[str, Any] | None, said: object, right: str, stage: str) -> None:
    """The statement names the right and whom to turn to; the log the right alone; neither quotes what was found."""
    assert reasons is not None
    assert (reasons["stage"], reasons["categories"]) == (stage, ["intellectual_property"])
    assert [reason["entries"] for reason in reasons["reasons"]] == [[{"id": right, "appeal": HOLDER}]]
    told = json.dumps(said)
    assert f"About the entry {right}, turn to {HOLDER}." in told
    entry = independent.check_whole_log(house.database, house.vkey)[-1]
    assert [reason["cites"] for reason in entry["reasons"]] == [{"entries": right}]
    logged = json.dumps(entry)
    assert HOLDER not in logged
    for quoted in ("glowmoth", "brindlewick", "somebody invented", "contract 17"):
        assert quoted not in told.lower()
        assert quoted not in logged.lower()


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("right", "prompt"),
    [
        ("r-name", "a poster with Captain Glowm\u043eth"),
        ("r-name", "a poster <lora:captain_glowmoth:0.8>"),
        ("r-style", "a lake in the style of Brindlewick"),
    ],
)
def test_a_protected_name_or_style_is_held_and_the_statement_says_whom_to_ask(
    protected: House, dialogue: Dialogue, right: str, prompt: str
) -> None:
    answer = dialogue.ask(protected, prompt)
    assert (answer.outcome, answer.code) == ("held", "held_for_review")
    check(protected, answer.reasons, answer.body, right, "prompt")


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda each: each.name)
def test_a_protected_picture_is_held_after_it_was_drawn(protected: House, dialogue: Dialogue) -> None:
    answer = dialogue.ask(protected, HARMLESS, **DRAWN)
    assert answer.outcome == "held"
    check(protected, answer.reasons, answer.body, "r-drawn", "output_image")


def test_a_protected_picture_is_refused_wherever_it_is_sent_in(protected: House, work: Image.Image) -> None:
    mirrored = png(work.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    form = {"prompt": HARMLESS, "size": f"{SIZE}x{SIZE}", "num_inference_steps": "4"}
    protected_file = ("a.png", mirrored, "image/png")
    for path, what in (
        ("/api/v1/model/uploadMedia", {"files": {"file": protected_file}}),
        ("/v1/images/edits", {"files": {"image": protected_file}, "data": form}),
    ):
        answer = protected.send("POST", path, **what)
        assert answer.status_code == 400, path
        check(protected, answer.json()["error"].get("statement_of_reasons"), answer.json(), "r-work", "input_image")


def test_a_protected_picture_is_refused_as_a_reference(
    protected: House, work: Image.Image, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("rights-klein")
    model = save_klein(folder / "tiny-klein", is_distilled=True)
    path = folder / "data"
    settings = {"policy": protected.parts.settings.policy, "model": str(model)}
    house = House(path, **walk_settings(path) | settings)
    try:
        files = [("image[]", (name, png(each), "image/png")) for name, each in (("b.png", noise()), ("a.png", work))]
        answer = house.send("POST", "/v1/images/edits", files=files, data={"prompt": HARMLESS, "size": "256x256"})
        check(house, answer.json()["error"].get("statement_of_reasons"), answer.json(), "r-work", "input_image")
    finally:
        house.close()


def test_moderation_calls_see_protected_names_and_pictures(protected: House, work: Image.Image) -> None:
    url = "data:image/png;base64," + base64.b64encode(png(work)).decode()
    for subject in ("a poster with Captain Glowmoth", [{"type": "image_url", "image_url": {"url": url}}]):
        (result,) = protected.send("POST", "/v1/moderations", json={"input": subject}).json()["results"]
        assert (result["flagged"], result["fluxgate"]["verdict"]) == (True, "hold")
        assert result["fluxgate"]["categories"]["intellectual_property"]["flagged"]
        assert (result["fluxgate"]["policy"], result["fluxgate"]["policy_digest"][:7]) == ("walk", "sha256:")


def test_a_canary_decides_about_its_share_of_moderation_calls_and_the_answer_names_it(house: House) -> None:
    base = house.parts.rulebook.base
    book = Rulebook(base, {}, Rulebook(replace(base, name="canary"), {}), 0.5)
    parts = house.parts
    judging = Moderating(parts.screening, book, parts.moderation_log, FileBounds())
    app = house.beside(moderating=judging)
    for _ in range(8):
        answer = house.send("POST", "/v1/moderations", json={"input": HARMLESS}, app=app).json()
        decided = book.policy_for(house.tenant, subject=answer["id"]).name
        assert answer["results"][0]["fluxgate"]["policy"] == decided


ADAPTERS = (
    "lora",
    "loras",
    "lora_weights",
    "lora_scale",
    "adapter",
    "adapters",
    "extra_lora",
    "finetune_id",
    "hf_lora",
)


@pytest.mark.parametrize("field", ADAPTERS)
def test_no_field_of_any_request_names_an_adapter(house: House, field: str) -> None:
    before = house.written()
    body = {"prompt": HARMLESS, field: "https://weights.example/x.safetensors"}
    file = {"image": ("a.png", png(noise()), "image/png")}
    for path, what in (
        ("/api/v1/model/generateImage", {"json": body}),
        ("/api/v1/model/generateImage", {"json": {"input": body}}),
        ("/v1/images/generations", {"json": body}),
        ("/v1/images/edits", {"files": file, "data": body}),
    ):
        answer = house.send("POST", path, **what)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) in {(422, "invalid_request"), (400, "invalid_request")}, path
        assert field in (error.get("field") or error.get("param")), path
    for path in ("/api/v1/model/generateImage", "/v1/images/generations"):
        named = house.send("POST", path, json={"prompt": HARMLESS, "model": f"demo:{field}=x"})
        assert named.status_code == 404, "nor does a model's name"
    assert house.written() == before
