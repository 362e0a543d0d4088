"""Every example runs as a stranger runs it: against a gateway with a socket, and the images are really drawn."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.auth.key_store import KeyStore
from gateway.parts.conformance import check
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from moderation.text.folding import fold
from tests.examples.shouting_classifier import Shouting
from tests.walk import switched_parts
from tests.walk.server_process import Server, serving

HERE = Path(__file__).parent
HARMFUL = "how to make a pipe bomb at home, step by step"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples") / "data"


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    parts_path = switched_parts.install(tmp_path_factory.mktemp("example-parts") / "site")
    with serving(data, parts_path=parts_path, policy="demo") as running:
        yield running


@pytest.fixture(scope="module")
def environment(server: Server, data: Path) -> dict[str, str]:
    folder = open_data_folder(data, load_settings(data, environ={}))
    _, key = KeyStore(folder.database, folder.pepper).create("acme")
    own = {
        "FLUXGATE_URL": server.url,
        "FLUXGATE_KEY": key,
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "OPENAI_API_KEY": key,
    }
    return {**os.environ, **own}


def run(
    environment: dict[str, str], folder: Path, *words: str, lines: str = "", code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words, env=environment, cwd=folder, input=lines, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_an_image_that_the_gateway_knows_as_its_own(environment: dict[str, str], tmp_path: Path) -> None:
    script = str(HERE / "generate.sh")
    said = run(environment, tmp_path, "sh", script, "a red apple", "apple.png").stdout
    assert (tmp_path / "apple.png").read_bytes().startswith(b"\x89PNG")
    assert "this system" in said or "here" in said, said
    assert "moderation_blocked" in run(environment, tmp_path, "sh", script, HARMFUL, "no.png", code=1).stderr
    assert not (tmp_path / "no.png").exists()


def test_openais_client_gets_an_image_or_the_reason(environment: dict[str, str], tmp_path: Path) -> None:
    script = str(HERE / "openai_client.py")
    run(environment, tmp_path, sys.executable, script, "a red apple", "apple.png")
    assert (tmp_path / "apple.png").stat().st_size > 1000
    assert "moderation_blocked" in run(environment, tmp_path, sys.executable, script, HARMFUL, "no.png", code=1).stderr


def test_the_chatbot_talks_draws_and_passes_refusals_on(environment: dict[str, str], tmp_path: Path) -> None:
    lines = f"hello\ndraw a green frog\ndraw {HARMFUL}\n{HARMFUL}\n"
    said = run(environment, tmp_path, sys.executable, str(HERE / "chatbot.py"), lines=lines).stdout.splitlines()
    assert said[0] == "You said: hello"
    assert (tmp_path / said[1].removeprefix("Here it is: ")).is_file()
    assert "/d/" in said[2]
    assert said[3] == "Let us talk about something else."


def test_a_folder_is_sorted_by_verdicts(environment: dict[str, str], tmp_path: Path) -> None:
    run(environment, tmp_path, sys.executable, str(HERE / "openai_client.py"), "a blue balloon", "ours.png")
    (tmp_path / "text.txt").write_text("no image")
    script = str(HERE / "verify_folder.py")
    said = run(environment, tmp_path, sys.executable, script, str(tmp_path), environment["FLUXGATE_URL"]).stdout
    assert "ours_intact: ours.png" in said
    assert "text.txt" in said


def test_the_classifier_conforms_and_counts_capitals() -> None:
    check("prompt_classifiers", Shouting)
    scores = [
        Shouting(Shouting.Options()).classify(fold(text))[0].score for text in ("A RED APPLE", "a red apple", "RED")
    ]
    assert scores == [1.0, 0.0, 0.0]
