"""The browser's own C2PA reader (`@contentauth/c2pa-web`, in Chromium) reads what we seal: trusted, no failure.

The package comes from the npm registry into a folder of its own, and is served over loopback. Skipped, by name, where
npm, Chromium or the registry is missing.
"""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provenance.claims import MediaType
from provenance.sealing import seal
from tests.provenance.formats import every_format
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import make_picture

PACKAGE = "@contentauth/c2pa-web@0.13.1"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PAGE = """<!doctype html>
<script type="importmap">{"imports": {
  "highgain": "/node_modules/highgain/HIGHGAIN", "ts-deepmerge": "/node_modules/ts-deepmerge/DEEPMERGE"
}}</script>
<script type="module">
  import { createC2pa } from "/node_modules/@contentauth/c2pa-web/dist/index.js";
  window.read = async (name, type, anchors) => {
    const settings = anchors ? { trust: { userAnchors: anchors } } : {};
    const c2pa = await createC2pa({
      wasmSrc: "/node_modules/@contentauth/c2pa-web/dist/resources/c2pa_bg.wasm", settings
    });
    const file = await (await fetch(name, { cache: "no-store" })).arrayBuffer();
    const reader = await c2pa.reader.fromBlob(type, new Blob([file], { type }));
    return JSON.stringify(await reader.manifestStore());
  };
  window.ready = true;
</script>
"""

Read = Callable[[str, str, str | None], dict[str, Any]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Browser Test")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reader and a page that runs it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not here: this test needs @contentauth/c2pa-web")
    folder = tmp_path_factory.mktemp("c2pa-web")
    (folder / "package.json").write_text('{"private": true}')
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"{PACKAGE} cannot be had from the npm registry")
    page = PAGE
    for place, name in (("HIGHGAIN", "highgain"), ("DEEPMERGE", "ts-deepmerge")):
        page = page.replace(place, _entry(folder / "node_modules" / name))
    (folder / "index.html").write_text(page)
    return folder


def _entry(package: Path) -> str:
    """The module that `import` finds first."""
    description = json.loads((package / "package.json").read_text())
    entry = description.get("exports", {}).get(".", description.get("module") or description.get("main"))
    while isinstance(entry, dict):
        entry = entry.get("import") or entry.get("default")
    return str(entry).removeprefix("./")


@pytest.fixture(scope="module")
def read(served: Path) -> Iterator[Read]:
    """Reads a file of the served folder in a browser that reaches nothing but this machine."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not here: this test reads our files in a browser")
    handler = functools.partial(Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with playwright.sync_playwright() as playing:
            browser = playing.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
            page.wait_for_function("window.ready")

            def reading(name: str, media_type: str, anchors_pem: str | None) -> dict[str, Any]:
                call = "([name, type, anchors]) => read(name, type, anchors)"
                store = page.evaluate(call, [name, media_type, anchors_pem])
                return dict(json.loads(store))

            yield reading
            browser.close()
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves modules with the types browsers ask for, and writes no log."""

    extensions_map = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"} | {
        "": "application/octet-stream",
        ".html": "text/html",
    }

    def log_message(self, *_: object) -> None:
        """Nothing."""


@every_format
def test_a_browser_that_knows_our_anchor_trusts_the_file(
    gateway: Gateway, served: Path, read: Read, media_type: MediaType
) -> None:
    file = seal(gateway.sealing, make_picture(), make_claim(media_type))
    (served / "sealed").write_bytes(file.data)

    store = read("sealed", media_type, gateway.anchors_pem)

    manifest = store["manifests"][store["active_manifest"]]
    actions = next(a["data"] for a in manifest["assertions"] if a["label"] == "c2pa.actions.v2")
    assert store["validation_state"] == "Trusted"
    assert store["active_manifest"] == file.manifest_id
    assert store["validation_results"]["activeManifest"]["failure"] == []
    assert [action["action"] for action in actions["actions"]] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert manifest["signature_info"]["issuer"] == "Browser Test"


@every_format
def test_a_browser_without_our_anchor_says_valid_and_sees_what_was_changed(
    gateway: Gateway, served: Path, read: Read, media_type: MediaType
) -> None:
    data = bytearray(seal(gateway.sealing, make_picture(), make_claim(media_type)).data)
    (served / "sealed").write_bytes(data)
    plain = read("sealed", media_type, None)
    data[data.index(b"CreatorTool") + 15] ^= 1  # in the label
    (served / "changed").write_bytes(data)

    changed = read("changed", media_type, None)

    def failures(store: dict[str, Any]) -> list[str]:
        return [entry["code"] for entry in store["validation_results"]["activeManifest"]["failure"]]

    assert (plain["validation_state"], failures(plain)) == ("Valid", ["signingCredential.untrusted"])
    assert changed["validation_state"] == "Invalid"
    assert {"assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"} & set(failures(changed))
