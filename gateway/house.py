"""The house: everything that was built at start, as one value. It holds no logic; `gateway/wiring.py` builds it."""

from dataclasses import dataclass

from sqlalchemy import Engine as Database

from gateway.auth.identity import IdentityProvider
from gateway.limits import Limits, LimitSettings
from gateway.retries.counting import Retries
from gateway.settings import Settings
from gateway.signing.links import Links
from gateway.signing.signers import CurrentSigner
from gateway.stations.chains import Chains
from gateway.stations.moderating import Moderating
from gateway.stations.moderation_log import ModerationLog
from gateway.stations.records import Records
from gateway.stations.rulebook import Rulebook
from gateway.stations.screening import Screening
from gateway.stations.sealing import Sealing
from gateway.stations.tailoring import Tailoring
from gateway.stations.uploads import Uploads
from gateway.store.calls import DatabaseCalls
from gateway.store.decisions import Decisions
from gateway.store.images import Images
from gateway.store.looks import Looks
from gateway.store.pictures import Pictures
from gateway.store.vault import Vault
from gateway.verifying.checks import Checks
from gateway.verifying.resolver import Resolver
from inference.dispatch import Dispatcher
from provenance.log.ledger import Ledger
from provenance.marks.watermarkers import Watermarker


@dataclass(frozen=True, slots=True)
class House:
    """The whole house, built. Everything a request touches is in here and nowhere else."""

    settings: Settings
    rulebook: Rulebook
    screening: Screening
    dispatcher: Dispatcher
    tailoring: Tailoring
    sealing: Sealing
    signer: CurrentSigner
    watermarkers: tuple[Watermarker, ...]
    looks: Looks
    images: Images
    resolver: Resolver
    moderating: Moderating
    checks: Checks
    ledger: Ledger
    records: Records
    retries: Retries
    moderation_log: ModerationLog
    chains: Chains
    pictures: Pictures
    uploads: Uploads
    database: Database
    database_calls: DatabaseCalls
    vault: Vault
    idempotency_secret: bytes
    links: Links
    decisions: Decisions
    limits: Limits
    limit_settings: LimitSettings
    identity_providers: tuple[IdentityProvider, ...]

    async def close(self) -> None:
        """Ends what has threads or native objects, in the order in which work flows."""
        await self.dispatcher.aclose()
        self.checks.close()
        self.screening.close()
        self.sealing.close()
        self.records.close()
        await self.limits.aclose()
        for provider in self.identity_providers:
            provider.close()
        self.database_calls.close()
        self.database.dispose()
