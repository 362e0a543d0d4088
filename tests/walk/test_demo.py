"""`fluxgate demo` as a stranger runs it: the real command, server and weights, in a folder of his own."""

import json
import subprocess
import sys
from pathlib import Path

import gateway

STEPS = ["furnish", "serve", "deliver", "refuse", "look", "verify", "strip", "tamper", "audit"]
CONSOLE_SCRIPT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gateway.cli import main; main()"


def test_every_claim_of_the_demonstration_holds_also_beside_another_package_called_gateway(tmp_path: Path) -> None:
    # case R16
    for name in ("gateway", "moderation", "policies"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')")
    packages = str(Path(gateway.__file__).resolve().parents[1])
    command = [sys.executable, "-P", "-c", CONSOLE_SCRIPT, packages, "demo", "--json", "--out", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False)
    steps = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert [step["step"] for step in steps] == STEPS, run.stderr
    assert all(step["ok"] for step in steps), [step for step in steps if not step["ok"]]
    assert run.returncode == 0
    said = {step["step"]: step["facts"] for step in steps}
    assert "pictogram model" in said["serve"]["model"]
    assert "Weapons" in said["look"]["category"]
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "pictogram model" in page
    assert "not FLUX.1" in page
