"""How decisions are told: in the reader's language, and with a link to where they can be read and appealed against."""

from gateway.addresses import Call
from gateway.exchange import Outcome
from gateway.house import House
from gateway.problems import Problem, problem_of_outcome, told
from gateway.settings import Language
from gateway.wording import known, preferred, wording


class Telling:
    """What dialects say of decisions."""

    def __init__(self, house: House) -> None:
        self._house = house

    def explained(self, call: Call, problem: Problem) -> Problem:
        """A problem as the caller reads it, with the link to the decision behind it, if there is one."""
        if problem.decision is None:
            return problem
        asked = problem.statement.language if problem.statement else ""
        return told(problem, wording(self.language(call, asked)), self.decision_link(call, problem.decision))

    def problem(self, call: Call, outcome: Outcome) -> Problem | None:
        """What the caller is told instead of a picture; None for a delivered one."""
        problem = problem_of_outcome(outcome)
        return problem and self.explained(call, problem)

    def language(self, call: Call, asked: str = "") -> Language:
        """The language to tell things in: the one `asked` for, else the best that `Accept-Language` likes, else the
        operator's."""
        liked = preferred(call.headers.get("accept-language", ""))
        return known(asked) or liked or self._house.settings.language

    def decision_link(self, call: Call, decision: str) -> str:
        """Where everybody who has the link reads about a decision."""
        return call.base + self._house.decisions.path(decision)

    def receipt_link(self, call: Call, request_id: str) -> str:
        """Where the caller gets a request's receipt, with its key: a receipt is too long for a header."""
        return f"{call.base}/v1/receipts/{request_id}"
