"""Other names for a served model: both dialects know them, and everything that is said names the model that drew."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.parts import BootError
from gateway.settings import SettingsError, load_settings
from gateway.stations.model_names import aliases_of, check_aliases, served_model
from inference.errors import UnknownModel
from tests.walk.dialogues import Dialogue
from tests.walk.house import HARMLESS, House
from tests.walk.test_delivered_file import read

MODEL = "fluxgate/pictograms"
HOSTED, LONGEST = "black-forest-labs/flux-schnell", "dall-e-3.5 (2026)"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, parts_path: str) -> Iterator[House]:
    path = tmp_path_factory.mktemp("aliases") / "data"
    path.mkdir()
    named = "\n".join(f'"{alias}" = "{MODEL}"' for alias in (HOSTED, LONGEST))
    (path / "fluxgate.toml").write_text(f"[aliases]\n{named}\n")
    house = House(path)
    yield house
    house.close()


@pytest.mark.parametrize("alias", [HOSTED, LONGEST, MODEL, None])
def test_an_alias_draws_and_entry_manifest_and_answer_name_the_model_that_drew(
    house: House, dialogue: Dialogue, alias: str | None
) -> None:
    # case R9
    answer = dialogue.ask(house, HARMLESS, model=alias)
    assert answer.outcome == "delivered"
    said = answer.body if dialogue.name == "native" else answer.body["fluxgate"]["images"][0]
    assert said["model"] == MODEL
    entry = json.loads(said["receipt"]["leaf"])
    manifest = json.dumps(read(answer.picture, "image/png", None))
    assert MODEL in manifest
    assert MODEL in json.dumps(entry)
    assert alias in (MODEL, None) or alias not in manifest + json.dumps(entry)


def test_a_name_that_is_no_alias_is_still_not_served(house: House) -> None:
    # case R9
    for name in ("dall-e-3", "", "*", HOSTED.upper()):
        asked = {"prompt": HARMLESS, "model": name}
        for path in ("/v1/images/generations", "/api/v1/model/generateImage"):
            got = house.send("POST", path, json=asked)
            assert (got.status_code, got.json()["error"]["code"]) == (404, "model_not_found")
        assert house.send("GET", f"/v1/models/{name or 'dall-e-2'}").status_code == 404


def test_lists_name_the_served_model_once_and_an_alias_can_be_looked_up(house: House) -> None:
    # case R9
    (listed,) = house.send("GET", "/v1/models").json()["data"]
    assert listed["id"] == MODEL
    for alias in (HOSTED, LONGEST):
        assert house.send("GET", f"/v1/models/{alias}").json() == listed
    (card,) = house.send("GET", "/api/v1/models").json()["data"]
    assert card["id"] == MODEL
    assert card["aliases"] == sorted((HOSTED, LONGEST))


def test_a_star_stands_for_every_name_that_is_none(house: House) -> None:
    # case R9
    one = house.parts.dispatcher.models[0]
    other = replace(one, id="other")
    aliases = {"*": "other", "mine": one.id}
    check_aliases(aliases, (one, other))
    asked: dict[str | None, Any] = {None: one, one.id: one, "other": other, "mine": one, "dall-e-3": other, "": other}
    assert {name: served_model(name, (one, other), aliases) for name in asked} == asked
    assert aliases_of(other, aliases) == ["*"]
    with pytest.raises(UnknownModel):
        served_model("dall-e-3", (one, other), {"mine": one.id})


def test_a_star_in_the_settings_serves_what_clients_have_in_their_code(house: House) -> None:
    # case R9
    settings = house.parts.settings.model_copy(update={"aliases": {"*": MODEL}})
    app = house.beside(settings=settings)
    got = house.send("GET", "/v1/models/gpt-image-2", app=app)
    assert (got.status_code, got.json()["id"]) == (200, MODEL)
    (card,) = house.send("GET", "/api/v1/models", app=app).json()["data"]
    assert card["aliases"] == ["*"]


def test_an_alias_of_what_is_not_served_stops_the_start(tmp_path: Path, house: House) -> None:
    # case R9
    with pytest.raises(BootError, match="aliases: `dall-e-3`") as stopped:
        House(tmp_path / "data", aliases={"dall-e-3": "flux-pro"})
    assert f"choose {MODEL}." in str(stopped.value)
    for aliases in ({"*": "flux-pro"}, {MODEL: "flux-pro"}, {"a": "b", "b": MODEL}):
        with pytest.raises(BootError, match="not served here"):
            check_aliases(aliases, house.parts.dispatcher.models)


def test_a_served_name_keeps_its_meaning(house: House) -> None:
    # case R9
    one = house.parts.dispatcher.models[0]
    with pytest.raises(BootError, match="own id"):
        check_aliases({"other": one.id}, (one, replace(one, id="other")))
    check_aliases({one.id: one.id}, (one,))


def test_the_environment_names_aliases_too(tmp_path: Path) -> None:
    # case R9
    settings = load_settings(tmp_path, environ={"FLUXGATE_ALIASES": json.dumps({HOSTED: MODEL})})
    assert settings.aliases == {HOSTED: MODEL}
    (tmp_path / "fluxgate.toml").write_text("[aliases]\ndall-e-3.5 = 'a name without quotation marks'\n")
    with pytest.raises(SettingsError, match=r"aliases\.dall-e-3"):
        load_settings(tmp_path, environ={})
