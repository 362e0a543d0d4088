"""Who is served next: equal shares by cost, whatever the length of anyone's line."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.fair_queue import FairQueue


def order(queue: FairQueue[str]) -> list[str]:
    return [queue.take() for _ in range(len(queue))]


def test_two_parties_alternate_and_each_is_served_in_its_own_order() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(3):
        queue.put(f"a{number}", ("a",), 1)
    for number in range(2):
        queue.put(f"b{number}", ("b",), 1)
    assert order(queue) == ["a0", "b0", "a1", "b1", "a2"]
    with pytest.raises(IndexError):
        queue.take()


# case S6
def test_whoever_comes_is_served_after_the_one_being_served_whatever_the_line() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.put(f"flood{number}", ("flood",), 1)
    served = [queue.take() for _ in range(100)]
    queue.put("late", ("late",), 50)
    assert queue.take() == "late"
    assert served == [f"flood{number}" for number in range(100)]


def test_shares_are_equal_by_cost_and_not_by_number() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(100):
        queue.put("small", ("a",), 1)
        queue.put("large", ("b",), 4)
    first = [queue.take() for _ in range(50)]
    assert (first.count("small"), first.count("large")) == (40, 10)


def test_being_away_is_neither_paid_for_nor_paid() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(20):
        queue.put("a", ("a",), 1)
    assert [queue.take() for _ in range(10)] == ["a"] * 10
    for _ in range(10):
        queue.put("b", ("b",), 1)
    assert [queue.take() for _ in range(6)] == ["b", "a"] * 3, "b is not given the ten turns it was not there for"
    queue.drop(lambda item: True)
    queue.rest()
    queue.put("a", ("a",), 1)
    queue.put("b", ("b",), 1)
    assert order(queue) == ["a", "b"], "and nobody pays for yesterday"


def test_who_sends_one_at_a_time_gets_no_more_than_who_has_many_waiting() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(20):
        queue.put("many", ("many",), 1)
    served = []
    for _ in range(5):
        queue.put("single", ("single",), 1)
        served += [queue.take(), queue.take()]
    assert served.count("many") == served.count("single") == 5


def test_keys_share_what_their_tenant_gets() -> None:
    queue: FairQueue[str] = FairQueue()
    for _ in range(6):
        queue.put("a1", ("a", "1"), 1)
        queue.put("a2", ("a", "2"), 1)
        queue.put("b1", ("b", "1"), 1)
    first = [queue.take() for _ in range(12)]
    assert [first.count(each) for each in ("a1", "a2", "b1")] == [3, 3, 6]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=30, max_size=60))
def test_while_all_have_work_no_party_is_ahead_by_more_than_one_item_of_each(asked: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for party, cost in asked:
        queue.put((party, cost), (party,), cost)
    left = {party: sum(1 for each, _ in asked if each == party) for party, _ in asked}
    served = dict.fromkeys(left, 0)
    while all(left.values()):
        party, cost = queue.take()
        served[party] += cost
        left[party] -= 1
        if all(left.values()):
            assert all(abs(served[a] - served[b]) <= 18 for a, b in itertools.combinations(served, 2))
