"""The real server as a process of its own, for as long as the demonstration needs it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue

import gateway
from gateway.errors import GatewayError

_START_SECONDS = 180
_STOP_SECONDS = 40
_PACKAGES = str(Path(gateway.__file__).resolve().parents[1])
# -P: nothing is imported from the folder that the caller happens to stand in, which may hold a `gateway` of its own.
_RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gateway.cli import main; main()"


class ServerDidNotStart(GatewayError):
    """The server ended, or said nothing, before it answered; its log tells why."""


@contextmanager
def running_server(data_dir: Path, log_file: Path) -> Iterator[str]:
    """`fluxgate serve` on a free loopback port. Yields its base URL; ends it with the block."""
    command = [sys.executable, "-P", "-c", _RUN, _PACKAGES, "serve", "--data-dir", str(data_dir), "--port", "0"]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        try:
            yield _announced(process, log_file)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _announced(process: "subprocess.Popen[str]", log_file: Path) -> str:
    lines: Queue[str] = Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    try:
        line = lines.get(timeout=_START_SECONDS)
    except Empty:
        line = ""
    address = next((word for word in line.split() if word.startswith("http://")), None)
    if address is None:
        raise ServerDidNotStart(f"the server did not start; see {log_file}")
    return address
