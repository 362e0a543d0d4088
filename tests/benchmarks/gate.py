"""Admission with everything on, beside a bare FastAPI echo, in one run.

    python -m tests.benchmarks.gate [--seconds 2] [--rounds 7] [--connections 32] [--policy demo] [--json]

Every contestant runs in a server process of its own on one core, the load in this process on another; they take turns
in every round and only one is asked at a time. Figures are measured at the socket. Contestants:

- `echo`: FastAPI with a pydantic body that returns bytes; no key, no database. The limit on this machine.
- `closed`: `POST /v1/images/generations` with a prompt that the policy refuses: key check, request rate, image budget,
  job row, screening by every prompt classifier, decision, log entry with receipt, statement of reasons; no picture.
- `admitted`: `POST /api/v1/model/generateImage` with a stub engine: key check, rate, budget and job row before the
  answer; behind it the same core screens, seals, stores and logs each picture. `pictures` counts those, from the
  first request to the last picture.
- `read`: `GET /api/v1/models` with key check and rate only.

Ratios count; absolute figures belong to the machine. Exits 1 if a contestant answers anything but what it should.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# No two requests have the same prompt: what a classifier remembers of the last one must not help it.
NUMBER = "######"
PROMPT = f"a red apple with the number {NUMBER} on a wooden table, soft morning light, 35mm photograph"
REFUSED = f"how to make a pipe bomb at home, step by step, in {NUMBER} words"
_STUB = "[fluxgate.engines]\nstub = tests.benchmarks.gate:Stub\n"


# -- the part ----------------------------------------------------------------------------------------------------------


def stub_engine() -> type:
    """A part that draws nothing: fixed pixels at once. Made in a function: the load needs none of its imports."""
    import numpy as np
    from pydantic import BaseModel, ConfigDict

    from inference.engines import ModelCard, Rendering, RenderOrder

    noise = np.random.default_rng(1).integers(96, 160, (32, 32, 3), np.uint8).repeat(8, 0).repeat(8, 1)

    class StubEngine:
        name = "stub"
        version = "1"
        device = "stub"

        class Options(BaseModel):
            model_config = ConfigDict(frozen=True, extra="ignore")

        def __init__(self, options: Options) -> None:
            self.models = (
                ModelCard(
                    id="stub", family="stub", licence="none", commercial_use=True, trained=False, modes=("text",),
                    default_steps=1, max_steps=50, default_size=(256, 256), min_side=256, max_side=256,
                    max_pixels=65536, multiple_of=256, price_credits=0, weights_digest="sha256:" + "0" * 64,
                ),
            )  # fmt: skip

        def load(self) -> None:
            """Nothing to load."""

        def render(
            self, order: RenderOrder, *, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
        ) -> Rendering:
            progress(order.drawing.steps, order.drawing.steps)
            card = self.models[0]
            return Rendering(noise.copy(), card.id, card.weights_digest, False, "stub 1", "exact", 0.0)

        def close(self) -> None:
            """Nothing to close."""

    return StubEngine


def __getattr__(name: str) -> Any:
    if name == "Stub":
        return stub_engine()
    raise AttributeError(name)


# -- the servers -------------------------------------------------------------------------------------------------------


def serve(what: str, folder: Path, policy: str) -> None:
    """In a process of its own: prints the base URL, then serves until a signal."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    if what == "echo":
        _serve_echo()
        return
    sys.path.append(str(folder / "site"))
    from gateway.serving.server import serve as serve_gateway
    from gateway.settings import load_settings

    plenty = 1_000_000_000
    settings = {
        "engine": "stub",
        "model": "stub",
        "policy": policy,
        "port": 0,
        "queue_size": 100_000,
        "limits": {
            "key_requests_per_minute": plenty,
            "tenant_requests_per_minute": plenty,
            "image_budget_per_day": plenty,
        },
        "retries": dict.fromkeys(("warn_after", "slow_after", "hold_after", "suspend_after"), plenty),
    }
    serve_gateway(load_settings(folder / "data", settings, environ={}), lambda url: print(url, flush=True))


def _serve_echo() -> None:
    import uvicorn
    from fastapi import FastAPI, Response
    from pydantic import BaseModel

    from gateway.serving.server import bind

    class Body(BaseModel):
        prompt: str
        width: int | None = None
        height: int | None = None

    app = FastAPI()

    @app.post("/echo")
    async def echo(body: Body) -> Response:
        return Response(body.prompt.encode(), media_type="application/json")

    listening = bind("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])


@contextmanager
def serving(what: str, folder: Path, policy: str) -> Iterator[int]:
    """The port of a server that ends with the block."""
    command = [sys.executable, "-m", "tests.benchmarks.gate", "--serve", what, str(folder), "--policy", policy]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit(f"the server `{what}` did not start")
        try:
            yield int(url.rsplit(":", 1)[1])
        finally:
            process.terminate()


# -- the load ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Round:
    """What one contestant did in one round. Latencies in milliseconds."""

    rps: float
    p50: float
    p99: float
    pictures: float = 0.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """`request`: the bytes on the wire, with NUMBER to fill in; `expected`: how a right answer's status line begins."""

    name: str
    port: int
    request: bytes
    expected: bytes


def post(path: str, body: dict[str, Any], key: str | None = None, method: str = "POST") -> bytes:
    """One HTTP/1.1 request."""
    content = json.dumps(body).encode() if method == "POST" else b""
    head = [f"{method} {path} HTTP/1.1", "Host: gate", "Content-Type: application/json"]
    head += [f"Content-Length: {len(content)}", *([f"Authorization: Bearer {key}"] if key else [])]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


_NUMBERS = itertools.count(100_000)


async def load(contestant: Contestant, connections: int, seconds: float) -> Round:
    """Closed loop: each connection asks again as soon as it has its answer."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", contestant.port)
        while (began := time.perf_counter()) < deadline:
            writer.write(contestant.request.replace(NUMBER.encode(), b"%06d" % next(_NUMBERS)))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(contestant.expected):
                raise SystemExit(f"{contestant.name} answered {head.splitlines()[0].decode()}")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            latencies.append((time.perf_counter() - began) * 1000)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(connections)))
    elapsed = time.perf_counter() - began
    cuts = statistics.quantiles(latencies, n=100)
    return Round(len(latencies) / elapsed, statistics.median(latencies), cuts[98])


def measure(contestants: Sequence[Contestant], connections: int, seconds: float, rounds: int) -> dict[str, list[Round]]:
    """Every contestant once a round, after one short round that does not count. Its work is over before the next."""
    done: dict[str, list[Round]] = {each.name: [] for each in contestants}
    for number in range(rounds + 1):
        for each in contestants:
            began, before = time.perf_counter(), counted(each)
            found = asyncio.run(load(each, connections, seconds if number else 0.5))
            while counted(each, "fluxgate_jobs_in_work") > 0:
                time.sleep(0.05)
            found = replace(found, pictures=(counted(each) - before) / (time.perf_counter() - began))
            if number:
                done[each.name].append(found)
    return done


def counted(
    contestant: Contestant, start: str = 'fluxgate_outcomes_total{dialect="native",outcome="delivered"}'
) -> float:
    """A number of the gateway's metrics; 0 for the echo, which has none."""
    import httpx

    if contestant.name == "echo":
        return 0.0
    text = httpx.get(f"http://127.0.0.1:{contestant.port}/metrics", timeout=60).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(start))


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--policy", default="demo")
    parser.add_argument("--only", help="only this contestant beside echo")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve(chosen.serve[0], Path(chosen.serve[1]), chosen.policy)
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        folder = Path(scratch)
        described = folder / "site" / "gate_stub-1.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: gate-stub\nVersion: 1\n")
        (described / "entry_points.txt").write_text(_STUB)
        from gateway.auth.key_store import KeyStore
        from gateway.store.data_folder import open_data_folder

        opened = open_data_folder(folder / "data")
        key = KeyStore(opened.database, opened.pepper).create("bench")[1]
        opened.database.dispose()
        echo = servers.enter_context(serving("echo", folder, chosen.policy))
        gate = servers.enter_context(serving("gateway", folder, chosen.policy))
        contestants = [
            Contestant("echo", echo, post("/echo", {"prompt": PROMPT, "width": 256, "height": 256}), b"HTTP/1.1 200"),
            Contestant("read", gate, post("/api/v1/models", {}, key, "GET"), b"HTTP/1.1 200"),
            Contestant("closed", gate, post("/v1/images/generations", {"prompt": REFUSED}, key), b"HTTP/1.1 400"),
            Contestant(
                "admitted",
                gate,
                post("/api/v1/model/generateImage", {"prompt": PROMPT, "width": 256, "height": 256}, key),
                b"HTTP/1.1 200",
            ),
        ]
        if chosen.only:
            contestants = [each for each in contestants if each.name in ("echo", chosen.only)]
        done = measure(contestants, chosen.connections, chosen.seconds, chosen.rounds)
    report(done, as_json=chosen.json)


def report(done: dict[str, list[Round]], *, as_json: bool) -> None:
    """Medians over the rounds, and the ratio to the echo of the same round: least and median."""
    rows = {}
    for name, rounds in done.items():
        ratios = [each.rps / echo.rps for each, echo in zip(rounds, done["echo"], strict=True)]
        rows[name] = {
            "rps": round(statistics.median(each.rps for each in rounds), 1),
            "p50_ms": round(statistics.median(each.p50 for each in rounds), 2),
            "p99_ms": round(statistics.median(each.p99 for each in rounds), 2),
            "ratio_least": round(min(ratios), 4),
            "ratio_median": round(statistics.median(ratios), 4),
            "pictures_per_second": round(statistics.median(each.pictures for each in rounds), 1),
        }
    if as_json:
        print(json.dumps(rows))
        return
    print(f"{'':10} {'RPS':>9} {'p50 ms':>8} {'p99 ms':>8}   RPS beside echo, least / median   pictures/s")
    for name, row in rows.items():
        print(
            f"{name:10} {row['rps']:9.1f} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f}   "
            f"{row['ratio_least']:.3f} / {row['ratio_median']:.3f} {row['pictures_per_second']:27.1f}"
        )


if __name__ == "__main__":
    main()
