"""The search box's question to crm: what a text may mean, and who is found by it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnup.bss.crm import rules
from turnup.bss.crm.service import CrmService


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("030 1234567", "301234567"),
        ("+49 (0)30/123-4567", "490301234567"),
        ("0049 30 1234567", "49301234567"),
        ("1234", None),
        ("C-100001", None),
        ("0000000", None),
    ],
)
def test_what_is_a_phone_number(text: str, digits: str | None) -> None:
    assert rules.sought(text).phone_end == digits


@given(st.text(max_size=60))
def test_words_hold_nothing_that_a_query_could_mean(text: str) -> None:
    for word in rules.sought(text).words:
        assert word and not set(word) & set(" '\"\\&|!():*<>-")


def test_who_is_found(crm: CrmService, open_customer: Any) -> None:
    open_customer()
    open_customer(name="Janet O'Neill-Röder", email="Janet@Mail.Example", phone="0151 / 99 88 77 66")
    open_customer(name="Roe & Sons GmbH", email=None, phone=None)

    def names(text: str, limit: int = 10) -> list[str]:
        return [each.name for each in crm.search_customers(text, limit)]

    assert names("jan") == ["Jane Roe", "Janet O'Neill-Röder"]
    assert names("JAN ro") == ["Jane Roe"]
    assert names("roe") == ["Jane Roe", "Roe & Sons GmbH"]
    assert names("röder") == names("o'neill") == ["Janet O'Neill-Röder"]
    assert names("janet@mail.example") == ["Janet O'Neill-Röder"]
    assert names("+49 151 99887766") == [], "the number as it is stored has no country code: its end does"
    assert names("151 99887766") == names("99887766") == ["Janet O'Neill-Röder"]
    assert names("123456") == ["Jane Roe"]
    assert names("oe") == names("") == names("  ") == names("%") == names("' | a:*") == []
    assert len(names("j", 1)) == 1
