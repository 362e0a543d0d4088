"""A data folder whose signer runs, and a clock to move."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.signing.provisioning import log_signer
from gateway.signing.signers import CurrentSigner
from gateway.store.data_folder import DataFolder, open_data_folder
from provenance.log.ledger import Ledger
from tests.gateway.signing import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def opened(tmp_path: Path) -> DataFolder:
    """With a database and a log."""
    folder = open_data_folder(tmp_path / "data")
    Ledger(folder.engine_for_log, log_signer(folder.keys))
    return folder


@pytest.fixture
def signer(opened: DataFolder, clock: Clock) -> Iterator[CurrentSigner]:
    """The running signer of the folder `opened`."""
    current = CurrentSigner(opened, None, clock)
    yield current
    current.close()
