"""Request rates per key and tenant, a rate of polls per key, a cost-weighted image budget per tenant and day, a rate
per public address."""

from gateway.limits.admission import Limits
from gateway.limits.public import (
    PUBLIC_RETRY_AFTER_SECONDS,
    caller_address,
    counted_address,
    public_limiter,
    public_rate,
)
from gateway.limits.quotas import BudgetExhausted, LimitReached, LimitSettings, Quota, Rate, RateLimited, RateState

__all__ = [
    "PUBLIC_RETRY_AFTER_SECONDS",
    "BudgetExhausted",
    "LimitReached",
    "LimitSettings",
    "Limits",
    "Quota",
    "Rate",
    "RateLimited",
    "RateState",
    "caller_address",
    "counted_address",
    "public_limiter",
    "public_rate",
]
