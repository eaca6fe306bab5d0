"""200 running customers are taken over: nobody hears of it, no device notices, no past period is billed. Then
they are compared, adopted, managed and billed, with what is left of a promotion.
"""

import csv
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from turnup.app.demo.stage import wait_until
from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import SYSTEM, old_customers, seed_network, write_isp
from turnup.contracts.billing import InvoiceView
from turnup.contracts.mediation import TakeoverLine
from turnup.contracts.provisioning import Management, ManagementMove
from turnup.kernel.errors import InvalidInput
from turnup.kernel.ids import ServiceId, new_id

COUNT = 200
START = datetime(2027, 3, 3, 9, tzinfo=UTC)
FIRST, SECOND = date(2027, 4, 1), date(2027, 5, 1)
ODD_SPEED, TORN, ODD_PRICE, PROMOTED, LATE_BILL = 5, 6, 7, 8, 9
"""Slower on all her elements than sold; on one only; the former system charges otherwise; one cycle of a
promotion left; her next bill is a month later."""
ME = "cli:takeover"
DEVICES = ("olt1", "olt2", "bng1")


class Isp:
    def __init__(self, stand: Stand, folder: Path) -> None:
        self.stand, self.folder = stand, folder
        self.house = stand.house
        self.customers = old_customers(COUNT)

    def load(self) -> None:
        write_isp(
            self.folder, examples() / "isp", self.stand.lab_process.endpoints, self.customers, START.date()
        )
        seeded = [replace(each, down_kbps=77_000) if each.n == ODD_SPEED else each for each in self.customers]
        seed_network(self.stand.lab, self.stand.engine.aaa_url, seeded)
        torn = self.customers[TORN]
        self.stand.lab.tamper(
            device=torn.olt, lines=[f"set service {torn.element_key} down-kbps 1000"], save=True
        )
        wait_until(lambda: len(self.stand.lab.sessions()) == COUNT, "all are online", timeout_s=60)
        importer = self.house.importer
        importer.load_catalog(self.folder / "catalog.yaml")
        importer.load_policies(self.folder / "policies.yaml")
        importer.load_network(self.folder / "network.yaml")

    def write_customers(self) -> Path:
        """The former system's export, with what it promised and how she pays."""
        path = self.folder / "customers.csv"
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for n, row in enumerate(rows):
            price = "34.90" if n % 2 else "24.90"
            row.update(management="observed", monthly_amount="19.90" if n == ODD_PRICE else price)
            row.update(mandate_reference=f"M-{n}", mandate_iban="DE89 3704 0044 0532 0130 00")
            row.update(mandate_signed_on="2024-01-01", next_bill_date="2027-04-01")
            row.update(promotion="", promotion_amount="", promotion_cycles_left="")
            if n == PROMOTED:
                row.update(promotion="Welcome", promotion_amount="10.00", promotion_cycles_left="1")
                row.update(monthly_amount="14.90")
            if n == LATE_BILL:
                row.update(next_bill_date="2027-05-01")
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def network(self) -> Mapping[str, object]:
        """All that the network holds, sessions with their ids included."""
        lab = self.stand.lab
        return {
            **{f"{device} running": lab.running(device=device) for device in DEVICES},
            **{f"{device} startup": lab.startup(device=device) for device in DEVICES},
            "sessions": sorted(session["session"] for session in lab.sessions()),
        }

    def count(self, table: str) -> int:
        with self.house.database.engine.connect() as connection:
            return connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0

    def service(self, n: int) -> ServiceId:
        return ServiceId(self.customers[n].element_key)

    def report(self) -> dict[str, TakeoverLine]:
        return {line.external_id: line for line in self.house.comparison.report(SYSTEM)}

    def move(self, to: Management, ids: Sequence[ServiceId]) -> dict[ServiceId, ManagementMove]:
        return {each.service_id: each for each in self.house.takeover.move(ids, to, "takeover", ME)}

    def bill(self, day: date) -> None:
        self.stand.pass_time(
            datetime(day.year, day.month, day.day, 9, tzinfo=UTC) - self.house.runtime.clock.now()
        )
        with self.house.runtime.unit("billing", ME) as unit:
            run = self.house.billing.start_run(unit, day)
        wait_until(lambda: self.house.billing.run(run).state == "done", "the run is done", timeout_s=60)

    def bills(self, n: int) -> list[InvoiceView]:
        account = self.house.provisioning.service(self.service(n)).account_id
        return [each for each in self.house.billing.invoices(account) if each.kind == "bill"]


@pytest.fixture(scope="module")
def isp() -> Iterator[Isp]:
    folder = Path(tempfile.gettempdir()) / f"turnup-takeover-{new_id().hex[-8:]}"
    with Stand(folder) as stand:
        stand.start_database()
        stand.start_lab()
        stand.pass_time(START - stand.house.runtime.clock.now())
        made = Isp(stand, folder / "isp")
        made.load()
        stand.start_processes()
        yield made


def test_a_takeover_from_beginning_to_bill(isp: Isp) -> None:
    house, stand = isp.house, isp.stand
    before = isp.network()
    taken = house.importer.take_over_customers(isp.write_customers(), system=SYSTEM)
    assert taken.quarantined[:2] == ()
    assert (taken.read, taken.applied) == (COUNT, COUNT)
    stand.settle()

    # nobody hears of it, no device notices, nothing is billed
    assert isp.network() == before
    assert isp.count("crm.message") == 0 and isp.count("billing.invoice WHERE kind = 'bill'") == 0
    assert isp.count("orders.product_order") == 0
    with house.database.engine.connect() as connection:
        debts = connection.scalar(
            text("SELECT sum(amount_minor) FROM billing.ledger_entry WHERE amount_minor > 0")
        )
    assert debts == 1250 * (COUNT // 25)
    account = house.provisioning.service(isp.service(1)).account_id
    (method,) = house.crm.payment_methods(account)
    assert (method.kind, method.reference, method.hint) == ("direct_debit", "M-1", "3000")
    assert isp.count("crm.payment_method WHERE sealed LIKE '%0532%' OR reference LIKE '%0532%'") == 0

    # the report says what would differ, and only that
    report = isp.report()
    differing = {external_id: line.differs for external_id, line in report.items() if line.differs}
    odd = {isp.customers[n].external_id for n in (ODD_SPEED, TORN, ODD_PRICE)}
    assert set(differing) == odd, differing
    slow = report[isp.customers[ODD_SPEED].external_id]
    assert (slow.sold_kbps, slow.device_kbps) == ("300000/50000", "77000/50000")
    assert "first period 3490, former system 1990" in differing[isp.customers[ODD_PRICE].external_id]
    first = report[isp.customers[1].external_id]
    assert (first.next_bill_date, first.next_bill_net_minor, first.management) == (
        "2027-04-01",
        3490,
        "observed",
    )
    assert report[isp.customers[LATE_BILL].external_id].next_bill_date == "2027-05-01"

    # what is only observed is never written to
    refused = house.realiser.realise(isp.service(TORN))
    assert not refused.ok and "observed" in (refused.error or "")
    with pytest.raises(InvalidInput, match="reason"):
        house.takeover.move([isp.service(1)], Management.ADOPTED, " ", ME)
    straight = isp.move(Management.MANAGED, [isp.service(1)])
    assert "adopt it first" in (straight[isp.service(1)].refused or "")

    # adopted: the desired state is taken from the elements; who is torn stays observed
    answer = stand.api.post(
        "/turnup/v1/services/management", json={"to": "adopted", "reason": "takeover", "site": "pop1"}
    )
    moves = {each["serviceId"]: each for each in answer.json()}
    assert len(moves) == COUNT
    assert [key for key, each in moves.items() if each["refused"]] == [str(isp.service(TORN))]
    assert moves[str(isp.service(ODD_SPEED))]["taken"] == {"down_kbps": ["300000", "77000"]}
    assert house.provisioning.service(isp.service(TORN)).management is Management.OBSERVED
    torn = isp.customers[TORN]
    stand.lab.tamper(
        device=torn.olt, lines=[f"set service {torn.element_key} down-kbps {torn.down_kbps}"], save=True
    )
    before = isp.network()
    assert isp.move(Management.ADOPTED, [isp.service(TORN)])[isp.service(TORN)].refused is None

    # managed: by element, and nothing changes on the network
    for code in ("olt1", "olt2"):
        ids = house.takeover.chosen(element=code)
        assert all(each.refused is None for each in isp.move(Management.MANAGED, ids).values())
    assert {view.management for view in house.provisioning.services()} == {Management.MANAGED}
    assert house.realiser.realise(isp.service(ODD_SPEED)).ok  # applying what is there already
    assert isp.network()["sessions"] == before["sessions"]
    with house.database.engine.connect() as connection:
        audited = "SELECT count(*) FROM runtime.audit WHERE action = 'provisioning.management'"
        assert connection.scalar(text(audited)) == 2 * COUNT
    # billed: from where the former system stopped, with what is left of the promotion
    isp.bill(FIRST)
    (bill,) = isp.bills(1)
    assert (bill.period_from >= FIRST.replace(month=3), bill.net_minor) == (True, 3490)
    assert all(line.period_from >= FIRST for line in bill.lines if line.kind == "recurring")
    assert sorted((line.text.split(",")[0], line.net_minor) for line in isp.bills(PROMOTED)[0].lines) == [
        ("Fibre 100/20", 2490),
        ("Welcome", -1000),
    ]
    assert isp.bills(LATE_BILL) == []
    isp.bill(SECOND)
    assert isp.bills(PROMOTED)[1].net_minor == 2490
    assert [each.net_minor for each in isp.bills(LATE_BILL)] == [2 * 3490]
