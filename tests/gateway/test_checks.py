"""Files from anybody are checked in processes that can be ended, and that know nothing they need not know."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from gateway.errors import CheckFailed, CheckTooCostly, ServerBusy
from gateway.settings import Settings, VerifyOptions
from gateway.verifying.checking import CheckerSetup
from gateway.verifying.checks import Checks, checker_setup
from provenance.files.encoding import encode
from provenance.reports import KnownImage
from tests.provenance.pictures import make_picture

PART = '''
import os, time
from pathlib import Path
from provenance.marks.watermarkers import UnsafeUnmarked

class Misbehaving(UnsafeUnmarked):
    """Does what the picture's first pixel says; all others are found to carry no mark."""

    name = "misbehaving"

    def detect(self, pixels):
        match int(pixels[0, 0, 0]):
            case 1:
                while True:
                    pass
            case 2:
                kept = []
                while True:
                    kept.append(bytearray(10_000_000))
            case 3:
                os._exit(7)
            case 4:
                raise ZeroDivisionError
            case 5:
                Path(__file__).with_name("written").write_text("x")
            case 6:
                time.sleep(1)
            case 7:
                environment = dict(os.environ)
                assert not [name for name in environment if "FLUXGATE" in name or "SECRET" in name], environment
                held = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
                links = [os.readlink(fd) for fd in held if os.path.lexists(fd)]
                assert len([link for link in links if "socket" in link]) == 1, links
                assert not [link for link in links if "secret-file" in link], links
            case 8:
                os.abort()
        return None
'''


class NoRecords:
    """Records of a gateway that has made nothing; `broken` ones cannot be read."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.broken = False
        self.known: KnownImage | None = None

    def __getattr__(self, question: str) -> Any:
        def answer(subject: str | bytes) -> Any:
            self.asked.append(question)
            if self.broken:
                raise OperationalError("select", {}, Exception())
            if question == "by_sha256":
                return self.known
            return () if question == "by_codes" else None

        return answer


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("site")


@pytest.fixture(scope="module")
def setup(site: Path) -> Iterator[CheckerSetup]:
    (site / "misbehaving_part.py").write_text(PART)
    described = site / "misbehaving-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[fluxgate.watermarkers]\nmisbehaving = misbehaving_part:Misbehaving\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        settings = Settings(
            watermarker="misbehaving",
            also_read=(),
            foreign_marks=(),
            verify=VerifyOptions(cpu_seconds=2, memory_megabytes=150),
            database_url="postgresql://somebody:secret@db.test/x",
            parts={"switched_signer": {"token": "secret"}},
        )
        yield checker_setup(settings, bytes(32), "", "", frozenset())


@pytest.fixture(scope="module")
def records() -> NoRecords:
    return NoRecords()


@pytest.fixture(scope="module")
def checks(setup: CheckerSetup, records: NoRecords) -> Iterator[Checks]:
    made = Checks(setup, records, VerifyOptions(workers=1, waiting=2))
    yield made
    made.close()


def saying(first_pixel: int) -> bytes:
    pixels = make_picture(64, 64).copy()
    pixels[0, 0] = first_pixel
    return encode(pixels, "image/png", 100)


def checked(checks: Checks, data: bytes) -> dict[str, Any]:
    return asyncio.run(checks.verify(data))


def processes_of(checks: Checks) -> list[int]:
    return [process._child.pid for process in checks._all]


def test_the_setup_holds_only_what_verification_needs(setup: CheckerSetup) -> None:
    assert "secret" not in repr(setup)


# case S2
@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (1, CheckTooCostly),
        (2, CheckTooCostly),
        (8, CheckTooCostly),
        (3, CheckFailed),
        (4, CheckFailed),
        (5, CheckFailed),
    ],
    ids=["endless", "all memory", "aborts", "ends itself", "raises", "writes a file"],
)
def test_a_check_that_goes_wrong_ends_alone(
    checks: Checks, behaviour: int, failure: type[Exception], site: Path
) -> None:
    with pytest.raises(failure):
        checked(checks, saying(behaviour))
    assert processes_of(checks) == [], "whatever it left in its process is gone with it"
    assert checked(checks, saying(9))["verdict"] == "not_found"
    written = site / "written"
    assert not written.exists() or written.read_bytes() == b""


# case S2
def test_a_process_inherits_no_variable_and_no_file(checks: Checks, tmp_path: Path) -> None:
    checks._end_idle()
    with pytest.MonkeyPatch.context() as patch, (tmp_path / "secret-file").open("wb") as held:
        patch.setenv("FLUXGATE_DATABASE_URL", "postgresql://somebody:secret@db.test/x")
        os.set_inheritable(held.fileno(), True)
        assert checked(checks, saying(7))["verdict"] == "not_found"


# case S2
def test_few_checks_wait_and_more_are_told_so(checks: Checks) -> None:
    checked(checks, saying(9))

    async def many() -> list[Any]:
        return await asyncio.gather(*(checks.verify(saying(6)) for _ in range(8)), return_exceptions=True)

    got = asyncio.run(many())
    assert sum(isinstance(each, ServerBusy) for each in got) == 5
    assert sum(isinstance(each, dict) for each in got) == 3
    assert len(processes_of(checks)) == 1


def test_a_caller_who_leaves_does_not_free_a_place(checks: Checks) -> None:
    async def leaving() -> None:
        leaver = asyncio.create_task(checks.verify(saying(6)))
        await asyncio.sleep(0.2)
        leaver.cancel()
        await asyncio.gather(leaver, return_exceptions=True)
        assert checks._inside == 1
        for _ in range(100):
            await asyncio.sleep(0.1)
            if checks._inside == 0:
                return
        raise AssertionError

    asyncio.run(leaving())


def test_the_records_are_asked_in_the_parent(checks: Checks, records: NoRecords) -> None:
    records.asked.clear()
    checked(checks, saying(9))
    assert {"by_sha256", "by_codes"} <= set(records.asked)
    records.broken = True
    with pytest.raises(OperationalError):
        checked(checks, saying(9))
    records.broken = False
    assert checked(checks, saying(9))["verdict"] == "not_found"


def test_one_process_serves_many_checks_and_then_rests(checks: Checks, monkeypatch: pytest.MonkeyPatch) -> None:
    checked(checks, saying(9))
    first = processes_of(checks)
    checked(checks, saying(9))
    assert processes_of(checks) == first
    monkeypatch.setattr("gateway.verifying.checks._CHECKS_EACH", 1)
    checked(checks, saying(9))
    assert processes_of(checks) == []
    monkeypatch.setattr("gateway.verifying.checks._CHECKS_EACH", 100)
    monkeypatch.setattr("gateway.verifying.checks._IDLE_SECONDS", 0.1)

    async def rested() -> None:
        await checks.verify(saying(9))
        assert len(processes_of(checks)) == 1
        await asyncio.sleep(1)
        assert processes_of(checks) == []

    asyncio.run(rested())


def test_nothing_is_started_before_the_first_check_and_nothing_is_left(setup: CheckerSetup, records: NoRecords) -> None:
    made = Checks(setup, records, VerifyOptions(workers=1))
    assert processes_of(made) == []
    checked(made, saying(9))
    (pid,) = processes_of(made)
    made.close()
    time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ServerBusy):
        checked(made, saying(9))
