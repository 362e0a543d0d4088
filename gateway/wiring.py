"""From settings to parts, and every cross-check that must hold before the first request. Boots loudly or not at all."""

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine as Database

from gateway.auth.identity import IdentityProvider
from gateway.auth.key_store import KeyStore
from gateway.data_folder import DataFolder
from gateway.limits import Limits, LimitSettings
from gateway.links import Links
from gateway.looks import Looks
from gateway.marks import foreign_marks, watermarkers
from gateway.parts import BootError, build_part
from gateway.pictures import Pictures
from gateway.provisioning import log_signer, signing_files
from gateway.records import Records
from gateway.screening import Screening
from gateway.sealing import Sealing
from gateway.settings import Settings
from gateway.store.blobs import Blobs
from gateway.store.vault import Vault
from gateway.uploads import Uploads
from gateway.verifying import Verifier
from inference.demo import WEIGHTS
from inference.dispatch import Dispatcher
from moderation.pdq import pdq
from policies.evaluate import stale_gaps, uncovered
from policies.loading import load_policy
from policies.policy import ClassifierUse, Policy
from provenance.encoding import Limits as FileLimits
from provenance.log.ledger import Ledger
from provenance.reading import ManifestReader
from provenance.sealing import SealingParts
from provenance.signing import ManifestSigner
from provenance.watermarkers import Watermarker

log = logging.getLogger("fluxgate.boot")

_KINDS = {"prompt": "prompt_classifiers", "image": "image_classifiers", "image_text": "image_text_readers"}


@dataclass(frozen=True, slots=True)
class Parts:
    """The whole house, built. Everything a request touches is in here and nowhere else."""

    settings: Settings
    policy: Policy
    screening: Screening
    dispatcher: Dispatcher
    sealing: Sealing
    watermarkers: tuple[Watermarker, ...]
    looks: Looks
    verifier: Verifier
    ledger: Ledger
    records: Records
    pictures: Pictures
    uploads: Uploads
    engine: Database
    vault: Vault
    links: Links
    limits: Limits
    limit_settings: LimitSettings
    identity_providers: tuple[IdentityProvider, ...]
    anchor_pem: str

    async def close(self) -> None:
        """Ends what has threads or native objects, in the order in which work flows."""
        await self.dispatcher.aclose()
        self.screening.close()
        self.sealing.close()
        self.records.close()
        await self.limits.aclose()
        for provider in self.identity_providers:
            provider.close()
        self.engine.dispose()


def wire(folder: DataFolder) -> Parts:
    """Builds and cross-checks everything. Raises `BootError`, `PolicyError`, or what a store raises."""
    settings = folder.settings
    # 1. The policy, and the classifiers it asks.
    policy = load_policy(settings.policy_name)
    if not policy.appeal.contact:
        policy = replace(policy, appeal=replace(policy.appeal, contact=settings.appeal_contact))
    screening = screening_of(settings, policy)
    # 2. What the policy rules on, somebody must look at.
    check_coverage(policy, screening)
    # 3. The engine.
    dispatcher = Dispatcher(
        build_part("engines", settings.engine, _engine_options(folder)),
        queue_size=settings.queue_size,
        render_timeout_seconds=settings.render_timeout_seconds,
    )
    # 4. Marks and signatures.
    sealing, known_marks, anchor = _sealing(folder)
    foreign = foreign_marks(settings)
    # 5. The log and what is written with it.
    ledger = Ledger(folder.engine_for_log, log_signer(folder.keys))
    blobs = Blobs(folder.blob_url)
    pictures = Pictures(blobs)
    file_limits = FileLimits(settings.max_upload_bytes, settings.max_upload_pixels)
    looks = Looks(folder.engine)
    # 6. Who may ask, and how much.
    store = KeyStore(folder.engine, folder.pepper)
    limit_settings = LimitSettings(**settings.limits.model_dump())
    return Parts(
        settings=settings,
        policy=policy,
        screening=screening,
        dispatcher=dispatcher,
        sealing=sealing,
        watermarkers=known_marks,
        looks=looks,
        verifier=Verifier(sealing.parts.reader, known_marks, file_limits, looks, pictures, foreign),
        ledger=ledger,
        records=Records(ledger, pictures, _now),
        pictures=pictures,
        uploads=Uploads(
            folder.engine,
            blobs,
            screening,
            policy,
            ledger,
            file_limits,
            _now,
            foreign,
        ),
        engine=folder.engine,
        vault=folder.vault,
        links=Links(folder.secret("links"), settings.link_ttl_seconds, time.time),
        limits=Limits(limit_settings),
        limit_settings=limit_settings,
        identity_providers=(build_part("identity_providers", "api_keys", {"store": store}),),
        anchor_pem=anchor,
    )


def screening_of(settings: Settings, policy: Policy) -> Screening:
    """The policy's classifiers, built with the operator's options over the policy's. Raises `BootError`."""

    def built(kind: str) -> list[Any]:
        return [_classifier(settings, use) for use in policy.classifiers if use.kind == kind]

    return Screening(
        built("prompt"),
        built("image"),
        built("image_text"),
        prompt_seconds=settings.prompt_timeout_seconds,
        image_seconds=settings.image_timeout_seconds,
    )


def _classifier(settings: Settings, use: ClassifierUse) -> Any:
    return build_part(_KINDS[use.kind], use.part, {**use.options, **settings.parts.get(use.part, {})})


def check_coverage(policy: Policy, screening: Screening) -> None:
    """Raises `BootError` if nobody looks for what the policy rules on; says aloud which gaps it accepts."""
    claims = screening.claims()
    if gaps := uncovered(policy, claims):
        said = ", ".join(f"{category} at {stage.value}" for category, stage in gaps)
        raise BootError(
            f"policy {policy.name}: nobody looks for {said}. Add a classifier, or accept each gap by name with a "
            "reason under [[gap]]."
        )
    for gap in describe_gaps(policy):
        log.warning(
            "policy %s accepts that nobody looks for %s at %s", policy.name, ", ".join(gap["categories"]), gap["stage"]
        )
    for category, stage in stale_gaps(policy, claims):
        log.warning("policy %s accepts a gap that is none: %s at %s", policy.name, category, stage.value)


def _engine_options(folder: DataFolder) -> dict[str, Any]:
    settings = folder.settings
    options = dict(settings.parts.get(settings.engine, {}))
    if settings.is_demo_model:
        options["model"] = str(WEIGHTS)
    else:
        options["model"] = settings.model
    if settings.model_id is not None:
        options["model_id"] = settings.model_id
    if settings.engine == "flux":
        options.setdefault("digest_cache", folder.path / "weights-digests.json")
    return options


def _sealing(folder: DataFolder) -> tuple[Sealing, tuple[Watermarker, ...], str]:
    settings = folder.settings
    files = signing_files(folder.keys, settings.provider, _now())
    known = watermarkers(settings, folder)
    options: dict[str, Any] = dict(settings.parts.get(settings.signer, {}))
    if settings.signer == "local":
        options = {"chain_path": files.chain, "key_path": files.key, "tsa_url": settings.timestamp_url} | options
    signer = build_part("signers", settings.signer, options)
    if settings.timestamp_url is None:
        log.warning("no time-stamp authority is set: manifests carry no time-stamp and end with the certificate")
    anchor = files.anchor.read_text("ascii")
    parts = SealingParts(known[0], ManifestSigner(signer), ManifestReader(anchor), pdq)
    return Sealing(parts, settings.provider, _now), known, anchor


def _now() -> datetime:
    return datetime.now(UTC)


def describe_gaps(policy: Policy) -> list[dict[str, Any]]:
    """Accepted gaps as start and `/health` show them: those of one stage and reason together."""
    together: dict[tuple[str, str], list[str]] = {}
    for gap in policy.accepted_gaps:
        together.setdefault((gap.stage.value, gap.reason), []).append(gap.category)
    return [{"stage": stage, "categories": found, "reason": why} for (stage, why), found in together.items()]
