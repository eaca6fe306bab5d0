"""Every column of every table has one data class; what is personal is exported, erased or goes by age."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import MetaData, create_engine, text

from turnup.app.house import schemas
from turnup.app.migrations.runner import upgrade
from turnup.kernel.privacy import PERSONAL, RETENTION_DAYS, Classes, DataClass, class_of
from turnup.runtime import privacy as runtime_privacy
from turnup.runtime import tables as runtime_tables

EVERYWHERE: dict[str, tuple[MetaData, Classes]] = {
    "runtime": (runtime_tables.metadata, runtime_privacy.CLASSES),
    **{schema.name: (schema.metadata, schema.privacy.classes) for schema in schemas()},
}


def columns() -> Iterator[tuple[str, str, str]]:
    for name, (metadata, _) in EVERYWHERE.items():
        for table in metadata.tables.values():
            for column in table.columns:
                yield name, table.name, column.name


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


def test_every_column_has_exactly_one_class() -> None:
    for schema, table, column in columns():
        given = [
            kind for kind, names in EVERYWHERE[schema][1].get(table, {}).items() if column in names.split()
        ]
        assert len(given) == 1, (
            f"{schema}.{table}.{column} has the classes {given}: see {schema}'s privacy.py"
        )


def test_nothing_is_classed_that_is_not_there() -> None:
    known = set(columns())
    for schema, (_, classes) in EVERYWHERE.items():
        for table, kinds in classes.items():
            for column in " ".join(kinds.values()).split():
                assert (schema, table, column) in known, f"{schema}.{table}.{column} is classed and not there"


def test_an_unclassed_column_would_be_noticed() -> None:
    assert class_of({"party": {DataClass.IDENTITY: "name family_name"}}, "party", "family") is None
    assert class_of({}, "party", "name") is None


@pytest.mark.parametrize("schema", schemas(), ids=lambda schema: schema.name)
def test_what_is_personal_leads_to_a_person_or_says_why_not(schema) -> None:
    privacy = schema.privacy
    linked = {holding.table.name for holding in privacy.holdings}
    for table, kinds in privacy.classes.items():
        if PERSONAL & set(kinds) and table not in privacy.unlinked:
            assert table in linked, (
                f"{schema.name}.{table} holds personal data that no export or erasure finds"
            )
    assert not set(privacy.unlinked) & linked
    assert all(holding.why for holding in privacy.holdings if holding.erase is None)


def test_traffic_and_texts_are_erased_or_go_by_age() -> None:
    """Law may keep what was bought and billed; never when somebody was online."""
    for schema in schemas():
        expires = {expiry.table for expiry in schema.privacy.expiries}
        erased = {h.table.name for h in schema.privacy.holdings if h.erase is not None}
        for table, kinds in schema.privacy.classes.items():
            if DataClass.TRAFFIC in kinds:
                assert table in expires | erased, f"{schema.name}.{table} keeps traffic data for ever"


def test_every_expiry_has_a_retention() -> None:
    kinds = {expiry.kind for schema in schemas() for expiry in schema.privacy.expiries}
    kinds |= {e.kind for e in (*runtime_privacy.EXPIRIES, *runtime_privacy.ENGINE_EXPIRIES)}
    assert kinds | {"audit", "logs"} == set(RETENTION_DAYS)


def test_every_table_of_the_database_is_known(database_url: str) -> None:
    """Also what no metadata of ours describes: DBOS's tables."""
    engine = create_engine(database_url)
    with engine.connect() as connection:
        found = connection.execute(
            text("""SELECT table_schema, table_name FROM information_schema.tables
                    WHERE table_schema NOT IN ('pg_catalog', 'information_schema')""")
        ).all()
    engine.dispose()
    for schema, table in found:
        if schema == "dbos":
            assert table in runtime_privacy.ENGINE_CLASSES, f"dbos.{table}: which class has it?"
        elif table != "schema_revision":
            assert table in EVERYWHERE[schema][1], f"{schema}.{table}"
