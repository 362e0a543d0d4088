"""The API keeps its own description: schemathesis sends what it allows and what it forbids, and reads every answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.auth.key_store import KeyStore
from gateway.settings import load_settings
from gateway.store.data_folder import open_data_folder
from tests.walk import switched_parts
from tests.walk.house import walk_settings
from tests.walk.server_process import serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


@pytest.mark.parametrize(
    "phases",
    [
        pytest.param(("examples,coverage", "1"), id="systematically"),
        pytest.param(("examples,coverage,fuzzing", "40"), id="at random", marks=pytest.mark.slow),
    ],
)
def test_every_route_answers_as_it_is_described(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, phases: tuple[str, str]
) -> None:
    # case R24
    data, report = tmp_path / "data", tmp_path / "report.json"
    parts_path = switched_parts.install(tmp_path_factory.mktemp("contract-parts") / "site")
    limits = walk_settings(data)["limits"] | {"image_budget_per_day": 6.0}  # about ten images, then a documented 429
    with serving(data, parts_path=parts_path, limits=limits) as server:
        folder = open_data_folder(data, load_settings(data, environ={}))
        _, key = KeyStore(folder.database, folder.pepper).create("acme")
        asked = {
            "header": f"Authorization: Bearer {key}",
            "phases": phases[0],
            "max-examples": phases[1],
            "seed": "7",
            "checks": ",".join(CHECKS),
            "suppress-health-check": "all",
            "request-timeout": "120",
            "report-json-path": str(report),
        }
        options = [word for name, value in asked.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-shrink"]
        done = subprocess.run(
            [*command, "--continue-on-failure", *options],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-8000:]
    said = json.loads(report.read_text())
    assert said["complete"], said["stop_reason"]
    assert said["operations"]["tested"] == said["operations"]["total"] > 30
