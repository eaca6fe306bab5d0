"""The database fixtures themselves: fresh each time, filled from a template once."""

from collections.abc import Callable

import psycopg
import pytest

from turnup.runtime.embedded import ConnectionInfo


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_an_empty_database(database_url: str, attempt: int) -> None:
    with psycopg.connect(_libpq(database_url)) as connection:
        connection.execute("create table only_once (n int)")
        assert connection.execute("select count(*) from only_once").fetchone() == (0,)


def test_a_template_is_filled_once(
    make_template: Callable[[str, Callable[[str], None]], str], postgres: ConnectionInfo
) -> None:
    def fill(url: str) -> None:
        with psycopg.connect(_libpq(url)) as connection:
            connection.execute("create table seed as select 1 as n")

    def refuse(url: str) -> None:
        raise AssertionError(f"filled {url} again")

    template = make_template("fixtures", fill)
    assert make_template("fixtures", refuse) == template
    with psycopg.connect(postgres.conninfo(template)) as connection:
        assert connection.execute("select n from seed").fetchone() == (1,)
