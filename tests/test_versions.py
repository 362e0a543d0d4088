"""What a stranger installs tomorrow: every dependency has an upper bound, and the locked versions lie within them."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LINES = (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines()
LOCKED = {canonicalize_name(name): version for name, _, version in (x.partition("==") for x in LINES if x[:1] != "#")}


def requirements(*extras: str) -> list[Requirement]:
    listed = PROJECT["dependencies"] + [each for name in extras for each in PROJECT["optional-dependencies"][name]]
    return [Requirement(each) for each in listed]


def test_every_dependency_has_an_upper_bound() -> None:  # case R1
    open_ended = [
        each.name
        for each in requirements(*PROJECT["optional-dependencies"])
        if not any(bound.operator in ("<", "<=", "==", "~=") for bound in each.specifier)
    ]
    assert open_ended == []


def test_the_locked_versions_are_allowed_ones_and_none_is_missing() -> None:  # case R1
    for each in requirements("test"):
        if each.marker is None or each.marker.evaluate():
            version = LOCKED.get(canonicalize_name(each.name))
            assert version is not None, f"{each.name}: run .ci/lock"
            assert each.specifier.contains(version, prereleases=True), f"{each.name}: run .ci/lock"


def test_both_of_the_readmes_commands_install_what_is_locked() -> None:  # case R1
    text = (ROOT / "README.md").read_text("utf-8")
    commands = [line for line in text.splitlines() if line.startswith("    ") and "pip install" in line]
    assert len(commands) == 2
    assert all("-c .ci/constraints.txt" in line for line in commands)
