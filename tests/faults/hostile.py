"""Hostile bodies without a key, many at once, against a running server, and what they cost it.

`python -m tests.faults.hostile [--requests 1000] [--at-once 50]` boots a server, prints the figures and fails on them:
resident memory of the server grows by less than 150 MB, and `/health/live` answers within 200 ms (p99) beside them.
The public rate is lifted, so that the checks of files really run.
"""

import argparse
import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

MEGABYTE = 1_000_000
KEYED = (
    ("/api/v1/model/generateImage", "json"),
    ("/v1/images/generations", "json"),
    ("/v1/moderations", "json"),
    ("/api/v1/model/uploadMedia", "form"),
    ("/v1/images/edits", "form"),
)
PUBLIC = (
    ("/v1/verify", "form"),
    ("/c2pa/v1/matches/byContent", "image"),
    ("/c2pa/v1/matches/byBinding", "json"),
    ("/c2pa/v1/manifests/x/receipts", "json"),
)


def flat_webp(side: int = 5000) -> bytes:
    """About a kilobyte, 25 megapixels."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 30)).save(out, "WEBP", lossless=True)
    return out.getvalue()


def form(*files: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    return b"".join(head + data + b"\r\n" for data in files) + b"--b--\r\n"


def bodies(limit: int) -> dict[str, list[bytes]]:
    """By kind: bodies of up to `limit` bytes, and a few beyond every limit."""
    rng = random.Random(7)
    noise = rng.randbytes(limit)
    photo = io.BytesIO()
    Image.frombytes("RGB", (1600, 1200), noise[: 1600 * 1200 * 3].ljust(1600 * 1200 * 3, b"x")).save(photo, "JPEG")
    images = [flat_webp(), photo.getvalue(), noise, b"\x89PNG\r\n\x1a\n" + noise[: limit // 4]]
    part = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n'
    return {
        "json": [
            b'{"prompt":"x","references":[' + b"1," * 480_000 + b"1]}",
            b"{" + b",".join(b'"f%d":1' % n for n in range(70_000)) + b"}",
            b'{"prompt":' + b"[" * 950_000,
            b'{"a":' * 190_000,
            b'{"prompt":"x","seed":' + b"9" * 950_000 + b"}",
            b"[" + b"{}," * 300_000 + b"{}]",
            b"[" + b"1," * (limit // 2) + b"1]",
        ],
        "form": [*map(form, images), part * (limit // len(part)), b"--b\r\n" + b"X: y\r\n" * (limit // 8)],
        "image": images,
    }


TYPES = {"json": "application/json", "form": "multipart/form-data; boundary=b", "image": "image/webp"}


@dataclass
class Cost:
    """What the attack cost. Megabytes resident; seconds of CPU and of waiting."""

    statuses: dict[str, int]
    seconds: float
    server_before: float
    server_peak: float
    server_after: float
    checkers_peak: float
    cpu_seconds: float
    live_p50_ms: float
    live_p99_ms: float
    live_most_ms: float
    live_asked: int

    @property
    def growth(self) -> float:
        return self.server_peak - self.server_before


def measure(url: str, pid: int, requests: int, at_once: int, limit: int = 20 * MEGABYTE, seed: int = 1) -> Cost:
    """Sends `requests` hostile bodies to the server at `url`, process `pid`."""
    address = (url.split("//")[1].split(":")[0], int(url.rsplit(":", 1)[1]))
    kinds = bodies(limit)
    rng = random.Random(seed)
    plan = [
        (path, kind, rng.choice(kinds[kind]), rng.random() < 0.3)
        for path, kind in (rng.choice(KEYED + PUBLIC) for _ in range(requests))
    ]
    context = multiprocessing.get_context("spawn")
    stop, ends = context.Event(), context.Pipe(duplex=False)
    prober = context.Process(target=probe, args=(address, pid, stop, ends[1]), daemon=True)
    prober.start()
    ends[0].recv()  # it asks
    before, cpu_before = resident(pid), cpu_seconds(pid)
    began = time.perf_counter()
    statuses = asyncio.run(attack(address, plan, at_once))
    seconds = time.perf_counter() - began
    stop.set()
    waits, server_peak, checkers_peak = ends[0].recv()
    prober.join(10)
    percent = statistics.quantiles(waits, n=100)
    return Cost(
        statuses=dict(statuses),
        seconds=seconds,
        server_before=before,
        server_peak=server_peak,
        server_after=resident(pid),
        checkers_peak=checkers_peak,
        cpu_seconds=cpu_seconds(pid) - cpu_before,
        live_p50_ms=1000 * percent[49],
        live_p99_ms=1000 * percent[98],
        live_most_ms=1000 * max(waits),
        live_asked=len(waits),
    )


async def attack(address: tuple[str, int], plan: list[tuple[str, str, bytes, bool]], at_once: int) -> Counter[str]:
    """The plan, `at_once` at a time; statuses, by number of answers."""
    statuses: Counter[str] = Counter()
    left = iter(plan)

    async def attacker() -> None:
        for path, kind, body, chunked in left:
            statuses[await sent(address, path, TYPES[kind], body, chunked=chunked)] += 1

    await asyncio.gather(*(attacker() for _ in range(at_once)))
    return statuses


async def sent(address: tuple[str, int], path: str, kind: str, body: bytes, *, chunked: bool) -> str:
    """All of the body, whatever the server says meanwhile; then the status of the answer, or how there was none."""
    reader, writer = await asyncio.open_connection(*address)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n{length}\r\n\r\n".encode())
    try:
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(body), 262_144):
                piece = body[start : start + 262_144]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
            if chunked:
                writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(240):
            return (await reader.readline())[9:12].decode() or "closed"
    except ConnectionError:
        return "reset"
    except TimeoutError:
        return "silent"
    finally:
        writer.close()


def probe(address: tuple[str, int], pid: int, stop: Any, end: Any) -> None:
    """In a process of its own: asks `/health/live` fifty times a second, and looks at the memory."""
    waits: list[float] = []
    server = checkers = 0.0
    end.send("asking")
    while not stop.is_set():
        began = time.perf_counter()
        with socket.create_connection(address, 30) as connection:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(1000)[9:12] == b"200"
        waits.append(time.perf_counter() - began)
        server = max(server, resident(pid))
        checkers = max(checkers, sum(map(resident, children(pid))))
        time.sleep(0.02)
    end.send((waits, server, checkers))


def resident(pid: int) -> float:
    """Megabytes of one process."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0


def children(pid: int) -> list[int]:
    """Processes started by `pid`, and by those."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process and of all its children, also of those that are gone."""
    total = 0.0
    for each in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(") ", 1)[1].split()
            total += sum(map(int, fields[11:15] if each == pid else fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return total


async def twelve_at_once(url: str) -> Counter[str]:
    """The attack of case S2: twelve checks of a flat WebP of 25 megapixels."""
    address = (url.split("//")[1].split(":")[0], int(url.rsplit(":", 1)[1]))
    return await attack(address, [("/v1/verify", "form", form(flat_webp()), False)] * 12, 12)


@contextlib.contextmanager
def booted() -> Iterator[Any]:
    """A server of its own."""
    from tests.walk import switched_parts
    from tests.walk.server_process import serving

    with tempfile.TemporaryDirectory() as folder:
        parts_path = switched_parts.install(Path(folder) / "site")
        with serving(Path(folder) / "data", parts_path=parts_path) as server:
            yield server


def main() -> None:
    """Prints the figures."""
    said = argparse.ArgumentParser(description=__doc__)
    said.add_argument("--requests", type=int, default=1000)
    said.add_argument("--at-once", type=int, default=50)
    chosen = said.parse_args()
    with booted() as server:
        pid = server.process.pid
        cost = measure(server.url, pid, chosen.requests, chosen.at_once)
        shown = {name: round(value, 1) if isinstance(value, float) else value for name, value in vars(cost).items()}
        print(json.dumps(shown | {"growth_mb": round(cost.growth, 1)}))
        before = resident(pid)
        statuses = asyncio.run(twelve_at_once(server.url))
        print(json.dumps({"twelve": dict(statuses), "server_mb": [round(before), round(resident(pid))]}))
        print(json.dumps({"checkers_mb": [round(resident(child)) for child in children(pid)]}))
    sys.exit(cost.growth >= 150 or cost.live_p99_ms >= 200)


if __name__ == "__main__":
    main()
