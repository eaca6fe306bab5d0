"""Taking over running customers: counts add up, a second run changes nothing, bad rows wait."""

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from builders.house import attach_workflows, runtime_on
from inventory.conftest import NETWORK
from orders.conftest import Catalog, Customers
from turnup.bss.orders import component as orders_component
from turnup.contracts.crm import CustomerOpened, NewCustomer
from turnup.contracts.mediation import ImportReport
from turnup.integration.mediation import component as mediation_component
from turnup.integration.mediation.rules import takeover as rules
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.takeover import Importer
from turnup.kernel.errors import Conflict, InvalidInput
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ServiceId, derived_id, new_id
from turnup.oss.inventory import component as inventory_component
from turnup.oss.provisioning import component as provisioning_component
from turnup.runtime.component import Runtime

GOOD = {
    "external_id": "4711",
    "name": "Jane Roe",
    "offering": "fibre-100",
    "access_port": "olt1/pon-0/1/1",
    "vlan": "1203",
    "login": "roe",
    "secret": "hush",
    "started_at": "2024-05-01",
    "ipv4": "192.0.2.4",
    "char.static_ipv4": "",
    "status": "active",
    "balance": "12.34",
}


def row(n: int, **more: str) -> dict[str, str]:
    own = {"external_id": str(n), "login": f"u{n}", "vlan": str(1200 + n), "ipv4": "", **more}
    return {**GOOD, **own}


# --- rules -----------------------------------------------------------------------------------------------


def test_a_row_becomes_the_canonical_record() -> None:
    record = rules.running_customer({**GOOD, "char.floor": " 2 "}, "EUR", "nl")
    assert record.language == "nl"
    assert rules.running_customer({**GOOD, "language": "de"}, "EUR", "nl").language == "de"
    assert (record.balance_minor, record.vlan, record.characteristics) == (1234, 1203, {"floor": "2"})
    assert record.started_at.isoformat() == "2024-05-01T00:00:00+00:00"
    assert (record.kind, record.country, record.bill_cycle_day, record.ipv6_pd) == (
        "individual",
        "DE",
        1,
        None,
    )


DEFECTS = {
    "name": "",
    "vlan": "many",
    "status": "asleep",
    "started_at": "yesterday",
    "ipv4": "192.0.2.300",
    "balance": "1.234",
    "offering": "copper",
    "access_port": "olt9/pon-1",
}


@pytest.mark.parametrize("column", [c for c in DEFECTS if c not in ("offering", "access_port")])
def test_a_bad_value_is_named_by_its_column(column: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rules.running_customer({**GOOD, column: DEFECTS[column]}, "EUR")
    assert raised.value.field == column
    assert raised.value.remedy


def test_the_header_is_checked_and_the_order_of_columns_is_not_a_change() -> None:
    rules.check_header(list(GOOD))
    for header, column in (([*GOOD, "colour"], "colour"), ([c for c in GOOD if c != "vlan"], "vlan")):
        with pytest.raises(InvalidInput) as raised:
            rules.check_header(header)
        assert raised.value.field == column
    assert rules.row_hash(GOOD) == rules.row_hash(dict(reversed(GOOD.items())))
    assert rules.row_hash(GOOD) != rules.row_hash({**GOOD, "name": "Joe"})


# --- imports ---------------------------------------------------------------------------------------------


class Crm(Customers):
    """The part of crm that an import uses: the same customer for the same external id."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[str, NewCustomer] = {}

    def open_customer(self, unit: Any, new: NewCustomer) -> CustomerOpened:
        assert new.external_id is not None
        self.opened.setdefault(new.external_id, new)
        return CustomerOpened(
            customer_id=CustomerId(derived_id("customer", new.external_id)),
            account_id=AccountId(derived_id("account", new.external_id)),
            address_id=AddressId(derived_id("address", new.external_id)),
        )

    def account(self, account_id: AccountId) -> Any:
        return super().account(self.jane) if account_id != self.jane else None


@dataclass
class Intents:
    """The part of provisioning's realiser that an import uses."""

    adopted: list[ServiceId] = field(default_factory=list)

    def adopt_intents(self, unit: Any, service_id: ServiceId) -> None:
        if service_id not in self.adopted:
            self.adopted.append(service_id)


@dataclass
class Takeover:
    runtime: Runtime
    crm: Crm
    intents: Intents
    mediation: Mediation
    importer: Importer
    folder: Path

    def run(self, rows: Sequence[Mapping[str, str]], **more: Any) -> ImportReport:
        file = self.folder / "customers.csv"
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, sorted({column for one in rows for column in one}))
            writer.writeheader()
            writer.writerows(rows)
        report = self.importer.take_over_customers(file, **more)
        assert report.read == report.applied + report.unchanged + len(report.quarantined) == len(rows)
        return report

    def picture(self) -> dict[str, int]:
        tables = (
            "inventory.holding",
            "provisioning.service",
            "orders.product",
            "mediation.crosswalk",
            "mediation.applied",
            "mediation.quarantine",
            "runtime.event",
            "dbos.workflow_status",
        )
        with self.runtime.database.engine.connect() as connection:
            return {
                table: connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in tables
            } | {"crm": len(self.crm.opened)}


@pytest.fixture
def takeover(database_url: str, tmp_path: Path) -> Iterator[Takeover]:
    with runtime_on(database_url) as runtime:
        crm, intents, offers = Crm(), Intents(), Catalog()
        inventory = inventory_component.build(runtime, crm).service  # type: ignore[arg-type]
        provisioning = provisioning_component.build_service(runtime, lambda secret, context: "sealed")
        orders = orders_component.build(
            runtime,
            customers=crm,  # type: ignore[arg-type]
            offers=offers,  # type: ignore[arg-type]
            network=inventory,
            network_reads=inventory,
            services=provisioning,
            services_reads=provisioning,
            realiser=SimpleNamespace(),  # type: ignore[arg-type]
        )
        part, mediating = mediation_component.build(
            runtime,
            customers=crm,  # type: ignore[arg-type]
            offers=offers,  # type: ignore[arg-type]
            offer_reads=offers,  # type: ignore[arg-type]
            network=inventory,
            network_reads=inventory,
            credentials=SimpleNamespace(),  # type: ignore[arg-type]
            services=provisioning,
            intents=intents,
            orders=orders.service,
            currency="EUR",
            # what connectors need besides, and a takeover does not
            **dict.fromkeys(
                ("customer_reads", "service_reads", "order_reads", "bills", "elements", "gateway", "box")
            ),
        )
        attach_workflows(runtime, [orders, part])
        with runtime.unit("inventory", "test") as unit:
            inventory.load_network(unit, NETWORK)
        yield Takeover(runtime, crm, intents, part.service, mediating.importer, tmp_path)


def test_all_is_taken_over_once_and_nobody_is_told(takeover: Takeover) -> None:
    before = takeover.picture()
    rows = [row(1), row(2, status="suspended"), row(3, ipv4="192.0.2.6")]
    first = takeover.run(rows)
    assert (first.applied, first.quarantined) == (3, ())
    picture = takeover.picture()
    grown = {table: picture[table] - before[table] for table in picture if picture[table] != before[table]}
    assert grown == {
        "inventory.holding": 3,
        "provisioning.service": 3,
        "orders.product": 3,
        "mediation.crosswalk": 9,
        "mediation.applied": 3,
        "runtime.event": 3,  # one agreed price each, and nothing that makes anybody act
        "crm": 3,
    }
    again = takeover.run(rows)
    assert (again.applied, again.unchanged, takeover.picture()) == (0, 3, picture)
    service_id = takeover.mediation.internal_id("import", "service", "1")
    assert takeover.intents.adopted[0] == service_id


def test_a_dry_run_says_the_same_and_writes_nothing(takeover: Takeover) -> None:
    before = takeover.picture()
    rows = [row(1), row(2, vlan="many"), row(3, offering="copper")]
    dry = takeover.run(rows, dry_run=True)
    assert (dry.dry_run, dry.applied, [bad.field for bad in dry.quarantined]) == (
        True,
        1,
        ["vlan", "offering"],
    )
    assert takeover.picture() == before
    real = takeover.run(rows)
    assert (real.applied, real.quarantined) == (dry.applied, dry.quarantined)


def test_bad_rows_wait_and_are_applied_after_the_fix(takeover: Takeover) -> None:
    rows = [row(1), row(2, access_port="olt9/pon-1"), row(3, vlan="1201"), row(1, login="twice")]
    report = takeover.run(rows)
    assert [(bad.row, bad.field) for bad in report.quarantined] == [
        (3, "access_port"),
        (4, "access_port"),  # its VLAN on that port is row 2's
        (5, "external_id"),
    ]
    waiting = takeover.mediation.quarantine()
    assert [(bad.source, bad.row, bad.raw) for bad in waiting] == [
        ("customers.csv", n, "") for n in (3, 4, 5)
    ]
    assert all(bad.reason for bad in waiting)
    fixed = takeover.run([row(1), row(2), row(3)])
    assert (fixed.applied, fixed.unchanged, takeover.mediation.quarantine()) == (2, 1, [])


def test_a_row_that_changed_after_it_was_applied_is_not_applied_again(takeover: Takeover) -> None:
    takeover.run([row(1)])
    report = takeover.run([row(1, balance="99.00")])
    assert [bad.field for bad in report.quarantined] == ["external_id"]
    assert takeover.crm.opened["import:1"].opening_balance_minor == 1234


def test_an_external_id_names_one_thing(takeover: Takeover) -> None:
    thing = new_id()
    for _ in range(2):
        with takeover.runtime.unit("mediation", "test") as unit:
            takeover.mediation.link(unit, "old", "customer", "1", thing)
    assert takeover.mediation.external_ids("customer", thing) == [("old", "1")]
    with pytest.raises(Conflict), takeover.runtime.unit("mediation", "test") as unit:
        takeover.mediation.link(unit, "old", "customer", "1", new_id())


class Reading:
    """What a dry run asks for: nothing was applied before, one access device, one offering."""

    clock = SimpleNamespace(now=lambda: None)

    def applied_hashes(self, system: str, kind: str) -> Mapping[str, str]:
        return {}

    def elements(self, role: str) -> list[Any]:
        return [SimpleNamespace(code="olt1", id=1)]

    def ports(self, element_id: int) -> list[Any]:
        return [SimpleNamespace(name="pon-0/1/1")]

    def offerings(self, at: object) -> list[Any]:
        return [SimpleNamespace(code="fibre-100")]


@given(st.lists(st.sampled_from(["good", "again", *DEFECTS]), min_size=1, max_size=12))
def test_every_row_is_counted_once_whatever_is_wrong(kinds: list[str]) -> None:
    rows = [
        row(0 if kind == "again" else n, **({kind: DEFECTS[kind]} if kind in DEFECTS else {}))
        for n, kind in enumerate(kinds)
    ]
    reading: Any = Reading()
    names = ("customers", "offers", "credentials", "services", "intents", "orders", "network")
    importer = Importer(
        reading,
        reading,
        **dict.fromkeys(names),
        offer_reads=reading,
        network_reads=reading,
        currency="EUR",
    )
    with tempfile.TemporaryDirectory() as folder:
        report = Takeover(reading, reading, reading, reading, importer, Path(folder)).run(rows, dry_run=True)
    expected: list[tuple[int, str]] = []
    seen: set[str] = set()
    for n, (kind, values) in enumerate(zip(kinds, rows, strict=True), start=2):
        readable = kind in ("good", "again", "offering", "access_port")
        if readable and values["external_id"] in seen:
            expected.append((n, "external_id"))
            continue
        if readable:
            seen.add(values["external_id"])
        if kind in DEFECTS:
            expected.append((n, kind))
    assert [(bad.row, bad.field) for bad in report.quarantined] == expected
    assert all(bad.reason for bad in report.quarantined)
