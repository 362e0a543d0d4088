"""Opens language models: folders pinned by SHA-256, safetensors only, no code of theirs, no weights made up."""

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoTokenizer

from moderation.errors import PartUnusable

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Dtype = Literal["fp32", "bf16", "fp16"]

_READ = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})


def folder_digest(folder: Path) -> str:
    """SHA-256 over what a model's folder is read from, 64 hex digits; raises `OSError`. The same as, inside the folder:

    sha256sum *.safetensors *.json *.txt *.model *.jinja 2>/dev/null | LC_ALL=C sort -k 2 | sha256sum
    """
    lines = []
    for path in sorted((path for path in folder.iterdir() if path.suffix in _READ), key=lambda path: path.name):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_pin(part: str, folder: Path, sha256: str) -> None:
    """Raises `PartUnusable` unless `folder` is one with the digest `sha256`."""
    try:
        found = folder_digest(folder)
    except OSError as error:
        raise PartUnusable(part, "model", f"{folder} is no folder that can be read", "Give a model's folder") from error
    if found != sha256:
        remedy = "Give the folder that was pinned, or look at this one and pin it"
        raise PartUnusable(part, "sha256", f"{folder} has the digest {found}, pinned is {sha256}", remedy)


def open_weights(part: str, kind: Any, model: str, *, dtype: Dtype = "fp32", device: str = "cpu", **source: Any) -> Any:
    """The model in eval mode; `kind`: an auto class of transformers. `source`: e.g. a hub `revision`.

    Raises `PartUnusable` if it cannot be loaded, or if weights it needs are missing and would be made up.
    """
    try:
        opened, notes = kind.from_pretrained(
            model,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=DTYPES[dtype],
            output_loading_info=True,
            **source,
        )
        opened = opened.to(device).eval()
    except Exception as error:  # what a foreign file can make a loader raise is not listed anywhere
        raise _unusable(part, model, type(error).__name__) from error
    if absent := sorted(notes["missing_keys"]):
        raise _unusable(part, model, f"{absent[0]} and {len(absent) - 1} more are not in its weights")
    return opened


def open_tokenizer(part: str, model: str, **source: Any) -> Any:
    """The model's tokenizer. Raises `PartUnusable`."""
    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False, **source)
    except Exception as error:
        raise _unusable(part, model, type(error).__name__) from error


def _unusable(part: str, model: str, why: str) -> PartUnusable:
    remedy = "Give a model of the kind this part is for, with safetensors weights and its tokenizer."
    return PartUnusable(part, "model", f"{model} cannot be loaded ({why})", remedy)
