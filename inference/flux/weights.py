"""Where weights come from and that they are the right ones: folder or hub id, SHA-256, pins, safetensors only.

The digest of a model covers every file its pipeline reads: `model_index.json` and, in each component's folder, weights,
configuration and tokenizer. It is the SHA-256 of the lines `sha256sum` prints for these files, sorted by path:

    sha256sum model_index.json scheduler/* … | LC_ALL=C sort -k 2 | sha256sum
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import WeightsError

PINS = "SHA256SUMS"
"""A list in the format of `sha256sum`; inside a model folder it guards against damage, kept elsewhere also against
exchange."""

_READ_BY_PIPELINES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
_CAN_CARRY_CODE = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".msgpack", ".h5", ".py"})
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_CACHE_FOLDER = re.compile(r"models--([\w.-]+?)--([\w.-]+)")
_PIN_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on this machine. `hub_id`: where it was published, if it came from the hub or its cache."""

    path: Path
    hub_id: str | None
    model_index: Mapping[str, Any]

    @property
    def components(self) -> tuple[str, ...]:
        """Folders the pipeline loads from, sorted."""
        named = ((key, value) for key, value in self.model_index.items() if not key.startswith("_"))
        return tuple(sorted(key for key, value in named if isinstance(value, list) and value[0] is not None))

    def config(self, component: str) -> Mapping[str, Any]:
        """`config.json` of a component. Raises `WeightsError` if it is missing or broken."""
        return _read_json(self.path / component / "config.json")


@dataclass(frozen=True, slots=True)
class WeightFile:
    """`path`: relative to the model folder, with slashes. `sha256`: hex. `stamp`: (size, mtime in ns) when hashed."""

    path: str
    sha256: str
    stamp: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of a model with their digests, sorted by path."""

    folder: Path
    files: tuple[WeightFile, ...]

    @property
    def digest(self) -> str:
        """`sha256:…` over all files, as described at the top."""
        lines = "".join(f"{file.sha256}  {file.path}\n" for file in self.files)
        return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()

    def check_unchanged(self) -> None:
        """Raises `WeightsError` if a file was written to since it was hashed (by size and time)."""
        for file in self.files:
            if _stamp(self.folder / file.path) != file.stamp:
                raise WeightsError(f"{file.path} changed after its digest was taken; restart to take it anew")


def locate(model: str, *, revision: str | None = None, offline: bool = False) -> ModelFolder:
    """The folder of `model`: a path, or a hub id `owner/name`, which is downloaded unless `offline` or already there.

    `revision`: hub only; a commit id makes the download repeatable. Raises `WeightsError` with the remedy.
    """
    path, hub_id = Path(model).expanduser(), None
    if not path.is_dir():
        if not _HUB_ID.fullmatch(model):
            raise WeightsError(f"{model} is neither a folder on this machine nor a hub id such as owner/name")
        path, hub_id = _snapshot(model, revision, offline), model
    elif cached := next((m for part in path.resolve().parts if (m := _HUB_CACHE_FOLDER.fullmatch(part))), None):
        hub_id = f"{cached[1]}/{cached[2]}"
    return ModelFolder(path.resolve(), hub_id, _read_json(path / "model_index.json"))


def _snapshot(hub_id: str, revision: str | None, offline: bool) -> Path:
    # Imported here: a folder on disk needs no network library.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    # Component folders only: the single-file checkpoints beside them hold the same weights once more.
    patterns = ["model_index.json", *(f"*/*{suffix}" for suffix in sorted(_READ_BY_PIPELINES))]
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns, local_files_only=offline))
    except GatedRepoError as error:
        raise WeightsError(
            f"{hub_id} is gated: accept its licence on the hub, then log in there with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"the hub has no model {hub_id}, or not for this account") from error
    except LocalEntryNotFoundError as error:
        raise WeightsError(
            f"{hub_id} is not on this machine and the hub cannot be reached: run `hf download {hub_id}` where it can, "
            "or give the path of a folder"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise WeightsError(f"{hub_id} could not be fetched from the hub; try again, or give a folder") from error


def take_digest(folder: ModelFolder, *, cache: Path | None = None) -> Weights:
    """Hashes the model's files, about a gigabyte per second and core.

    `cache`: a JSON file outside the model folder that remembers digests by path, size and time, so that large models
    start quickly; None hashes every byte each time. Raises `WeightsError` for pickles, code and missing weights.
    """
    paths = _files(folder)
    known = _read_cache(cache)
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="weights-digest") as pool:
        files = tuple(pool.map(lambda path: _hash_file(folder.path, path, known), paths))
    if cache is not None:
        fresh = {str(folder.path / file.path): [*file.stamp, file.sha256] for file in files}
        _write_cache(cache, {**known, **fresh})
    return Weights(folder.path, files)


def check_pins(weights: Weights, pins: Path) -> None:
    """Raises `WeightsError` unless `pins` lists exactly the model's files, each with its digest."""
    try:
        lines = pins.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise WeightsError(f"the pins file {pins} cannot be read: {error.strerror}") from error
    pinned: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _PIN_LINE.fullmatch(line)
        if match is None:
            raise WeightsError(f"{pins}, line {number}: expected a line as sha256sum prints it")
        pinned[match[2].removeprefix("./")] = match[1]
    found = {file.path: file.sha256 for file in weights.files}
    for path in sorted(found.keys() | pinned.keys()):
        if path not in pinned:
            raise WeightsError(f"{path} is not pinned in {pins}: remove the file, or pin it after checking it")
        if path not in found:
            raise WeightsError(f"{path} is pinned in {pins} and missing in the model folder: fetch it again")
        if found[path] != pinned[path]:
            raise WeightsError(f"{path} is not the file pinned in {pins}: fetch it again from a source you trust")


def write_pins(weights: Weights, pins: Path) -> None:
    """Writes the digests as a pins file, readable by `sha256sum --check` in the model folder."""
    pins.write_text("".join(f"{file.sha256}  {file.path}\n" for file in weights.files), encoding="utf-8")


def _files(folder: ModelFolder) -> list[str]:
    """Relative paths of what the pipeline reads, sorted."""
    found = ["model_index.json"]
    for component in folder.components:
        inside = sorted(path for path in (folder.path / component).rglob("*") if path.is_file())
        unsafe = next((path for path in inside if path.suffix in _CAN_CARRY_CODE), None)
        if unsafe is not None:
            raise WeightsError(
                f"{unsafe.relative_to(folder.path)} is of a kind that can run code when loaded: keep only safetensors"
            )
        if not inside:
            raise WeightsError(f"{folder.path / component} is missing or empty: fetch the model again")
        found += [path.relative_to(folder.path).as_posix() for path in inside if path.suffix in _READ_BY_PIPELINES]
    for component in ("transformer", "vae"):
        if not any(path.startswith(f"{component}/") and path.endswith(".safetensors") for path in found):
            raise WeightsError(f"{folder.path / component} holds no safetensors file: fetch the model again")
    return sorted(found)


def _hash_file(folder: Path, path: str, known: Mapping[str, list[Any]]) -> WeightFile:
    full = folder / path
    stamp = _stamp(full)
    remembered = known.get(str(full))
    if remembered is not None and tuple(remembered[:2]) == stamp:
        return WeightFile(path, str(remembered[2]), stamp)
    with full.open("rb") as file:
        return WeightFile(path, hashlib.file_digest(file, "sha256").hexdigest(), stamp)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        loaded = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing: give a folder in diffusers' layout") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: fetch the model again") from error
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} does not hold a JSON object: fetch the model again")
    return loaded


def _read_cache(cache: Path | None) -> dict[str, list[Any]]:
    if cache is None or not cache.is_file():
        return {}
    try:
        loaded = json.loads(cache.read_bytes())
    except ValueError:
        return {}  # half written by a killed process: the digests are taken anew
    return {path: entry for path, entry in loaded.items() if isinstance(entry, list) and len(entry) == 3}


def _write_cache(cache: Path, entries: Mapping[str, list[Any]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        json.dump(entries, file, indent=1, sort_keys=True)
    partial.replace(cache)
