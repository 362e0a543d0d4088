"""A running gateway, watched by its system calls: whom it talks to, and which files it writes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import gateway
from tests.walk.test_demo import CONSOLE_SCRIPT

WATCHED = (
    "connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink"
)
WRITES = re.compile(
    r'^\d+ +(?:(?:openat|open)\([^"]*"(?P<file>[^"]+)".*O_(?:WRONLY|RDWR|CREAT)|'
    r'(?:creat|mkdir|mkdirat|rename|renameat|renameat2|link|linkat|symlink)\(.*"(?P<made>[^"]+)")'
)
SOCKET = re.compile(r"sa_family=(AF_INET6?).*?(?:inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")
PACKAGES = str(Path(gateway.__file__).resolve().parents[1])


def fluxgate(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-c", CONSOLE_SCRIPT, PACKAGES, *map(str, arguments)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_gateway_that_draws_an_image_talks_to_nobody_and_writes_only_into_its_data_folder(tmp_path: Path) -> None:
    # case S3
    data, trace = tmp_path / "data", tmp_path / "trace"
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    made = subprocess.run(
        fluxgate("keys", "create", "--init", "--data-dir", data, "--tenant", "acme", "--json"),
        env=environment, cwd=tmp_path / "work", capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = json.loads(made.stdout)["key"]
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "300", "-o", str(trace), "-e", f"trace={WATCHED}"]
    with (tmp_path / "err").open("wb") as log:
        server = subprocess.Popen(
            command + fluxgate("serve", "--data-dir", data, "--port", "0"),
            env=environment, cwd=tmp_path / "work", stdout=subprocess.PIPE, stderr=log, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "http://" in line, (tmp_path / "err").read_text()[-2000:]
        url = next(word for word in line.split() if word.startswith("http://"))
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
            drawn = client.post("/v1/images/generations", json={"prompt": "a red apple", "size": "256x256"})
            assert drawn.status_code == 200, drawn.text
            assert client.get("/health/ready").status_code == 200
        time.sleep(float(os.environ.get("FLUXGATE_TEST_SILENCE_SECONDS", "3")))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
    lines = trace.read_text(errors="replace").splitlines()
    assert any("execve" in line or "fluxgate.db" in line for line in lines), "the trace saw nothing"

    asked = {found[2] for line in lines if (found := SOCKET.search(line))}
    assert asked <= {"127.0.0.1", "::1"}, asked

    written = {found["file"] or found["made"] for line in lines if (found := WRITES.match(line)) and "= -1" not in line}
    outside = {
        path
        for path in written
        if not Path(path).is_relative_to(data) and not path.startswith(("/dev/", "/proc/")) and Path(path).is_absolute()
    }
    assert not outside
    for name in ("home", "tmp", "work"):
        assert not list((tmp_path / name).rglob("*")), name

    modes = {path: path.stat().st_mode & 0o777 for path in (data, *data.rglob("*"))}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}, modes  # case S11
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}, modes
