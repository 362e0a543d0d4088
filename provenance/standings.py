"""What verification concludes about a file: one table for the command line, the API and the README. Pure.

Every standing has one plain sentence and the exit code of `fluxgate verify`:

0  ours and intact
1  not shown to be ours
2  ours, altered
3  unchecked: the file, the records or this program kept it from being checked, so it is worth trying again
"""

from enum import StrEnum
from typing import Final


class Standing(StrEnum):
    """What is known about a file. The names are those of `verdict` in answers."""

    OURS_INTACT = "ours_intact"
    OURS_ALTERED = "ours_altered"
    LOOKS_LIKE_OURS = "looks_like_ours"
    COPIED_MARK = "copied_mark"
    COPIED_CREDENTIAL = "copied_credential"
    CANNOT_TELL = "cannot_tell"
    FOREIGN = "foreign"
    NOT_FOUND = "not_found"
    REVOKED = "revoked"
    UNREADABLE_CREDENTIAL = "unreadable_credential"
    UNCHECKABLE = "uncheckable"

    @property
    def exit_code(self) -> int:
        """0 to 3, as the table above says. `CANNOT_TELL` is 1: it was checked, and nothing shows that it is ours."""
        return _TABLE[self][0]

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return _TABLE[self][1]


_TABLE: Final[dict[Standing, tuple[int, str]]] = {
    Standing.OURS_INTACT: (0, "Made by this system and unchanged."),
    Standing.OURS_ALTERED: (2, "Comes, or claims to come, from this system, but is not as it was delivered."),
    Standing.LOOKS_LIKE_OURS: (
        2,
        "Looks like a picture of this system; it carries neither its credential nor a readable watermark.",
    ),
    Standing.COPIED_MARK: (
        1,
        "Carries the watermark of a picture of this system, but is another picture: the mark was copied, or the "
        "picture was changed beyond recognition. It is not shown to be from here.",
    ),
    Standing.COPIED_CREDENTIAL: (
        1,
        "Carries the content credential of a picture of this system, but is another picture: the credential was "
        "copied, or the picture was changed beyond recognition. It is not shown to be from here.",
    ),
    Standing.CANNOT_TELL: (
        1,
        "Carries a mark or a credential of this system, which can be copied, and there is too little to compare the "
        "picture with: it cannot be told whether it is from here.",
    ),
    Standing.FOREIGN: (1, "Carries a mark or a credential that is not this gateway's."),
    Standing.NOT_FOUND: (1, "No mark of this system was found. That does not tell how the picture was made."),
    Standing.REVOKED: (
        1,
        "Signed with a certificate of this system that is revoked; nothing shows that it was signed before. It is not "
        "shown to be from here.",
    ),
    Standing.UNREADABLE_CREDENTIAL: (
        1,
        "Carries what may be a content credential, and it cannot be read. No mark of this system was found. That does "
        "not tell how the image was made, or whether it was changed.",
    ),
    Standing.UNCHECKABLE: (3, "This could not be checked."),
}
