"""What the credential of a picture that is sent in says, as findings: was it tampered with, are rights reserved?

It reports; the policy decides. A picture without a credential says nothing, and that is reported too, as zeros. So is
one whose credential cannot be read, or names somebody who cannot be looked up here: that is no sign of tampering.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from policies.findings import Category, Finding, Stage, unanswered
from provenance.claims import MediaType, Source
from provenance.credentials.ingredients import IngredientTrial
from provenance.credentials.reading import Credential, CredentialState, ManifestReader
from provenance.credentials.reservations import reservations
from provenance.labels import embedded

NAME: Final = "credentials"
VERSION: Final = "1"

_SURE: Final = 1.0
"""A hash or a signature does not fit."""
_DOUBTFUL: Final = 0.5
"""The credential does not hold for another reason, which may be nobody's fault, such as its certificate's end."""

_OUR_USE: Final = "ai_inference"
"""What happens to a picture here: a model looks at it. It is neither mined nor trained on."""

_UNREADABLE: Final = "unreadable"
"""There are words about it which cannot be read."""


@dataclass(frozen=True, slots=True)
class CredentialReport:
    """`state`: of the credential under our anchors. `ours`: this gateway signed it. `reserved`: uses that its owner
    reserves, in the words of `provenance.credentials.reservations`, or `unreadable`; of our own pictures none.
    `findings`: never empty."""

    state: str
    ours: bool
    reserved: tuple[str, ...]
    findings: tuple[Finding, ...]


class Credentials:
    """Reads credentials of uploads. Safe to use from many threads. `anchors_pem`: see `IngredientTrial`."""

    def __init__(self, reader: ManifestReader, anchors_pem: str = "") -> None:
        self._reader = reader
        self._trial = IngredientTrial(reader, anchors_pem)

    def settle(self, sources: Sequence[Source], media_type: MediaType, *, edits: bool) -> tuple[Source, ...]:
        """See `IngredientTrial.settle`."""
        return self._trial.settle(sources, media_type, edits=edits)

    def report(self, source: Source) -> CredentialReport:
        """What the file's credential says. Never raises: a reader that breaks leaves an `unanswered` finding."""
        try:
            credential = self._reader.read(source.data, source.media_type)
            reserved = () if credential.signer_trusted else self._reserved(credential, source)
        except Exception as failure:  # noqa: BLE001  whatever breaks here must not read as "nothing found"
            silent = unanswered(Stage.INPUT_IMAGE, NAME, VERSION, type(failure).__name__)
            return CredentialReport("unanswered", ours=False, reserved=(), findings=(silent,))
        altered = 0.0
        if credential.state is CredentialState.INVALID:
            altered = _SURE if credential.altered else _DOUBTFUL
        facts = (("credential", credential.state.value), ("identity", credential.identity.value))
        held_back = (_SURE if _OUR_USE in reserved else _DOUBTFUL) if reserved else 0.0
        findings = (
            _finding(Category.TAMPERED_CREDENTIAL, altered, facts),
            _finding(Category.RESERVED_RIGHTS, held_back, (("uses", ",".join(reserved)),)),
        )
        return CredentialReport(credential.state.value, credential.signer_trusted, reserved, findings)

    def _reserved(self, credential: Credential, source: Source) -> tuple[str, ...]:
        found = embedded(source.data, source.media_type)
        try:
            reserved = reservations(credential.manifest_json, found.xmp)
        except ValueError:
            reserved = (*reservations(credential.manifest_json, b""), _UNREADABLE)
        return (*reserved, _UNREADABLE) if found.unreadable else reserved


def _finding(category: Category, score: float, facts: tuple[tuple[str, str], ...]) -> Finding:
    return Finding(category.value, score, Stage.INPUT_IMAGE, NAME, VERSION, facts)
