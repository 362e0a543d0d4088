"""Limits as response headers.

`RateLimit` and `RateLimit-Policy` follow draft-ietf-httpapi-ratelimit-headers-10 (27 September 2025): lists of quoted
policy names with q (quota), w (window, seconds), r (remaining) and t (seconds until more quota is available).
"""

from gateway.limits.quotas import RateState

DEGRADED_HEADER = "X-Fluxgate-Limits"


def limit_headers(*states: RateState) -> dict[str, str]:
    """One answer's headers from what `admit` and `spend` returned, or from the state of a refusal.

    Of a refusal comes `Retry-After` (RFC 9110, clause 10.2.3, in seconds). `X-Fluxgate-Limits: degraded` tells that
    Redis is gone and a smaller local count decided.
    """
    quotas = [quota for state in states for quota in state.quotas]
    headers = {
        "RateLimit-Policy": ", ".join(f'"{quota.name}";q={quota.allowed};w={quota.window_seconds}' for quota in quotas),
        "RateLimit": ", ".join(f'"{quota.name}";r={quota.remaining};t={quota.reset_seconds}' for quota in quotas),
    }
    waits = [state.retry_after_seconds for state in states if state.retry_after_seconds is not None]
    if waits:
        headers["Retry-After"] = str(max(waits))
    if any(state.degraded for state in states):
        headers[DEGRADED_HEADER] = "degraded"
    return headers
