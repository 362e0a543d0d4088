"""Counts a prompt's tokens as a pipeline will, from the model folder's tokenizer alone: before any weights are loaded.

FLUX.1's CLIP reads the first 77 tokens only, by design; the window meant here is that of the encoder which carries the
words (T5, Qwen, Mistral).
"""

import threading
from typing import Any

from inference.errors import WeightsError
from inference.flux.weights import ModelFolder


class PromptLengths:
    """Any threads may ask. The tokenizer is a copy of its own: the pipeline changes the padding of its one."""

    def __init__(self, folder: ModelFolder, pipeline: str) -> None:
        """`pipeline`: class name in diffusers."""
        self._folder, self._pipeline = folder, pipeline
        self._turn = threading.Lock()
        self._tokenizer: Any = None

    def count(self, prompt: str) -> int:
        """Tokens of `prompt`, template and end marks included. Raises `WeightsError` if the tokenizer is broken."""
        with self._turn:
            if self._tokenizer is None:
                self._tokenizer = self._opened()
            return _count(self._pipeline, self._tokenizer, prompt)

    def _opened(self) -> Any:
        # Imported here: a folder's card is read without it.
        import transformers

        component = "tokenizer_2" if self._pipeline == "FluxPipeline" else "tokenizer"
        library, kind = self._folder.model_index[component]
        try:
            return getattr(transformers, kind).from_pretrained(str(self._folder.path / component))
        except Exception as error:
            where = self._folder.path / component
            raise WeightsError(f"{where} cannot be loaded with {library}.{kind}; fetch the model again") from error


def _count(pipeline: str, tokenizer: Any, prompt: str) -> int:
    if pipeline == "FluxPipeline":
        return len(tokenizer(prompt, truncation=False).input_ids)
    if pipeline == "Flux2KleinPipeline":
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return len(tokenizer(text, truncation=False).input_ids)
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    words = [{"type": "text", "text": prompt.replace("[IMG]", "")}]
    conversation = [
        {"role": "system", "content": [{"type": "text", "text": SYSTEM_MESSAGE}]},
        {"role": "user", "content": words},
    ]
    tokens = tokenizer.apply_chat_template([conversation], add_generation_prompt=False, tokenize=True, return_dict=True)
    return len(tokens["input_ids"][0])
