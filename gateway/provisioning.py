"""Makes what a new data folder lacks: development CA, signing certificate, log key. Existing files are kept."""

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from provenance.certificates import load_chain, make_development_ca, make_leaf
from provenance.log.checkpoints import CheckpointSigner

log = logging.getLogger("fluxgate.provisioning")

_RENEW_BEFORE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class SigningFiles:
    """Paths of the signing chain (leaf first), its key, and the root that readers are to trust."""

    chain: Path
    key: Path
    anchor: Path


def signing_files(keys: Path, organisation: str, now: datetime) -> SigningFiles:
    """The signing files of a data folder, made or renewed where needed.

    `fluxgate certificate install` puts another CA's chain in their place; without our own `ca.key` beside them nothing
    is ever renewed here.
    """
    files = SigningFiles(keys / "signing-chain.pem", keys / "signing.key", keys / "ca.pem")
    ca_key = keys / "ca.key"
    if not files.anchor.exists() and not files.chain.exists():
        make_development_ca(files.anchor, ca_key, organisation=organisation, now=now)
    if (
        files.chain.exists()
        and ca_key.exists()
        and load_chain(files.chain)[0].not_valid_after_utc < now + _RENEW_BEFORE
    ):
        stamp = now.strftime("%Y%m%d%H%M%S")
        files.chain.rename(files.chain.with_suffix(f".{stamp}.pem"))
        files.key.rename(files.key.with_suffix(f".{stamp}.key"))
        log.info("the signing certificate nears its end and is renewed")
    if not files.chain.exists() and ca_key.exists():
        make_leaf(
            files.chain,
            files.key,
            ca_certificate_path=files.anchor,
            ca_key_path=ca_key,
            organisation=organisation,
            now=now,
        )
    return files


def log_signer(keys: Path) -> CheckpointSigner:
    """The log's key, made on first use under a name of its own; its public half is left in `log.vkey`."""
    file = keys / "log.key"
    if not file.exists():
        CheckpointSigner.create(file, f"fluxgate-log-{secrets.token_hex(4)}")
    signer = CheckpointSigner.load(file)
    (keys / "log.vkey").write_text(signer.key.vkey + "\n", "ascii")
    return signer
