"""The official `openai` client against a real server: what it models, raises and retries is the contract."""

import base64
import hashlib
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from tests.walk import switched_parts
from tests.walk.house import HARMLESS, SIZE
from tests.walk.server_process import Server, serving

REFUSED = "how to make a pipe bomb at home, step by step"
SMALL = {"size": f"{SIZE}x{SIZE}", "extra_body": {"num_inference_steps": 1}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openai") / "data"


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    parts_path = switched_parts.install(tmp_path_factory.mktemp("openai-parts") / "site")
    with serving(data, parts_path=parts_path) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Server, data: Path) -> str:
    folder = open_data_folder(data, load_settings(data, environ={}))
    return KeyStore(folder.database, folder.pepper).create("acme")[1]


class Counting(httpx.HTTPTransport):
    """Counts requests, so that a retry is seen."""

    requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return super().handle_request(request)


@pytest.fixture
def transport() -> Counting:
    return Counting()


@pytest.fixture
def client(server: Server, key: str, transport: Counting) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key=key, base_url=f"{server.url}/v1", http_client=httpx.Client(transport=transport)
    ) as opened:
        yield opened


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_picture_as_base64(client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt=HARMLESS, **SMALL)
    assert answer.data is not None
    (picture,) = answer.data
    assert picture.url is None
    file = base64.b64decode(picture.b64_json or "")
    assert pixels(file).shape == (SIZE, SIZE, 3)
    assert answer.usage is not None
    assert answer.created > 1_700_000_000
    facts = answer.model_extra["fluxgate"]["images"][0]
    assert facts["sha256"] == hashlib.sha256(file).hexdigest()


def test_a_picture_as_a_link(client: openai.OpenAI) -> None:
    answer = client.images.generate(prompt=HARMLESS, response_format="url", **SMALL)
    assert answer.data is not None
    got = httpx.get(answer.data[0].url or "")
    assert got.status_code == 200
    assert got.headers["x-ai-generated"] == "true"
    assert hashlib.sha256(got.content).hexdigest() == answer.model_extra["fluxgate"]["images"][0]["sha256"]


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_a_picture_in_the_format_asked_for(client: openai.OpenAI, kind: str) -> None:
    answer = client.images.generate(prompt=HARMLESS, output_format=kind, **SMALL)  # type: ignore[call-overload]
    opened = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))
    assert opened.format.lower() == kind


def test_the_headers_say_that_it_was_generated(client: openai.OpenAI) -> None:
    raw = client.images.with_raw_response.generate(prompt=HARMLESS, **SMALL)
    assert raw.headers["x-ai-generated"] == "true"
    assert raw.headers["x-ai-content-id"].startswith("fg_")
    assert "/v1/receipts/img_" in raw.headers["x-fluxgate-receipt"]
    assert raw.headers["x-request-id"]


def test_two_pictures_are_two_and_the_seed_repeats_them(client: openai.OpenAI) -> None:
    """Only the watermark differs: it leaves red as the engine drew it."""
    body = SMALL | {"extra_body": {"num_inference_steps": 1, "seed": 41}}
    first, again = (client.images.generate(prompt=HARMLESS, n=2, **body) for _ in range(2))
    reds = [[pixels(base64.b64decode(each.b64_json or ""))[..., 0] for each in (a.data or [])] for a in (first, again)]
    assert len(reds[0]) == 2
    assert not np.array_equal(reds[0][0], reds[0][1])
    assert np.array_equal(reds[0][0], reds[1][0])
    assert np.array_equal(reds[0][1], reds[1][1])


def test_a_refusal_is_a_bad_request_with_reasons_and_is_not_retried(client: openai.OpenAI, transport: Counting) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(prompt=REFUSED, **SMALL)
    assert refused.value.code == "moderation_blocked"
    assert refused.value.type == "image_generation_user_error"
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["moderation_details"]["moderation_stage"] == "input"
    assert refused.value.body["moderation_details"]["categories"]
    assert refused.value.body["statement_of_reasons"]["appeal"]
    assert "bomb" not in str(refused.value)
    assert transport.requests == 1


def test_moderations_have_all_thirteen_keys(client: openai.OpenAI) -> None:
    answer = client.moderations.create(input=[HARMLESS, REFUSED])
    assert [result.flagged for result in answer.results] == [False, True]
    for result in answer.results:
        for each in (result.categories, result.category_scores, result.category_applied_input_types):
            said = each.model_dump(by_alias=True)
            assert len(said) == 13
            assert None not in said.values()


def test_a_moderation_reads_words_and_a_picture_of_one_subject(client: openai.OpenAI) -> None:
    out = io.BytesIO()
    Image.effect_noise((SIZE, SIZE), 50).convert("RGB").save(out, "PNG")
    url = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    answer = client.moderations.create(
        model="omni-moderation-latest",
        input=[{"type": "text", "text": REFUSED}, {"type": "image_url", "image_url": {"url": url}}],
    )
    (result,) = answer.results
    assert result.flagged
    assert result.category_applied_input_types.sexual == ["image", "text"]


def test_the_models_are_listed_and_can_be_named(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert client.images.generate(prompt=HARMLESS, model=model.id, **SMALL).data


def test_an_unknown_model_is_not_found(client: openai.OpenAI, transport: Counting) -> None:
    with pytest.raises(openai.NotFoundError) as failed:
        client.images.generate(prompt=HARMLESS, model="dall-e-3", **SMALL)
    assert failed.value.code == "model_not_found"
    assert failed.value.param == "model"
    assert transport.requests == 1


def test_one_model_can_be_retrieved_though_its_id_holds_a_slash(client: openai.OpenAI) -> None:
    # case R8
    (model,) = client.models.list().data
    assert "/" in model.id
    assert client.models.retrieve(model.id) == model
    with pytest.raises(openai.NotFoundError) as failed:
        client.models.retrieve("gpt-image-2")
    assert failed.value.code == "model_not_found"


def test_variations_are_a_clear_and_final_no(client: openai.OpenAI, transport: Counting) -> None:
    # case R8
    with pytest.raises(openai.BadRequestError) as failed:
        client.images.create_variation(image=b"a picture")
    assert failed.value.code == "not_offered"
    assert "/v1/images/edits" in failed.value.message
    assert transport.requests == 1


def test_a_route_that_is_not_there_shows_a_message(client: openai.OpenAI, transport: Counting) -> None:
    # case R8
    with pytest.raises(openai.NotFoundError) as failed:
        client.embeddings.create(model="any", input="text")
    assert failed.value.code == "not_found"
    assert "no such route" in failed.value.message
    assert transport.requests == 1


def test_a_wrong_key_is_an_authentication_error(server: Server, transport: Counting) -> None:
    stranger = openai.OpenAI(
        api_key="sk-something", base_url=f"{server.url}/v1", http_client=httpx.Client(transport=transport)
    )
    with pytest.raises(openai.AuthenticationError) as failed:
        stranger.images.generate(prompt=HARMLESS)
    # case R20
    assert failed.value.code == "wrong_key_format"
    assert "not a Fluxgate API key" in failed.value.message
    assert "sk-something" not in failed.value.message
    assert transport.requests == 1


def test_an_unusable_field_is_a_bad_request_that_names_it(client: openai.OpenAI, transport: Counting) -> None:
    with pytest.raises(openai.BadRequestError) as failed:
        client.images.generate(prompt=HARMLESS, size="7x7")  # type: ignore[call-overload]
    assert failed.value.param == "size"
    assert transport.requests == 1


def test_every_answered_picture_is_in_the_log(data: Path, client: openai.OpenAI) -> None:
    client.images.generate(prompt=HARMLESS, **SMALL)
    with sqlite3.connect(f"file:{data / 'fluxgate.db'}?mode=ro", uri=True) as connection:
        (jobs,) = connection.execute("select count(*) from jobs").fetchone()
        leaves = [json.loads(leaf) for (leaf,) in connection.execute("select leaf from log_entries")]
    assert jobs == sum(leaf["outcome"] != "moderated" for leaf in leaves) > 0
