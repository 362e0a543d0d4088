"""The formats that are sealed, for tests that must hold in each of them."""

from collections.abc import Callable

import pytest

from provenance.claims import MediaType, SealedImage

Sealed = Callable[[MediaType], SealedImage]
FORMATS: tuple[MediaType, ...] = ("image/png", "image/jpeg", "image/webp", "image/avif", "image/tiff")
DISSECTED: tuple[MediaType, ...] = FORMATS[:3]
"""Those that `anatomy` takes apart."""

every_format = pytest.mark.parametrize("media_type", FORMATS)
every_dissected = pytest.mark.parametrize("media_type", DISSECTED)
