"""Who marks, whose older marks are still recognised, and who knows the marks of other systems; from settings."""

from typing import Any

from gateway.parts import BootError, build_part
from gateway.settings import Settings
from gateway.store.data_folder import DataFolder
from provenance.marks.foreign import ForeignMarks
from provenance.marks.watermarkers import Watermarker

_KEYED = "tile"


def watermarkers(settings: Settings, folder: DataFolder | None) -> tuple[Watermarker, ...]:
    """The marking one first, then those in `also_read`. Raises `BootError`.

    `folder`: where the key of a keyed scheme lies; None if there is no data folder, and then such marks cannot be read.
    """
    if settings.watermarker.startswith("unsafe") and not settings.unsafe_development:
        raise BootError(f"watermarker `{settings.watermarker}` marks nothing: set unsafe_development to try it")
    names = dict.fromkeys((settings.watermarker, *settings.also_read))
    built = (_built(settings, folder, name) for name in names)
    return tuple(watermarker for watermarker in built if watermarker is not None)


def foreign_marks(settings: Settings) -> tuple[ForeignMarks, ...]:
    """Who looks for the marks of other systems. Raises `BootError`."""
    return tuple(build_part("foreign_marks", name, settings.parts.get(name, {})) for name in settings.foreign_marks)


def _built(settings: Settings, folder: DataFolder | None, name: str) -> Watermarker | None:
    options: dict[str, Any] = dict(settings.parts.get(name, {}))
    if name == _KEYED and "keys" not in options:
        if folder is None:
            return None
        options["keys"] = [{"id": "own", "hex": folder.secret("watermark").hex()}]
    watermarker: Watermarker = build_part("watermarkers", name, options)
    return watermarker
