"""Reads the files a policy is made of, within limits, and digests every byte it read."""

import hashlib
import tomllib
from pathlib import Path, PurePosixPath

from policies.errors import PolicyError

SHIPPED = Path(__file__).parent / "data"
"""Where the shipped policies, the floor, the taxonomy, the term lists and the image prompts lie."""

SHIPPED_PREFIX = "shipped:"
"""A data name that starts so is looked up in `SHIPPED`, so that an operator's policy can use the shipped lists."""

MAX_POLICY_BYTES = 1024 * 1024
"""A policy is written by hand; ours have under 20 KiB. More is a wrong path, not a policy."""

MAX_DATA_BYTES = 64 * 1024 * 1024
"""Room for about 900,000 hashes of 64 hex digits in one list, and little enough to hold in memory while parsing."""


class PolicyFiles:
    """The files of one policy: read once each, parsed from the very bytes that the digest covers."""

    def __init__(self) -> None:
        self._sources: list[tuple[str, bytes]] = []

    def read(self, label: str, path: Path, *, limit_bytes: int = MAX_POLICY_BYTES) -> dict[str, object]:
        """Parsed TOML of `path`. `label`: its name inside the digest, free of absolute paths.

        Raises `PolicyError` if the file is missing, unreadable, over `limit_bytes`, not UTF-8, or not TOML.
        """
        data = read_limited(path, limit_bytes)
        self._sources.append((label, data))
        return parse_toml(path, data)

    def digest(self) -> str:
        """`sha256:` and 64 hex digits over labels and contents, each with its length in front, in reading order.

        Lengths make the sum unambiguous: no byte can move from one file into the next and leave it unchanged.
        """
        whole = hashlib.sha256(b"fluxgate policy digest v1\n")
        for label, data in self._sources:
            for part in (label.encode(), data):
                whole.update(len(part).to_bytes(8, "big"))
                whole.update(part)
        return f"sha256:{whole.hexdigest()}"


def locate_data(policy_path: Path, field: str, name: str) -> Path:
    """Where the data file `name` of the policy at `policy_path` lies: beside it, or with `shipped:` among our own.

    Raises `PolicyError` for an absolute name or one that climbs out of the folder: the digest names files, and a
    name has to mean the same file on every machine.
    """
    folder = SHIPPED if name.startswith(SHIPPED_PREFIX) else policy_path.parent
    relative = PurePosixPath(name.removeprefix(SHIPPED_PREFIX))
    if not relative.parts or relative.is_absolute() or ".." in relative.parts:
        raise PolicyError(
            str(policy_path),
            field,
            f"data file {name!r} does not lie beside the policy",
            "Put the file into the policy's folder and give its relative name, or use 'shipped:' for one of ours",
        )
    return folder / relative


def read_limited(path: Path, limit_bytes: int) -> bytes:
    """Contents of `path`. Raises `PolicyError` if it is missing, unreadable or larger than `limit_bytes`."""
    try:
        with path.open("rb") as handle:
            data = handle.read(limit_bytes + 1)
    except FileNotFoundError as error:
        raise PolicyError(str(path), "", "there is no such file", "Correct the path") from error
    except OSError as error:
        problem = f"the file cannot be read ({error.strerror})"
        raise PolicyError(str(path), "", problem, "Make it a regular file that this account may read") from error
    if len(data) > limit_bytes:
        remedy = "Check that the path is the right one; split a long list into several data files"
        raise PolicyError(str(path), "", f"the file is larger than {limit_bytes} bytes", remedy)
    return data


def parse_toml(path: Path, data: bytes) -> dict[str, object]:
    """`data` as TOML. Raises `PolicyError` naming `path`, and the line where there is one."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PolicyError(str(path), f"byte {error.start}", "the file is not UTF-8", "Save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(str(path), "", f"the file is not TOML: {error}", "Correct the place named") from error
    except RecursionError as error:
        raise PolicyError(str(path), "", "the file is nested too deeply", "Flatten it") from error
