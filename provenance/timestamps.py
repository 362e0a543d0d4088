"""RFC 3161 time-stamps: whether there are any. c2pa-rs asks the authority itself, during signing.

Without a time-stamp a credential stops being valid when its certificate expires, and the EU Code of Practice (1.1.1)
asks for one; a gateway that reaches no authority has none, and has to say so:
`SealedImage.timestamped`, `Credential.timestamped` and `statement`.
"""

from urllib.parse import urlsplit

from provenance.errors import SigningFailed


def authority_host(tsa_url: str) -> str:
    """The only host the signer may talk to. Raises `SigningFailed` unless `tsa_url` is an http or https URL.

    Plain http is usual and enough: the token is signed.
    """
    parts = urlsplit(tsa_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SigningFailed("The time-stamp authority must be given as an http or https URL.")
    return parts.hostname


def statement(*, timestamped: bool) -> str:
    """For people: what the time-stamp, or its absence, means."""
    if timestamped:
        return "The signature carries an RFC 3161 time-stamp, so it outlives its certificate."
    return "Time-stamping is off: the signature is valid only until its certificate expires."
