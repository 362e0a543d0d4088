"""A real server in a process of its own, for tests that need a socket or must kill it: `python -m …server_process`.

The first line on standard output is its base URL. The second argument is a JSON object: settings, and `test` with what
only tests may change: `lease_seconds`, `switches`, `parts_path`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.walk.house import walk_settings

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A running one. `url`: its base."""

    def __init__(self, path: Path, *, parts_path: str, test: dict[str, Any] | None = None, **settings: Any) -> None:
        chosen = walk_settings(path, **settings) | {"port": 0}
        given = json.dumps(chosen | {"test": {"parts_path": parts_path} | (test or {})}, default=str)
        self._log = path.with_name("server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.walk.server_process", str(path), given],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http"), Path(self._log.name).read_text()[-3000:]

    def kill(self) -> None:
        """As a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._log.close()

    def stop(self, seconds: float = 40) -> int:
        """As an operator would; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(seconds)
        self._log.close()
        return status


@contextmanager
def serving(path: Path, **options: Any) -> Iterator[Server]:
    """A server that is gone afterwards, whatever happens."""
    server = Server(path, **options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def wait_until(condition: Any, seconds: float) -> Any:
    """The first true value of `condition()`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


def main() -> None:
    """Serves until a signal ends it."""
    path, given = Path(sys.argv[1]), json.loads(sys.argv[2])
    test = given.pop("test")
    sys.path.append(test["parts_path"])

    from gateway import jobs
    from gateway.parts import torchvision_ops
    from gateway.serving.server import serve
    from gateway.settings import load_settings
    from gateway.telemetry import configure_logging
    from tests.walk import switched_parts

    torchvision_ops.install()
    configure_logging()
    if lease := test.get("lease_seconds"):
        jobs.LEASE_SECONDS, jobs.RENEW_SECONDS = lease, lease / 5
    switched_parts.SWITCHES.update(test.get("switches", {}))
    serve(load_settings(path, given, environ={}), lambda url: print(url, flush=True))


if __name__ == "__main__":
    main()
