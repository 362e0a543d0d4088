"""The rules of the house that import-linter cannot see."""

import ast
import re
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "moderation", "provenance", "inference", "policies")
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "tests", *PACKAGES}
REFUSED_NAMES = {"utils", "util", "helpers", "common", "manager", "misc", "base", "core"}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_the_top_level_is_the_design_cards() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    names = {line.split("/", 1)[0] for line in tracked.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    assert [path for path in SOURCES if path.stem in REFUSED_NAMES] == []


def test_files_are_short_enough_to_hold_one_idea() -> None:
    assert [(path.name, lines(path)) for path in SOURCES if lines(path) > 400] == []
    assert median(lines(path) for path in SOURCES if path.name != "__init__.py") < 200


def test_every_file_says_what_it_owns_and_every_public_thing_what_it_is() -> None:
    silent = []
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        if tree.body and ast.get_docstring(tree) is None and "migrations" not in path.parts:
            silent.append(str(path))
        if "migrations" in path.parts:
            continue
        public = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        named = [node for node in tree.body if isinstance(node, public) and not node.name.startswith("_")]
        silent += [f"{path}:{node.name}" for node in named if ast.get_docstring(node) is None]
    assert silent == []


def test_only_the_settings_read_the_environment() -> None:
    allowed = {"settings.py", "cli.py", "silence.py"}  # the last two only set what libraries read
    reads = re.compile(r"os\.environ|os\.getenv")
    found = [path for path in SOURCES if reads.search(path.read_text("utf-8")) and path.name not in allowed]
    assert found == []


def test_one_file_owns_each_foreign_library() -> None:
    owners = {
        "c2pa": ("provenance/signing/local.py", "provenance/credentials/reading.py"),
        "open_clip": ("moderation/open_clip_models.py",),
        "pkcs11": ("provenance/signing/pkcs11.py",),
        "fsspec": ("gateway/store/blobs.py",),
        "alembic": ("gateway/store/database.py", "gateway/store/migrations/"),
    }
    for library, files in owners.items():
        importing = re.compile(rf"^\s*(?:import|from) {library}\b", re.MULTILINE)
        users = [path.relative_to(ROOT).as_posix() for path in SOURCES if importing.search(path.read_text("utf-8"))]
        assert [user for user in users if not user.startswith(files)] == [], library


def test_every_broad_except_says_why() -> None:
    broad = re.compile(r"except (?:Base)?Exception\b[^\n]*")
    unexplained = [
        f"{path}: {found}"
        for path in SOURCES
        for found in broad.findall(path.read_text("utf-8"))
        if "# noqa: BLE001" in found and not found.split("BLE001", 1)[1].strip(" -")
    ]
    assert unexplained == []


def test_every_entry_point_loads_and_is_shaped_like_a_part() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    for group, parts in points.items():
        for name in parts:
            (point,) = entry_points(group=group, name=name)
            part = point.load()
            assert part.name == name
            assert isinstance(part.version, str) or "version" in part.__annotations__
            assert part.Options.model_config["frozen"]
            assert part.Options.model_config["extra"] == "forbid"


def test_no_machine_or_registry_is_named_in_the_project() -> None:
    tracked = subprocess.run(
        ["git", "grep", "-lE", r"/(work|root|home)/[a-z]+/", "--", ":!LICENSE"], cwd=ROOT, capture_output=True
    )
    assert tracked.stdout.decode().split() in ([], ["tests/test_house.py"])


def test_only_the_store_reads_the_gateways_tables() -> None:
    asks = re.compile(r"\bselect\(|from sqlalchemy import .*\bRow\b|\bRowMapping\b")
    elsewhere = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gateway").rglob("*.py")
        if "store" not in path.relative_to(ROOT / "gateway").parts and asks.search(path.read_text("utf-8"))
    ]
    assert elsewhere == []
