"""A unit of work that may be a rehearsal: everything is done and checked, and nothing stays."""

from collections.abc import Iterator
from contextlib import contextmanager

from turnup.runtime.component import Runtime
from turnup.runtime.unit_of_work import UnitOfWork


class _Rehearsed(Exception):
    """Ends a unit without a commit."""


@contextmanager
def unit_of(runtime: Runtime, component: str, actor: str, *, rehearse: bool) -> Iterator[UnitOfWork]:
    """A unit of this component; rolled back at its end where it is only rehearsed."""
    try:
        with runtime.unit(component, actor) as unit:
            yield unit
            if rehearse:
                raise _Rehearsed
    except _Rehearsed:
        return
