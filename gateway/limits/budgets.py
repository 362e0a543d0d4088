"""What callers are told about the day's budget of their tenant, which the database counts (`gateway/store/budgets.py`).

All amounts are whole thousandths of megapixel-steps; a day does not slide.
"""

import math

from gateway.limits.quotas import BUDGET_LIMIT, DAY_SECONDS, MILLI, BudgetExhausted, Quota, RateState


def budget_state(limit: int, used: int, now: float, retry_after_seconds: int | None = None) -> RateState:
    """Where a tenant stands. `now`: Unix seconds."""
    quota = Quota(BUDGET_LIMIT, limit, DAY_SECONDS, max(0, limit - used), 0, used, now % DAY_SECONDS, False, MILLI)
    return RateState((quota,), False, retry_after_seconds)


def budget_exhausted(limit: int, used: int, cost: int, now: float) -> BudgetExhausted:
    """The refusal; it names midnight, unless the request does not fit a whole day."""
    seconds = max(1, math.ceil(DAY_SECONDS - now % DAY_SECONDS)) if cost <= limit else None
    return BudgetExhausted(seconds, BUDGET_LIMIT, budget_state(limit, used, now, seconds))
