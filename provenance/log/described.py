"""What the fields of a log entry mean, in words, for people who read the log. A test keeps them complete."""

from collections.abc import Mapping
from typing import Final

from provenance.log.entries import EntryKind

SCHEMA: Final = "Name and version of this list of fields: `fluxgate-entry/1`."

FIELDS: Final[Mapping[str, str]] = {
    "request_id": "Id of the request, or of the event, that the entry records.",
    "outcome": "How the request ended, or what happened. The next table lists the values.",
    "time": "When the entry was made: UTC, with milliseconds.",
    "dialect": "The API that took the request, such as `native` or `openai`.",
    "stage": "The stage that the request reached: `prompt`, `input_image` or `output_image`. Other entries name "
    "`retries`, `certificate` or `screening`.",
    "automated": "True if no person took part in the decision.",
    "policy": "Name of the policy that decided, with the names of its overlays.",
    "policy_digest": "SHA-256 over the policy file, its data, the floor, the taxonomy and the overlays.",
    "verdict": "`allow`, `flag`, `hold` or `refuse`.",
    "reasons": "The rules that applied, each with its category, stage, classifier and score.",
    "shadows": "The rules on trial that would have applied.",
    "tolerance": "The `safety_tolerance` that the caller `asked` for, and the one that `counted`.",
    "second_stage": "For each second-stage classifier: `asked`, or why the gateway did not ask it. The first "
    "classifier scored `below` the zone, scored `above` it, or was `silent`.",
    "drawing": "Seed, size in pixels, steps and guidance that the engine used.",
    "model_id": "The model that drew the image.",
    "weights_digest": "SHA-256 of the weights of this model.",
    "output_sha256": "SHA-256 of the delivered or held file, in hexadecimal.",
    "pdq": "PDQ hash of the image: similar images have similar hashes.",
    "manifest_id": "Id of the C2PA manifest.",
    "manifest_sha256": "SHA-256 of the manifest store, in hexadecimal.",
    "mark_id": "Payload of the watermark, in hexadecimal.",
    "content_id": "Id of the image.",
    "timestamped": "True if the signature of the image carries an RFC 3161 time-stamp.",
    "system_version": "Version of Fluxgate.",
    "failure": "Error code of a failed request.",
    "about": "Request id or decision id of the earlier entry that this entry is about.",
    "turned_away": "Number of requests that the gateway delayed or refused because of the decision `about`.",
    "passed": "Number of `subjects` that passed the moderation calls of one key, and the time `from` and `to`.",
    "revocation": "Why a certificate was revoked (`reason`), and from when its signatures do not count (`since`). The "
    "request id names the certificate.",
    "files": "SHA-256 of each file of a signed report.",
    "commitments": "HMAC-SHA-256 of each personal value, such as prompt and caller, under a random salt. Deleting the "
    "salt erases the value, and every proof still holds.",
}

KINDS: Final[Mapping[EntryKind, str]] = {
    EntryKind.DELIVERED: "The caller got the image.",
    EntryKind.HELD: "The policy held the request or the image for a person.",
    EntryKind.REFUSED: "The policy refused the request or the image.",
    EntryKind.FAILED: "A component failed, or the caller cancelled the request. `failure` has the code.",
    EntryKind.ERASED: "The salt of the entry `about` was deleted.",
    EntryKind.REVOKED: "A signing certificate was revoked.",
    EntryKind.LIFTED: "A person ended the suspension that the decision `about` led to.",
    EntryKind.ENDED: "The suspension that the decision `about` led to ran out, or the decision no longer counts.",
    EntryKind.MEASURED: "A report on the screening was signed.",
    EntryKind.MODERATED: "A moderation call had a subject that the policy would stop, or, with `passed`, the number of "
    "subjects that passed.",
}
