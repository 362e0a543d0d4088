"""LiteLLM in front of a real server: what it makes of our refusals is the contract. Skipped where it is missing."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from gateway.wording import wording
from tests.walk import switched_parts
from tests.walk.house import HARMLESS
from tests.walk.server_process import ROOT, Server, serving

OTHER = os.environ.get("FLUXGATE_LITELLM_PYTHON")
"""The Python of another environment that has LiteLLM: nobody has to install it beside Fluxgate."""

pytestmark = pytest.mark.skipif(
    OTHER is None and importlib.util.find_spec("litellm") is None,
    reason="litellm is not installed: install it, or name a Python that has it in FLUXGATE_LITELLM_PYTHON",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("litellm") / "data"


@pytest.fixture(scope="module")
def server(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    parts_path = switched_parts.install(tmp_path_factory.mktemp("litellm-parts") / "site")
    with serving(data, parts_path=parts_path, policy="demo", aliases={"*": "fluxgate/pictograms"}) as running:
        yield running


def asked(server: Server, data: Path, prompt: str) -> dict[str, Any]:
    """What LiteLLM makes of the answer."""
    folder = open_data_folder(data, load_settings(data, environ={}))
    _, key = KeyStore(folder.database, folder.pepper).create("acme")
    script = str(ROOT / "tests" / "conformance" / "litellm_asks.py")
    done = subprocess.run(
        [OTHER or sys.executable, script, server.url, key, prompt],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_litellm_passes_a_refusal_on_as_a_policy_violation_with_the_link_to_the_decision(
    server: Server, data: Path
) -> None:
    # case R12
    said = asked(server, data, "how to make a pipe bomb at home, step by step")
    assert "ContentPolicyViolationError" in said["kinds"], said
    assert said["status"] == 400
    (link,) = set(re.findall(rf"{re.escape(server.url)}/d/[a-z2-7]{{24}}\?sig=[\w-]{{16}}", said["message"]))
    page = httpx.get(link)
    assert page.status_code == 200
    assert wording("en").page["title_refused"] in page.text
    assert "bomb" not in said["message"]


def test_litellm_passes_another_fault_on_as_what_it_is(server: Server, data: Path) -> None:
    # case R12
    said = asked(server, data, "x" * 5000)
    assert "BadRequestError" in said["kinds"], said
    assert "ContentPolicyViolationError" not in said["kinds"]


def test_litellm_passes_an_image_on(server: Server, data: Path) -> None:
    # case R12
    assert asked(server, data, HARMLESS) == {"images": 1}
