"""An operator and a stranger, and one picture sealed in each format; built once."""

from collections.abc import Callable

import pytest

from provenance.claims import MediaType, SealedImage
from provenance.marks.watermarkers import Pixels
from provenance.sealing import seal
from tests.provenance.operators import Gateway, make_claim, make_gateway
from tests.provenance.pictures import make_picture


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("operator"), "Example Operator")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return make_gateway(tmp_path_factory.mktemp("stranger"), "Another Operator")


@pytest.fixture(scope="session")
def picture() -> Pixels:
    return make_picture()


@pytest.fixture(scope="session")
def sealed(gateway: Gateway, picture: Pixels) -> Callable[[MediaType], SealedImage]:
    """The sealed test picture in one format, made once."""
    made: dict[str, SealedImage] = {}

    def of(media_type: MediaType) -> SealedImage:
        if media_type not in made:
            made[media_type] = seal(gateway.sealing, picture, make_claim(media_type))
        return made[media_type]

    return of
