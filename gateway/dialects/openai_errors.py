"""OpenAI's error object: its clients look for it in every answer below `/v1`."""

from typing import Any

from gateway.problems import Problem

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(problem: Problem) -> dict[str, Any]:
    """The value of `error`: message, type, param and code, and of a refusal the reasons."""
    stated = problem.statement
    kind = "image_generation_user_error" if stated else _TYPES.get(problem.status)
    error: dict[str, Any] = {
        "message": f"{problem.detail} {problem.remedy}" if problem.remedy else problem.detail,
        "type": kind or ("invalid_request_error" if problem.status < 500 else "server_error"),
        "param": problem.field,
        "code": problem.code,
    }
    if problem.link:
        error["decision_url"] = problem.link
    if stated:
        side = "input" if stated.stage in ("prompt", "input_image") else "output"
        error["moderation_details"] = {"moderation_stage": side, "categories": list(stated.categories)}
        error["statement_of_reasons"] = stated.to_dict()
    return error
