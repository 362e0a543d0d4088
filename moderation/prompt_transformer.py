"""Part `transformer`: any Hugging Face text-classification model, its labels mapped to our categories.

Configuration decides the activation: sigmoid per label for multi-label models, softmax otherwise. Code that comes with
a model is never run.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoModelForSequenceClassification

from moderation.errors import ClassifierFailed, PartUnusable
from moderation.local_weights import Dtype, check_pin, open_tokenizer, open_weights
from moderation.text.folding import FoldedText
from policies.findings import Category, Finding, Stage

OVERLAP_TOKENS = 16
BATCH_WINDOWS = 8


class TransformerPart:
    """A text-classification model on one device. Any number of threads may call it; they take turns."""

    name: ClassVar[str] = "transformer"
    version: str = "1"  # of an instance: its weights' revision
    steady = True

    class Options(BaseModel):
        """`model`: a folder, or a hub id with its `revision` (a commit, so that the weights cannot change unnoticed).

        `sha256`: of a folder, by `local_weights.folder_digest`; pins it. `label_map`: the model's label → category;
        labels left out are not reported. `multi_label`: None takes what the model's configuration says. `max_windows`:
        a text with more windows is not answered (never half read). `original`: the part reads the text as it came
        instead of folded, for cased and multilingual models. `languages`: what the model was made for, in ISO 639-1
        codes; what nobody claims is reported as unread.
        """

        model_config = ConfigDict(frozen=True, extra="forbid")
        model: str = Field(min_length=1)
        revision: str | None = None
        sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
        device: str = "cpu"
        dtype: Dtype = "fp32"
        label_map: Mapping[str, Category] = Field(min_length=1)
        multi_label: bool | None = None
        max_windows: int = Field(64, ge=1, le=1024)
        window_tokens: int = Field(256, ge=32, le=8192)
        original: bool = False
        languages: frozenset[str] = frozenset()

    def __init__(self, options: Options) -> None:
        """Raises `PartUnusable` if the model cannot be loaded or lacks a label of `label_map`."""
        if options.sha256 is not None:
            check_pin(self.name, Path(options.model), options.sha256)
        self._tokenizer = open_tokenizer(self.name, options.model, revision=options.revision)
        self._model = open_weights(
            self.name,
            AutoModelForSequenceClassification,
            options.model,
            dtype=options.dtype,
            device=options.device,
            revision=options.revision,
        )
        config = self._model.config
        columns = {str(label): column for column, label in config.id2label.items()}
        missing = sorted(set(options.label_map) - set(columns))
        if missing:
            known = ", ".join(sorted(columns))
            raise PartUnusable("transformer", "label_map", f"no label {missing[0]!r}", f"The model knows: {known}.")
        self._columns = [(columns[label], category.value) for label, category in sorted(options.label_map.items())]
        declared = getattr(config, "problem_type", None) == "multi_label_classification"
        single = config.num_labels == 1  # one logit: only a sigmoid makes sense of it
        self._sigmoid = single or (declared if options.multi_label is None else options.multi_label)
        if not self._tokenizer.is_fast:
            raise PartUnusable("transformer", "model", "its tokenizer is a slow one", "Add a tokenizer.json to it.")
        # RoBERTa's positions start two late.
        self._room = min(options.window_tokens, getattr(config, "max_position_embeddings", 1 << 20) - 2)
        self._options = options
        self.languages = options.languages
        self._turn = threading.Lock()
        commit = getattr(config, "_commit_hash", None)
        self.version = f"sha256:{options.sha256}" if options.sha256 else str(options.revision or commit or "local")

    @property
    def categories(self) -> frozenset[str]:
        """Those of the label map."""
        return frozenset(category for _, category in self._columns)

    def classify(self, text: FoldedText) -> tuple[Finding, ...]:
        """One finding per category: the highest probability over all windows of the text and of its labels.

        Raises `ClassifierFailed` if the text needs more than `max_windows`.
        """
        plain = text.original if self._options.original else text.folded
        readings = dict.fromkeys((plain, *text.variants[-1:]))
        with self._turn:
            windows = [window for reading in readings for window in self._windows(reading)]
            if len(windows) > self._options.max_windows:
                raise ClassifierFailed(
                    f"the text needs {len(windows)} windows, {self._options.max_windows} are allowed"
                )
            starts = range(0, len(windows), BATCH_WINDOWS)
            batches = [self._probabilities(windows[start : start + BATCH_WINDOWS]) for start in starts]
        highest = torch.cat(batches).amax(dim=0)
        scores: dict[str, float] = {}
        for column, category in self._columns:
            scores[category] = max(scores.get(category, 0.0), min(1.0, max(0.0, float(highest[column]))))
        facts = (("windows", str(len(windows))),)
        return tuple(
            Finding(category, score, Stage.PROMPT, self.name, self.version, facts)
            for category, score in sorted(scores.items())
        )

    def _windows(self, text: str) -> list[list[int]]:
        readable = text.encode("utf-8", "replace").decode()  # lone surrogates cannot cross into the tokenizer
        # The tokenizer cuts the windows itself, since only it knows where its own marker tokens go.
        cut = self._tokenizer(
            readable,
            truncation=True,
            max_length=self._room,
            stride=OVERLAP_TOKENS,
            return_overflowing_tokens=True,
            verbose=False,
        )
        windows: list[list[int]] = cut["input_ids"]
        return windows

    @torch.inference_mode()
    def _probabilities(self, windows: list[list[int]]) -> torch.Tensor:
        padded = self._tokenizer.pad({"input_ids": windows}, return_tensors="pt")
        padded = padded.to(self._model.device)
        out = self._model(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"])
        logits = out.logits.float().cpu()
        if not torch.isfinite(logits).all():
            raise ClassifierFailed("the model answered with numbers that are not finite")
        return torch.sigmoid(logits) if self._sigmoid else torch.softmax(logits, dim=1)
