"""What goes wrong with a policy: always a file, a field in it, and what to do about it."""

from typing import ClassVar


class PolicyError(Exception):
    """A policy, or data shipped with it, cannot be used. The process does not start (rule 4).

    `file`: as the operator named it. `field`: dotted path inside the file, empty if the whole file is meant.
    `remedy`: one sentence that says what to change.
    """

    code: ClassVar[str] = "internal_error"

    def __init__(self, file: str, field: str, problem: str, remedy: str) -> None:
        self.file = file
        self.field = field
        self.problem = problem
        self.remedy = remedy
        where = f"{file}: {field}" if field else file
        super().__init__(f"{where}: {problem}. {remedy}")
