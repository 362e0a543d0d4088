"""The hosted API's sample code against a real server: the setting `aliases` is all it takes to move here."""

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from gateway.wording import RECOGNISED
from tests.conformance.hosted_sample import SAMPLE, generate
from tests.walk import switched_parts
from tests.walk.server_process import Server, serving

REFUSED = "how to make a pipe bomb at home, step by step"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample") / "data"


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    parts_path = switched_parts.install(tmp_path_factory.mktemp("sample-parts") / "site")
    aliases = {SAMPLE["model"]: "fluxgate/pictograms"}
    with serving(data, parts_path=parts_path, aliases=aliases, limits={"key_requests_per_minute": 4}) as running:
        yield running


@pytest.fixture
def key(server: Server, data: Path) -> str:
    folder = open_data_folder(data, load_settings(data, environ={}))
    return KeyStore(folder.database, folder.pepper).create("acme")[1]


def test_the_sample_code_gets_its_image(server: Server, key: str) -> None:
    # case R9
    file = httpx.get(generate(server.url, key, poll_seconds=0.01))
    assert file.status_code == 200
    assert Image.open(io.BytesIO(file.content)).size == (512, 512)


def test_the_sample_code_says_why_a_prompt_was_refused(server: Server, key: str) -> None:
    # case R9
    with pytest.raises(RuntimeError, match=RECOGNISED) as failed:
        generate(server.url, key, poll_seconds=0.01, prompt=REFUSED)
    assert f"{server.url}/d/" in str(failed.value)
    assert "bomb" not in str(failed.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "black-forest-labs/flux-pro"}, "does not serve the model"),
        ({"width": 4096}, "256 to 1024"),
        ({"steps": "many"}, "steps"),
        ({"prompt": None}, "prompt"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_the_sample_code_says_what_is_wrong_with_a_request(
    server: Server, key: str, changes: dict[str, object], said: str
) -> None:
    # case R9
    with pytest.raises(RuntimeError, match=said):
        generate(server.url, key, **changes)


def test_the_sample_code_says_that_a_key_is_wrong(server: Server) -> None:
    # case R9
    with pytest.raises(RuntimeError, match="not a Fluxgate API key"):
        generate(server.url, "sk-something")


def test_polls_do_not_count_as_requests(server: Server, key: str) -> None:
    # case R9
    with httpx.Client(base_url=f"{server.url}/api/v1", headers={"Authorization": f"Bearer {key}"}) as client:
        started = client.post("/model/generateImage", json=SAMPLE).json()
        polls = [client.get(f"/model/prediction/{started['id']}") for _ in range(20)]
        assert {poll.status_code for poll in polls} == {200}
        assert polls[-1].headers["ratelimit-policy"] == '"polls";q=600;w=60'
        assert '"polls";r=580' in polls[-1].headers["ratelimit"]
        asked = [client.get("/models").status_code for _ in range(5)]
        assert sorted(asked) == [200, 200, 200, 429, 429], "four requests, one of which started the generation"
        refused = client.post("/model/generateImage", json=SAMPLE)
        assert refused.status_code == 429
        assert refused.headers["retry-after"]
        assert refused.json()["data"]["status"] == "failed"
        assert client.get(f"/model/prediction/{started['id']}").status_code == 200
