"""Derived ids in bulk are the very ids derived one by one."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from turnup.kernel.ids import derived_id, derived_ids


@given(st.text(max_size=10), st.lists(st.tuples(st.text(), st.text()), max_size=20))
def test_bulk_ids_equal_the_single_ones(kind: str, rows: list[tuple[str, str]]) -> None:
    found = derived_ids(kind, rows)
    assert found == [str(derived_id(kind, *row)) for row in rows]
    assert all(UUID(each).version == 5 for each in found)
