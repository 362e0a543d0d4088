"""The formats that are sealed, for tests that must hold in each of them."""

from collections.abc import Callable

import pytest

from provenance.claims import MediaType, SealedImage

Sealed = Callable[[MediaType], SealedImage]
FORMATS: tuple[MediaType, ...] = ("image/png", "image/jpeg", "image/webp")
every_format = pytest.mark.parametrize("media_type", FORMATS)
