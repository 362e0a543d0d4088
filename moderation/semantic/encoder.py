"""Runs the shipped encoder: texts in, cosines to the written definitions out, through onnxruntime on one thread.

Owns the onnxruntime session. The torch network it was made from is `moderation/semantic/training/network.py`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy

os.putenv("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded; without it, it calls home
import onnxruntime

from moderation.errors import PartUnusable
from moderation.minilm import MINILM
from moderation.semantic.head import ONNX, Array
from moderation.semantic.tokens import Tokens, padded, word_vectors

BATCH_WINDOWS = 8


class SentenceEncoder:
    """The int8 encoder. Any number of threads may call it at once: a session keeps no state between calls."""

    def __init__(self, folder: Path, model: Path | None = None) -> None:
        """`folder`: of `model.onnx`, which the caller has checked. `model`: MiniLM's folder, default the package's.

        Raises `PartUnusable` if MiniLM is missing or not the pinned one, or onnxruntime cannot load the graph.
        """
        self.tokens = Tokens(model)
        self._words = word_vectors((model or MINILM.folder()) / "model.safetensors")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / ONNX), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            problem = f"onnxruntime cannot load it ({type(error).__name__})"
            raise PartUnusable("semantic", "weights", problem, "Install onnxruntime 1.20 or later.") from error

    def cosines(self, texts: Sequence[str]) -> tuple[Array, ...]:
        """Per text (windows, prototypes), float32; a text without words has no window (shape (0, prototypes)).

        Every window is computed in a batch of windows of its own text only, so that a text's answer does not depend on
        its neighbours: activations are quantised per batch.
        """
        return tuple(self._cosines(self.tokens.windows(text)) for text in texts)

    def window(self, ids: Sequence[int]) -> Array:
        """(prototypes,) of one window of token ids with its markers."""
        row: Array = self._cosines([list(ids)])[0]
        return row

    def _cosines(self, windows: list[list[int]]) -> Array:
        if not windows:
            return numpy.zeros((0, self._session.get_outputs()[0].shape[1]), numpy.float32)
        found = []
        for start in range(0, len(windows), BATCH_WINDOWS):
            ids, mask = padded(windows[start : start + BATCH_WINDOWS])
            given = {"embedded": self._words[ids], "mask": mask.astype(numpy.int32)}
            found.append(self._session.run(["cosines"], given)[0])
        return numpy.concatenate(found)
