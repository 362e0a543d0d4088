"""From settings to parts, and every cross-check that must hold before the first request. Boots loudly or not at all."""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gateway.auth.key_store import KeyStore
from gateway.house import House
from gateway.limits import Limits, LimitSettings
from gateway.parts import BootError, build_part
from gateway.posting import post
from gateway.retries.counting import Retries
from gateway.settings import Settings
from gateway.signing.links import Links
from gateway.signing.marks import foreign_marks, watermarkers
from gateway.signing.provisioning import open_ledger
from gateway.signing.revocations import timestamp_anchors_pem
from gateway.signing.signers import CurrentSigner, organisations
from gateway.statements import taxonomy
from gateway.stations.chains import Chains
from gateway.stations.credentials import Credentials
from gateway.stations.labelling import Labelling
from gateway.stations.model_names import check_aliases
from gateway.stations.moderating import Moderating
from gateway.stations.moderation_log import ModerationLog
from gateway.stations.records import Records
from gateway.stations.rulebook import Rulebook, rulebook
from gateway.stations.screening import Screening
from gateway.stations.sealing import Sealing
from gateway.stations.tailoring import Tailoring
from gateway.stations.uploads import Uploads
from gateway.store.blobs import Blobs
from gateway.store.calls import DatabaseCalls
from gateway.store.data_folder import DataFolder
from gateway.store.decisions import Decisions
from gateway.store.images import Images
from gateway.store.looks import Looks
from gateway.store.pictures import MANIFEST_SUFFIX, Pictures
from gateway.verifying.checks import Checks, checker_setup
from gateway.verifying.records import StoredRecords
from gateway.verifying.resolver import Resolver
from inference.demo import WEIGHTS
from inference.dispatch import Dispatcher
from moderation.known_pictures.pdq import pdq
from moderation.screening import SecondStage
from policies.evaluate import stale_gaps, stopped_from, uncovered
from policies.loading import load_policy
from policies.policy import ClassifierUse, Policy
from provenance.claims import Detached
from provenance.credentials.reading import ManifestReader
from provenance.files.encoding import FileBounds
from provenance.labels import languages
from provenance.marks.watermarkers import Watermarker
from provenance.sealing import SealerSetup
from provenance.signing.timestamps import TimestampAuthority

log = logging.getLogger("fluxgate.boot")

_KINDS = {"prompt": "prompt_classifiers", "image": "image_classifiers", "image_text": "image_text_readers"}


def wire(folder: DataFolder) -> House:
    """Builds and cross-checks everything. Raises `BootError`, `PolicyError`, or what a store raises."""
    settings = folder.settings
    # 1. The policy, and the classifiers it asks; the words in which refusals are stated.
    taxonomy()
    policy = policy_of(settings.policy_name, settings)
    canary = policy_of(settings.canary_policy, settings) if settings.canary_policy else None
    book = rulebook(policy, settings.overlays, canary, settings.canary_share, settings.jurisdictions)
    log.info("loading the classifiers of policy %s", policy.name)
    screening = screening_of(settings, policy, book.readings)
    # 2. What a policy rules on, somebody must look at.
    check_coverage(policy, screening)
    for own in book.others:
        refuse_uncovered(own, screening)
    # 3. The engine.
    log.info("preparing engine %s with model %s", settings.engine, settings.model)
    dispatcher = Dispatcher(
        build_part("engines", settings.engine, _engine_options(folder)),
        queue_size=settings.queue_size,
        render_timeout_seconds=settings.render_timeout_seconds,
    )
    check_aliases(settings.aliases, dispatcher.models)
    log.info("opening the log and the signing certificate")
    # 4. The log, where it also stands which certificates are revoked.
    ledger = open_ledger(folder)
    # 5. Marks and signatures, and what is written with them.
    signer = _signer(folder)
    sealing, known_marks = _sealing(folder, signer, labelling_of(settings, book))
    foreign = foreign_marks(settings)
    blobs = Blobs(folder.blob_url, settings.blob_timeout_seconds)
    pictures = Pictures(blobs)
    file_limits = FileBounds(settings.max_upload_bytes, settings.max_upload_pixels)
    looks = Looks(folder.database)
    calls = DatabaseCalls(2 * settings.database_timeout_seconds)  # a place in the pool, then the statement
    checks = Checks(
        checker_setup(
            settings,
            folder.secret("watermark"),
            signer.anchors_pem,
            timestamp_anchors_pem(settings),
            organisations(folder),
        ),
        StoredRecords(looks, pictures),
        settings.verify,
    )
    images = Images(folder.database)
    moderation_log = ModerationLog(folder.database, ledger, time.time)
    # 6. Who may ask, and how much.
    store = KeyStore(folder.database, folder.pepper)
    limit_settings = LimitSettings(**settings.limits.model_dump())
    return House(
        settings=settings,
        rulebook=book,
        screening=screening,
        dispatcher=dispatcher,
        tailoring=Tailoring(dispatcher, screening, book),
        sealing=sealing,
        signer=signer,
        watermarkers=known_marks,
        looks=looks,
        images=images,
        resolver=Resolver(
            images, looks, pictures, checks, ledger, [mark.algorithm for mark in known_marks if mark.marks]
        ),
        moderating=Moderating(screening, book, moderation_log, file_limits),
        checks=checks,
        ledger=ledger,
        records=Records(ledger, pictures, _now, screening.appeals),
        retries=Retries(
            folder.database,
            calls,
            folder.secret("retries"),
            settings.retries,
            " ".join(filter(None, (policy.appeal.how, policy.appeal.contact))),
            time.time,
        ),
        moderation_log=moderation_log,
        chains=Chains(folder.database, calls, settings.chains, time.monotonic),
        pictures=pictures,
        uploads=Uploads(
            folder.database,
            blobs,
            screening,
            Credentials(sealing.parts.reader, signer.anchors_pem),
            book,
            ledger,
            file_limits,
            _now,
            foreign,
            ttl_seconds=settings.upload_ttl_seconds,
            quota_bytes=settings.max_stored_upload_bytes,
        ),
        database=folder.database,
        database_calls=calls,
        vault=folder.vault,
        idempotency_secret=folder.secret("idempotency"),
        decisions=Decisions(folder.database, ledger, folder.secret("decisions")),
        links=Links(folder.secret("links"), settings.link_ttl_seconds, time.time),
        limits=Limits(limit_settings),
        limit_settings=limit_settings,
        identity_providers=(build_part("identity_providers", "api_keys", {"store": store}),),
    )


def policy_of(name: str, settings: Settings) -> Policy:
    """The policy with its contact for appeals, or the operator's; says aloud that there is none. Raises
    `PolicyError`."""
    policy = load_policy(name)
    contact = policy.appeal.contact.strip() or settings.appeal_contact.strip()
    if not contact:
        log.warning(
            "policy %s names no contact for appeals, and appeal_contact is empty: refusals do not say whom to turn to",
            policy.name,
        )
    return replace(policy, appeal=replace(policy.appeal, contact=contact))


def screening_of(
    settings: Settings, policy: Policy, readings: Sequence[Policy] = (), kinds: Collection[str] = tuple(_KINDS)
) -> Screening:
    """The policy's classifiers, built with the operator's options over the policy's. Raises `BootError`.

    `readings`: every other policy that decides on their findings. `kinds`: those of `ClassifierUse` to build.
    """

    def built(kind: str) -> list[Any]:
        return [_classifier(settings, use) for use in policy.classifiers if use.kind == kind and not use.asked]

    return Screening(
        built("prompt") if "prompt" in kinds else (),
        built("image") if "image" in kinds else (),
        built("image_text") if "image_text" in kinds else (),
        prompt_seconds=settings.prompt_timeout_seconds,
        image_seconds=settings.image_timeout_seconds,
        second_stage=[
            SecondStage(_classifier(settings, use), zone, stopped_from(zone.high, zone.after, (policy, *readings)))
            for use in policy.classifiers
            if use.kind in kinds and (zone := use.asked)
        ],
    )


def _classifier(settings: Settings, use: ClassifierUse) -> Any:
    part = build_part(_KINDS[use.kind], use.part, {**use.options, **settings.parts.get(use.part, {})})
    if hasattr(part, "licence"):
        log.warning("classifier %s comes under a licence of its own: %s", use.part, part.licence)
    return part


def check_coverage(policy: Policy, screening: Screening) -> None:
    """Raises `BootError` if nobody looks for what the policy rules on; says aloud which gaps it accepts."""
    refuse_uncovered(policy, screening)
    for gap in describe_gaps(policy):
        log.warning(
            "policy %s accepts that no classifier covers %s at %s",
            policy.name,
            ", ".join(gap["categories"]),
            gap["stage"],
        )
    for category, stage in stale_gaps(policy, screening.claims()):
        log.warning("policy %s accepts a gap, but a classifier covers %s at %s", policy.name, category, stage.value)


def refuse_uncovered(policy: Policy, screening: Screening) -> None:
    """Raises `BootError` if nobody looks for what the policy rules on."""
    if gaps := uncovered(policy, screening.claims()):
        said = ", ".join(f"{category} at {stage.value}" for category, stage in gaps)
        raise BootError(
            f"policy {policy.name}: no classifier covers {said}. Add a classifier, or accept each gap by name with a "
            "reason under [[gap]]."
        )


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


def _sealing(
    folder: DataFolder, signer: CurrentSigner, labelling: Labelling
) -> tuple[Sealing, tuple[Watermarker, ...]]:
    settings = folder.settings
    known = watermarkers(settings, folder)
    reader = ManifestReader(signer.anchors_pem, timestamp_anchors_pem(settings))
    parts = SealerSetup(known[0], signer, reader, pdq)
    return Sealing(parts, labelling, settings.provider, _now, _detached(settings)), known


def _signer(folder: DataFolder) -> CurrentSigner:
    settings = folder.settings
    authority = None
    if settings.timestamp_url is None:
        log.warning("timestamp_url is not set: manifests carry no time-stamp and expire with the certificate")
    else:
        authority = TimestampAuthority(
            settings.timestamp_url,
            post,
            required=settings.timestamp_required,
            timeout_seconds=settings.timestamp_timeout_seconds,
            clock=_now,
        )
        if settings.timestamp_anchors is None:
            log.warning("timestamp_anchors is not set: files are time-stamped, but checks do not trust the stamps")
    return CurrentSigner(folder, authority, _now)


def _detached(settings: Settings) -> Callable[[str], Detached | None]:
    """Where the manifest of a content id goes. Raises `BootError` if its address would not be known."""
    base = (settings.public_url or "").rstrip("/")
    if settings.manifest == "remote" and not base:
        raise BootError("manifest = remote: the files name where their manifests are; set public_url")
    return {
        "embedded": lambda _: None,
        "sidecar": lambda _: Detached(),
        "remote": lambda content_id: Detached(f"{base}/files/manifests/{content_id}{MANIFEST_SUFFIX}"),
    }[settings.manifest]


def labelling_of(settings: Settings, book: Rulebook) -> Labelling:
    """The operator's choice of labels, and what jurisdictions add. Raises `BootError` for what no label can be."""
    if unknown := sorted(set(settings.label_languages).difference(languages())):
        raise BootError(
            f"label_languages: no label can be written in {', '.join(unknown)}. Choose from {', '.join(languages())}."
        )
    chosen = settings.label_languages or languages()
    whole = Labelling(settings.labels, settings.provider_code or "", settings.visible_label, chosen)
    own = {tenant: whole.with_demands(book.overlays_for(tenant)) for tenant in book.tenants}
    return replace(whole.with_demands(book.overlays_for("")), own=own)


def _now() -> datetime:
    return datetime.now(UTC)


def describe_gaps(policy: Policy) -> list[dict[str, Any]]:
    """Accepted gaps as start and `/health` show them: those of one stage and reason together."""
    together: dict[tuple[str, str], list[str]] = {}
    for gap in policy.accepted_gaps:
        together.setdefault((gap.stage.value, gap.reason), []).append(gap.category)
    return [{"stage": stage, "categories": found, "reason": why} for (stage, why), found in together.items()]
