"""How decisions are told: in the reader's language, and with a link to where they can be read and appealed against."""

from fastapi import Request

from gateway.addresses import public_base
from gateway.exchange import Outcome
from gateway.house import House
from gateway.problems import Problem, problem_of_outcome, told
from gateway.settings import Language
from gateway.wording import known, preferred, wording


class Telling:
    """What dialects say of decisions."""

    def __init__(self, house: House) -> None:
        self._house = house

    def explained(self, request: Request, problem: Problem) -> Problem:
        """A problem as the caller reads it, with the link to the decision behind it, if there is one."""
        if problem.decision is None:
            return problem
        asked = problem.statement.language if problem.statement else ""
        return told(problem, wording(self.language(request, asked)), self.decision_link(request, problem.decision))

    def problem(self, request: Request, outcome: Outcome) -> Problem | None:
        """What the caller is told instead of a picture; None for a delivered one."""
        problem = problem_of_outcome(outcome)
        return problem and self.explained(request, problem)

    def language(self, request: Request, asked: str = "") -> Language:
        """The language to tell things in: the one `asked` for, else the best that `Accept-Language` likes, else the
        operator's."""
        liked = preferred(request.headers.get("accept-language", ""))
        return known(asked) or liked or self._house.settings.language

    def decision_link(self, request: Request, decision: str) -> str:
        """Where everybody who has the link reads about a decision."""
        return public_base(request, self._house.settings) + self._house.decisions.path(decision)

    def receipt_link(self, request: Request, request_id: str) -> str:
        """Where the caller gets a request's receipt, with its key: a receipt is too long for a header."""
        return f"{public_base(request, self._house.settings)}/v1/receipts/{request_id}"
