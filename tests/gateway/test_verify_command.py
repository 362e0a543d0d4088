"""`fluxgate verify` of one file, several files and folders, in one process and in several."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from gateway.cli import app
from provenance.claims import SealedImage
from provenance.sealing import seal
from tests.provenance.formats import FORMATS
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import jpeg, make_picture


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Example Operator")


KINDS = [media_type.removeprefix("image/") for media_type in FORMATS]


@pytest.fixture(scope="module")
def sealed(operator: Gateway) -> dict[str, SealedImage]:
    picture = make_picture(256, 256)
    return {kind: seal(operator.sealing, picture, make_claim(kind)) for kind in FORMATS}


@pytest.fixture
def folder(tmp_path: Path, sealed: dict[str, SealedImage]) -> Path:
    """Sealed files in two folders, one of them changed, one unmarked, and one that is no picture."""
    inner = tmp_path / "pictures" / "more"
    inner.mkdir(parents=True)
    for media_type, file in sealed.items():
        for place in (inner, inner.parent):
            (place / f"sealed.{media_type.removeprefix('image/')}").write_bytes(file.data)
    changed = bytearray(sealed["image/png"].data)
    changed[-30] ^= 1
    (inner / "changed.PNG").write_bytes(changed)
    (inner / "unmarked.jpg").write_bytes(jpeg(make_picture(256, 256, 3), 90))
    (inner / "broken.webp").write_bytes(b"no picture")
    (inner / "notes.txt").write_text("not looked at")
    return inner.parent


def verify(operator: Gateway, tmp_path: Path, *arguments: object) -> Result:
    """Without a data folder, with the operator's anchor."""
    fixed = ("--data-dir", tmp_path / "none", "--anchor", operator.folder / "ca.pem")
    return CliRunner().invoke(app, ["verify", *map(str, (*arguments, *fixed))])


def test_of_one_file_every_layer_is_told(operator: Gateway, tmp_path: Path, folder: Path) -> None:
    result = verify(operator, tmp_path, folder / "sealed.png")

    assert result.exit_code == 0
    assert result.stdout.startswith("ours intact: ")
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == [
        "metadata",
        "labels",
        "watermark",
        "record",
    ]
    one = verify(operator, tmp_path, folder / "sealed.png", "--json")
    assert json.loads(one.stdout)["verdict"] == "ours_intact"


def test_of_a_folder_each_picture_has_a_row_and_the_worst_gives_the_exit_code(
    operator: Gateway, tmp_path: Path, folder: Path
) -> None:
    result = verify(operator, tmp_path, folder, "--json")

    found = {str(Path(row["file"]).relative_to(folder)): row["verdict"] for row in json.loads(result.stdout)}
    assert result.exit_code == 3
    assert found == {
        **{f"{place}sealed.{kind}": "ours_intact" for place in ("", "more/") for kind in KINDS},
        "more/changed.PNG": "ours_altered",
        "more/unmarked.jpg": "not_found",
        "more/broken.webp": "uncheckable",
    }
    table = verify(operator, tmp_path, folder).stdout
    assert f"{3 + 2 * len(KINDS)} files: {2 * len(KINDS)} ours_intact, 1 " in table
    assert "ours_altered" in table


def test_several_processes_say_what_one_says(operator: Gateway, tmp_path: Path, folder: Path) -> None:
    copies = [folder / f"{number}.png" for number in range(12)]
    for copy in copies:
        copy.write_bytes((folder / "sealed.png").read_bytes())

    one, two = (verify(operator, tmp_path, folder, "--json", "--processes", count) for count in (1, 2))

    assert one.exit_code == two.exit_code == 3
    assert json.loads(one.stdout) == json.loads(two.stdout)
    assert len(json.loads(two.stdout)) == 3 + 2 * len(KINDS) + len(copies)


def test_what_cannot_be_read_is_said_of_that_file_alone(operator: Gateway, tmp_path: Path, folder: Path) -> None:
    result = verify(operator, tmp_path, folder / "missing.png", folder / "sealed.png", "--json")

    missing, sealed = json.loads(result.stdout)
    assert result.exit_code == 3
    assert missing["summary"] == "The file cannot be read: No such file or directory."
    assert sealed["verdict"] == "ours_intact"


# case V1
def test_every_shape_of_a_picture_is_checked_in_bounded_memory(tmp_path: Path) -> None:
    memory = 2_500_000_000
    for size in ((33, 60000), (60000, 33), (1, 1), (1, 40000), (5, 2_000_000), (2_000_000, 5)):
        Image.new("RGB", size, (200, 120, 40)).save(tmp_path / f"{size[0]}x{size[1]}.png")

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    command = [
        sys.executable,
        "-m",
        "gateway.cli",
        "verify",
        "--json",
        str(tmp_path),
        "--data-dir",
        str(tmp_path / "no"),
    ]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | one_thread, preexec_fn=bounded)

    assert done.returncode == 1, done.stderr
    assert done.stderr == f"fluxgate: there is no gateway in {tmp_path / 'no'}, so only the file itself is checked\n"
    assert {row["verdict"] for row in json.loads(done.stdout)} == {"not_found"}


# case V1
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("failure", [MemoryError, RuntimeError("a path of the file"), OSError, RecursionError])
def test_a_check_that_breaks_says_nothing_about_the_picture(
    operator: Gateway,
    tmp_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: type[Exception] | Exception,
    processes: int,
) -> None:
    def breaks(*_: object) -> None:
        raise failure

    monkeypatch.setattr("gateway.verifying.verifier.verify", breaks)
    result = verify(operator, tmp_path, folder / "sealed.png", "--processes", processes)

    assert result.exit_code == 3
    assert result.stdout.startswith("uncheckable: ")
    assert "Traceback" not in result.output
    assert "a path of the file" not in result.output
    assert result.output.count("\n") == 1


# case V1
def test_what_cannot_be_opened_besides_the_picture_is_no_verdict_either(
    operator: Gateway, tmp_path: Path, folder: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fluxgate.toml").write_text("provider = [not toml")
    broken_settings = ["verify", str(folder / "sealed.png"), "--data-dir", str(tmp_path / "data")]
    no_anchor = [
        "verify",
        str(folder / "sealed.png"),
        "--data-dir",
        str(tmp_path),
        "--anchor",
        str(tmp_path / "none.pem"),
    ]

    for arguments in (broken_settings, no_anchor):
        result = CliRunner().invoke(app, arguments)

        assert result.exit_code == 3
        assert result.output.startswith("fluxgate: the check failed: ")
        assert result.output.count("\n") == 1


# case V1
@pytest.mark.parametrize("arguments", [[], ["--no-such-option", "a.png"], ["a.png", "--processes", "none"]])
def test_a_command_line_that_cannot_be_understood_is_no_verdict(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["verify", *arguments]).exit_code == 3


# case V1
def test_a_checking_process_that_is_killed_leaves_its_files_uncheckable(
    operator: Gateway, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(16):
        (folder / f"{number}.png").write_bytes((folder / "sealed.png").read_bytes())
    monkeypatch.setattr("gateway.verifying.folders._begin", _dies)

    result = verify(operator, tmp_path, folder, "--json", "--processes", 2)

    assert result.exit_code == 3
    assert {row["verdict"] for row in json.loads(result.stdout)} == {"uncheckable"}


def _dies(*_: object) -> None:
    os._exit(9)


def test_a_folder_without_pictures_is_an_error_with_a_remedy(operator: Gateway, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    result = verify(operator, tmp_path, tmp_path / "empty")

    assert result.exit_code == 3
    assert "no picture file" in result.output
