"""The end user's pseudonym: taken as it is or refused, never quoted, and one tenant's is not another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.end_users import BadEndUser, checked_end_user, commitment_bytes


@pytest.mark.parametrize("value", ["u-1", "a" * 256, "Zoë", "用户", "user name"])
def test_a_pseudonym_is_taken_unchanged(value):
    assert checked_end_user(value) == value


@pytest.mark.parametrize("value", ["", "  ", "a" * 257, "a\nb", "a\0", "\x7f", "a\u2028b", "\ud800"])
def test_a_pseudonym_that_cannot_be_used_is_refused_without_being_quoted(value):
    with pytest.raises(BadEndUser) as refusal:
        checked_end_user(value, "user")
    assert refusal.value.field == "user"
    assert not value.strip() or value not in str(refusal.value)


TENANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
USERS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=256)


@given(TENANTS, USERS, TENANTS, USERS)
def test_no_two_people_give_the_same_bytes(tenant, user, other_tenant, other_user):
    same = (tenant, user) == (other_tenant, other_user)
    assert (commitment_bytes(tenant, user) == commitment_bytes(other_tenant, other_user)) is same
