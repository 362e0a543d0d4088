"""What tenants have spent of their days, in the database: a job's row and what it holds are one transaction.

A hold is spent with the row that stands for the job, and settled with the log entry that ends it. So a crash between
the two loses nothing: whoever takes the job over ends it, and settles it, once.
"""

from sqlalchemy import Connection, bindparam, case, func, literal, select, update
from sqlalchemy import Engine as Database

from gateway.errors import GatewayError
from gateway.store.database import insert_or_ignore, reading
from gateway.store.schema import budgets, jobs

DAY_SECONDS = 86_400

_SPEND = (
    update(budgets)
    .where(
        budgets.c.tenant == bindparam("of_tenant"),
        budgets.c.day == bindparam("of_day"),
        budgets.c.used + bindparam("cost") <= bindparam("most"),
    )
    .values(used=budgets.c.used + bindparam("cost"))
)
_UNPAID = func.coalesce(
    select(jobs.c.cost - jobs.c.charged).where(jobs.c.id == bindparam("of_job")).scalar_subquery(), 0
)
_SETTLE = (
    update(budgets)
    .where(budgets.c.tenant == bindparam("of_tenant"), budgets.c.day == bindparam("of_day"))
    .values(used=case((budgets.c.used > _UNPAID, budgets.c.used - _UNPAID), else_=literal(0)))
)


class BudgetSpent(GatewayError):
    """The day's budget does not suffice. `used`: thousandths of megapixel-steps spent so far."""

    def __init__(self, used: int) -> None:
        super().__init__("budget spent")
        self.used = used


def day_of(seconds: float) -> int:
    """The UTC day of a time, in whole days since 1970. `seconds`: Unix seconds."""
    return int(seconds // DAY_SECONDS)


def spend(connection: Connection, tenant: str, day: int, cost: int, limit: int) -> int:
    """Spends all of `cost` or nothing; returns the day's sum. Raises `BudgetSpent`. All in thousandths."""
    values = {"of_tenant": tenant, "of_day": day, "cost": cost, "most": limit}
    if connection.execute(_SPEND, values).rowcount != 1:
        if _used(connection, tenant, day) is None:
            _open_day(connection, tenant, day)
        if connection.execute(_SPEND, values).rowcount != 1:
            raise BudgetSpent(_used(connection, tenant, day) or 0)
    return _used(connection, tenant, day) or 0


def settle(connection: Connection, job_id: str, tenant: str, day: int) -> None:
    """Gives back what the job held beyond its charge. Once: in the transaction that charges it."""
    connection.execute(_SETTLE, {"of_job": job_id, "of_tenant": tenant, "of_day": day})


def used(database: Database, tenant: str, day: int) -> int:
    """Thousandths of megapixel-steps that the tenant's jobs of that day hold or have cost."""
    with reading(database).connect() as connection:
        return _used(connection, tenant, day) or 0


def _used(connection: Connection, tenant: str, day: int) -> int | None:
    query = select(budgets.c.used).where(budgets.c.tenant == tenant, budgets.c.day == day)
    found: int | None = connection.execute(query).scalar()
    return found


def _open_day(connection: Connection, tenant: str, day: int) -> None:
    """Makes the day's row, also if another gateway is making it just now."""
    connection.execute(insert_or_ignore(connection, budgets), {"tenant": tenant, "day": day, "used": 0})
