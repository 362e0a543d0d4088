"""How many jobs of a tenant are in work, and how many may wait."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.turns import Turn, Turns, has_room, most_at_once


def test_keys_of_a_tenant_take_turns_and_other_tenants_do_not_wait_for_them() -> None:
    async def run() -> list[str]:
        turns, began, gate = Turns(2), [], asyncio.Event()

        async def work(name: str, tenant: str, key: str) -> None:
            turn: Turn = asyncio.get_running_loop().create_future()
            async with turns.taken(tenant, key, 1, turn):
                began.append(name)
                await gate.wait()

        tasks = [asyncio.create_task(work(f"a{n}", "acme", "busy")) for n in range(5)]
        tasks.append(asyncio.create_task(work("late", "acme", "other")))
        tasks.append(asyncio.create_task(work("beta", "beta", "k")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert began == ["a0", "a1", "beta"]
        gate.set()
        await asyncio.gather(*tasks)
        assert not turns._inside
        assert not turns._waiting
        return began

    began = asyncio.run(run())
    assert began.index("late") <= 4


def test_a_job_that_is_called_off_does_not_wait_and_takes_no_place() -> None:
    async def run() -> None:
        turns, loop = Turns(1), asyncio.get_running_loop()
        first, called_off, third = (loop.create_future() for _ in range(3))
        began: list[str] = []

        async def work(name: str, turn: Turn) -> None:
            async with turns.taken("acme", "k", 1, turn):
                began.append(name)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(work(*each)) for each in (("a", first), ("b", called_off), ("c", third))]
        await asyncio.sleep(0)
        called_off.set_result(False)
        gone = loop.create_future()
        gone.set_result(False)
        tasks.append(asyncio.create_task(work("d", gone)))
        await asyncio.gather(*tasks)
        assert began[-1] == "c"
        cancelled = asyncio.create_task(work("e", loop.create_future()))
        waiting = asyncio.create_task(work("f", loop.create_future()))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(cancelled, waiting, return_exceptions=True)
        assert not turns._inside

    asyncio.run(run())


# case S6
@given(places=st.integers(2, 64), others=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_nobody_can_take_all_places(places: int, others: list[int]) -> None:
    held: dict[str, int] = {}
    for number, wanted in enumerate(others):
        free = places - sum(held.values())
        for _ in range(wanted):
            if has_room(places, held, f"t{number}"):
                held[f"t{number}"] = held.get(f"t{number}", 0) + 1
        assert held.get(f"t{number}", 0) >= min(wanted, free // 2), "half of what is left is anybody's"
    assert sum(held.values()) <= places
    assert max(held.values()) <= most_at_once(places)


def test_a_call_for_several_images_fits_where_each_of_them_would() -> None:
    assert has_room(32, {}, "a", 16)
    assert not has_room(32, {}, "a", 17)
    assert has_room(32, {"b": 16}, "a", 8)
    assert not has_room(32, {"b": 16}, "a", 9)
