"""Mends torchvision beside a CPU-only torch: declares the two operators whose absence breaks its import.

The registry's torchvision wheel is compiled for a CUDA torch; beside a CPU build its C++ operators do not load, and
`import torchvision` (hence open_clip, transformers' and diffusers' image parts) fails with "operator torchvision::nms
does not exist". Declaring the schemas is enough, since nothing here calls them. The hook costs nothing until
torchvision is imported and does nothing where the real operators load.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_keep_alive: list[object] = []  # a torch Library un-declares its operators when collected


class _BeforeTorchvision(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # The operators' first consumer: the extension has been tried by then, and failed or not.
        if fullname == "torchvision._meta_registrations":
            _declare_missing()
        return None  # the ordinary finders do the importing


def _declare_missing() -> None:
    import torch

    for name in ("nms", "qnms"):
        try:
            torch._C._dispatch_has_kernel_for_dispatch_key(f"torchvision::{name}", "CPU")
        except RuntimeError:
            library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
            library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
            _keep_alive.append(library)


def install() -> None:
    """Puts the hook in place, once per process."""
    if not any(isinstance(finder, _BeforeTorchvision) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeTorchvision())
