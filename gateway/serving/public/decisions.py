"""Routes about decisions and receipts: for the caller with its key, and for everybody who has a decision's link."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from gateway.auth.identity import Scope
from gateway.desk import Desk
from gateway.errors import BadRequest, NotFound
from gateway.house import House
from gateway.intake.admission import called, caller, keyed, public
from gateway.serving.api_page import PAGE_HEADERS
from gateway.store.decisions import Decided
from gateway.wording import LANGUAGES, Wording, known, wording

_PAGE = Path(__file__).with_name("decision_page.html.jinja")
_LANGUAGE = Query(description="`en`, `de`, `fr`, `es` or `it`; without it, `Accept-Language` counts")
_NOT_KEPT = {"Cache-Control": "private, no-store"}


def add_decision_routes(router: APIRouter, desk: Desk, house: House) -> None:
    """Reasons and receipts by key, the page and its receipt by link."""
    decisions = house.decisions

    @router.get("/v1/decisions/{decision}/reasons", tags=["decisions"], summary="A statement of reasons")
    @keyed(Scope.AUDIT)
    async def reasons(request: Request, decision: str, language: Annotated[str | None, _LANGUAGE] = None) -> Response:
        who = caller(request)
        found = await house.database_calls(decisions.find, decision, who.tenant)
        if found is None:
            raise NotFound("decision")
        words = _words(desk, request, language, found)
        return Response(words.translated(found.statement).to_json(), media_type="application/json")

    @router.get("/v1/receipts/{request_id}", tags=["log"], summary="A request's receipt, against the newest checkpoint")
    @keyed(Scope.AUDIT)
    async def receipt(
        request: Request,
        request_id: str,
        form: Annotated[Literal["json", "tlog-proof"], Query(description="`tlog-proof`: as C2SP writes it")] = "json",
    ) -> Response:
        who = caller(request)
        found = await desk.receipt(who, request_id)
        if form == "tlog-proof":
            return Response(found.tlog_proof(), media_type="text/plain; charset=utf-8")
        return Response(found.to_json(), media_type="application/json")

    @router.get("/d/{decision}", tags=["decisions"], summary="A decision for people: reasons, appeal, receipt")
    @public()
    def page(
        request: Request,
        decision: str,
        sig: Annotated[str, Query(description="from the link in the refusal")] = "",
        language: Annotated[str | None, _LANGUAGE] = None,
    ) -> HTMLResponse:
        found = decisions.find(f"dec_{decision}") if decisions.opens(f"dec_{decision}", sig) else None
        words = _words(desk, request, language, found)
        others = [(each, wording(each).language) for each in LANGUAGES if each != words.code]
        shown = _TEMPLATE.render(
            words=words, others=others, base=called(request).base, **_shown(house, words, found, sig)
        )
        headers = PAGE_HEADERS | _NOT_KEPT | {"Content-Language": words.code, "Vary": "Accept-Language"}
        return HTMLResponse(shown, 200 if found else 404, headers)

    @router.get("/d/{decision}/receipt", tags=["decisions"], summary="The receipt of a decision")
    @public()
    def page_receipt(decision: str, sig: str = "") -> Response:
        found = decisions.find(f"dec_{decision}") if decisions.opens(f"dec_{decision}", sig) else None
        if found is None:
            raise NotFound("decision")
        headers = _NOT_KEPT | {"Content-Disposition": 'attachment; filename="receipt.json"'}
        return Response(found.receipt.to_json(), media_type="application/json", headers=headers)


_TEMPLATE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
    _PAGE.read_text("utf-8")
)


def _words(desk: Desk, request: Request, asked: str | None, found: Decided | None) -> Wording:
    if asked and known(asked) is None:
        raise BadRequest("language", "is no language of decisions here", f"Use one of {', '.join(LANGUAGES)}")
    return wording(desk.telling.language(called(request), asked or (found.statement.language if found else "")))


def _shown(house: House, words: Wording, found: Decided | None, sig: str) -> dict[str, Any]:
    if found is None:
        return {"stated": None}
    stated = words.translated(found.statement)
    return {
        "stated": stated,
        "summary": words.whom_to_ask(stated),
        "stage": words.stages.get(stated.stage, stated.stage),
        "provider": house.settings.provider,
        "at": datetime.fromtimestamp(found.at, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "here": f"/d/{stated.decision.removeprefix('dec_')}",
        "sig": sig,
    }
