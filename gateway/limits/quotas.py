"""The words of limits: what is allowed, where a caller stands, and the two ways of being told to wait."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from gateway.errors import GatewayError

WINDOW_SECONDS = 60
DAY_SECONDS = 86_400
KEY_LIMIT = "key"
TENANT_LIMIT = "tenant"
POLL_LIMIT = "polls"
BUDGET_LIMIT = "image-budget"
MILLI = 1000  # budgets are counted in whole thousandths of a megapixel-step: exact sums, in Redis too
FALLBACK_SHARE = 4  # without Redis each process grants a quarter of every limit: four gateways still keep within it


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """`image_budget_per_day`: megapixel-steps per tenant and UTC day. `redis_url`: None counts in memory.

    `public_requests_per_minute` counts per address, `polls_per_minute` per key. Raises `ValueError` naming the field.
    """

    key_requests_per_minute: int
    tenant_requests_per_minute: int
    image_budget_per_day: float
    public_requests_per_minute: int
    redis_url: str | None = None
    polls_per_minute: int = 600

    def __post_init__(self) -> None:
        requests = ("key_requests_per_minute", "tenant_requests_per_minute", "public_requests_per_minute")
        for name in (*requests, "polls_per_minute"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: there is no unlimited")
        if not 1 / MILLI <= self.image_budget_per_day <= 1e12:
            raise ValueError("image_budget_per_day must lie between 0.001 and 1e12 megapixel-steps")

    @property
    def budget_milli(self) -> int:
        """The day's budget in thousandths of a megapixel-step."""
        return int(self.image_budget_per_day * MILLI)


class Rate(Enum):
    """What counts: requests, for their key and its tenant; polls, for their key alone."""

    REQUESTS = auto()
    POLLS = auto()


# Named tuples, not frozen dataclasses: several are made for every request, at a quarter of the cost.


class Quota(NamedTuple):
    """Where a caller stands with one limit.

    `previous`, `current`: counts of the window before and of this one, `into_seconds` old. If it `slides`, the one
    before weighs in with the part of it that the last `window_seconds` still cover. `unit`: counts are in this part of
    the unit callers know.
    """

    name: str
    limit: int
    window_seconds: int
    left: int
    previous: int
    current: int
    into_seconds: float
    slides: bool = True
    unit: int = 1

    @property
    def allowed(self) -> int:
        """The limit, in whole units."""
        return self.limit // self.unit

    @property
    def remaining(self) -> int:
        """What is left of it, in whole units, rounded down."""
        return self.left // self.unit

    @property
    def reset_seconds(self) -> int:
        """Whole seconds after which more is available; 0 if nothing is used."""
        to_end = self.window_seconds - self.into_seconds
        if not self.slides:
            return math.ceil(to_end) if self.current else 0
        # Solves floor(previous * weight) + current <= target: true after, not at, the moment found; hence floor + 1.
        target = self.limit - self.left - 1
        if self.current > max(0, target):
            faded = max(0.0, 1 - (target + 1) / self.current)
            return math.floor(to_end + self.window_seconds * faded) + 1
        if self.previous == 0:
            return 0
        return math.floor(max(0.0, to_end - self.window_seconds * (target - self.current + 1) / self.previous)) + 1


class Counted(NamedTuple):
    """Whom a request counts for: `limit` requests a minute of `id`, under the limit's `name`."""

    name: str
    id: str
    limit: int


class RateState(NamedTuple):
    """Where a caller stands. `degraded`: Redis is gone and a small local count is in charge.

    `retry_after_seconds`: set on refusals; None there if waiting cannot help.
    """

    quotas: tuple[Quota, ...]
    degraded: bool
    retry_after_seconds: int | None = None


class LimitReached(GatewayError):
    """A limit says no. `limit_name`: key, tenant, polls or image-budget. `state` makes the `headers` of the refusal."""

    def __init__(self, retry_after_seconds: int | None, limit_name: str, state: RateState) -> None:
        super().__init__(limit_name)
        self.retry_after_seconds = retry_after_seconds
        self.limit_name = limit_name
        self.state = state
        self.headers: Mapping[str, str] = {}


class RateLimited(LimitReached):
    """Too many requests or polls in a minute, of one key or of one tenant."""

    code = "rate_limited"


class BudgetExhausted(LimitReached):
    """The tenant's megapixel-steps of this UTC day do not suffice.

    `retry_after_seconds` is None for an order larger than a whole day's budget: it has to become smaller.
    """

    code = "budget_exhausted"


class SharedCountGone(GatewayError):
    """Redis did not answer in time, or not sensibly. Caught by `Limits`, which then counts for itself."""
