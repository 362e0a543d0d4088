"""`fluxgate demo` as a stranger runs it: the real command, server and weights, in an empty folder."""

import json
import subprocess
import sys
from pathlib import Path

STEPS = ["furnish", "serve", "deliver", "refuse", "look", "verify", "strip", "tamper", "audit"]


def test_every_claim_of_the_demonstration_holds(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("fluxgate")), "demo", "--json", "--out", str(tmp_path / "out")]
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
