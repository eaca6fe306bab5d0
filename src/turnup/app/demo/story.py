"""The demo's story: an order becomes a live service, a fault becomes a credit, both become a bill.

Orders go through the public HTTP API; the network is the lab's, over its real protocols. Where time passes,
the clocks of Turnup and of the lab are moved, and the demo says so. Every promise is checked: the demo fails
loudly rather than tell a story that did not happen.
"""

import json
import secrets
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.progress import Progress

from turnup.app.demo.outside import lose_billing, router_password
from turnup.app.demo.stage import DemoFailed, Stage, expect, wait_until
from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import SYSTEM, old_customers, seed_network, write_isp
from turnup.app.house import House
from turnup.contracts.billing import InvoiceView
from turnup.contracts.provisioning import ServiceState, ServiceView
from turnup.kernel.clock import business_date, start_of_day
from turnup.kernel.ids import AccountId, RunId, ServiceId
from turnup.kernel.money import Money
from turnup.lab.client import LabError
from turnup.runtime.observability import configure_logging
from turnup.runtime.settings import default_data_dir

_ZONE = "Europe/Berlin"
_SERIAL = "TRNPDEMO0001"
_ORDERS = "/tmf-api/productOrderingManagement/v5/productOrder"
_CUSTOMERS = "/tmf-api/customer/v5/customer"


def run_demo(*, once: bool, json_file: Path | None, customers: int) -> bool:
    """Tell the story; True if every promise held."""
    stage = Stage(Console(highlight=False))
    stage.console.print(
        "[bold]Turnup demo[/]: an order becomes a live service, a fault a credit, both a bill."
    )
    ok = False
    with Stand(default_data_dir().resolve().with_name("turnup-demo")) as stand:
        try:
            story = Story(stage, stand, customers)
            story.tell()
            ok = True
        except (DemoFailed, LabError) as error:
            stand.keep = True
            stage.console.print(f"\n[red]The story broke:[/] {error}")
            stage.say(f"logs and data are kept in {stand.data_dir} until the next demo")
        finally:
            if json_file is not None:
                json_file.write_text(json.dumps({"ok": ok, **stage.report()}, indent=2), encoding="utf-8")
                stage.say(f"figures written to {json_file}")
        if ok and not once:
            story.stay()
    return ok


@dataclass(slots=True)
class Subscriber:
    """The new customer of the story."""

    customer_id: str = ""
    account_id: AccountId = field(default_factory=lambda: AccountId(UUID(int=0)))
    account: str = ""
    product_id: str = ""
    service_id: ServiceId = field(default_factory=lambda: ServiceId(UUID(int=0)))
    login: str = ""
    password: str = ""


class Story:
    """One telling, on a stand of its own."""

    def __init__(self, stage: Stage, stand: Stand, customers: int) -> None:
        self._stage = stage
        self._stand = stand
        self._isp = stand.data_dir / "isp"
        self._customers = old_customers(customers)
        self._she = Subscriber()
        self._invoice = ""

    @property
    def _house(self) -> House:
        return self._stand.house

    def tell(self) -> None:
        self._start_everything()
        self._load_the_isp()
        self._order()
        self._come_online()
        self._upgrade()
        self._outage()
        self._close_the_month()
        self._dunning()
        self._reconcile()

    # --- the stage is set ---------------------------------------------------------------------------------

    def _start_everything(self) -> None:
        stage, stand = self._stage, self._stand
        stage.chapter("Setting up")
        configure_logging("console", "error", process="demo")
        with stage.step("start_database", "Embedded PostgreSQL starts"):
            stand.start_database()
        with stage.step("start_lab", "The virtual network starts: a BNG, two OLTs, an AAA server"):
            stand.start_lab()
        start = _third_of_next_month(self._house.runtime.clock.now())
        stand.pass_time(start - self._house.runtime.clock.now())
        today = business_date(start, _ZONE)
        write_isp(self._isp, examples() / "isp", stand.lab_process.endpoints, self._customers, today)
        with stage.step("start_processes", "API, worker and collector start"):
            stand.start_processes()
        stage.say(f"The clock of this demo is moved; it starts on {today:%d %B %Y}.")

    def _load_the_isp(self) -> None:
        stage, house = self._stage, self._house
        stage.chapter("1. A small ISP, loaded from files")
        with stage.step(
            "seed_network", f"{len(self._customers)} customers run already, set up by an old system"
        ):
            seed_network(self._stand.lab, self._stand.engine.aaa_url, self._customers)
            wait_until(lambda: self._online_count() == len(self._customers), "the old customers are online")
        before = self._lab_configurations()
        importer = house.importer
        with stage.step("import_documents", "turnup import: catalog, policies, network"):
            importer.load_catalog(self._isp / "catalog.yaml")
            importer.load_policies(self._isp / "policies.yaml")
            importer.load_network(self._isp / "network.yaml")
        with stage.step("import_dry_run", "turnup import customers.csv --dry-run"):
            rehearsal = importer.take_over_customers(self._isp / "customers.csv", system=SYSTEM, dry_run=True)
            expect(not rehearsal.quarantined, f"dry run: {rehearsal.quarantined[:1]}")
        with (
            stage.step("import_customers", "turnup import customers.csv"),
            Progress(console=stage.console, transient=True) as progress,
        ):
            bar = progress.add_task("customers", total=len(self._customers))
            report = importer.take_over_customers(
                self._isp / "customers.csv",
                system=SYSTEM,
                progress=lambda done, _of: progress.update(bar, completed=done),
            )
        expect(not report.quarantined, f"quarantined: {report.quarantined[:1]}")
        expect(report.applied == len(self._customers), f"{report.applied} applied")
        expect(before == self._lab_configurations(), "taking over must not touch a device")
        with stage.step("settle", "Events reach every component"):
            self._stand.settle()
        stage.say(
            f"read {report.read} = applied {report.applied} + unchanged {report.unchanged} + "
            f"quarantined {len(report.quarantined)}; no device was touched"
        )

    def _online_count(self) -> int:
        return len(self._stand.lab.sessions())

    def _lab_configurations(self) -> Mapping[str, str]:
        return {device: self._stand.lab.running(device=device) for device in ("olt1", "olt2", "bng1")}

    # --- she orders ---------------------------------------------------------------------------------------

    def _order(self) -> None:
        stage = self._stage
        stage.chapter("2. A new customer orders Fibre 300/50 with a static IPv4 and an IPv6 /56")
        with stage.step("new_customer", "POST customer (TMF629)"):
            self._new_customer()
        body = {
            "@type": "ProductOrder",
            "billingAccount": {"id": str(self._she.account_id), "@type": "BillingAccountRef"},
            "productOrderItem": [
                {
                    "@type": "ProductOrderItem",
                    "id": "1",
                    "action": "add",
                    "productOffering": {"id": "fibre-300-50", "@type": "ProductOfferingRef"},
                    "product": {
                        "@type": "Product",
                        "productCharacteristic": [_chosen("static_ipv4")],
                    },
                }
            ],
            "servingSite": "pop1",
        }
        key = secrets.token_hex(8)
        with stage.step("order_to_verified", "POST productOrder (TMF622), until configured and verified"):
            order, ms = self._follow_order(body, key)
        expect(
            order["state"] == "completed",
            f"the order is {order['state']}: {order.get('productOrderErrorMessage')}",
        )
        again = self._stand.api.post(_ORDERS, json=body, headers={"Idempotency-Key": key})
        expect(again.json()["id"] == order["id"], "the same idempotency key must give the same order")
        self._she.product_id = order["productOrderItem"][0]["product"]["id"]
        self._she.service_id = ServiceId(UUID(order["productOrderItem"][0]["service"]["id"]))
        stage.figures["order_to_active_ms"] = round(ms, 1)
        self._show_timeline(order, ms)
        service = self._service()
        self._she.login = service.login
        held = self._house.inventory.reservation(service.id)
        expect(held is not None, "resources are held")
        assert held is not None
        stage.say(", ".join(f"{kind} {value}" for kind, value in sorted(held.resources.items())))
        expect(held.resources["ipv4"].startswith("198.51.100."), "the address is from the static pool")
        expect(held.resources["ipv6_pd"].endswith("/56"), "a /56 is delegated")
        expect(service.state is ServiceState.AWAITING_EQUIPMENT, f"state is {service.state}")
        self._show_facts(service)

    def _new_customer(self) -> None:
        body = {
            "@type": "Customer",
            "name": "Maria Muster",
            "contactMedium": [
                {"@type": "EmailContactMedium", "contactType": "email", "emailAddress": "maria@mail.example"},
                {
                    "@type": "GeographicAddressContactMedium",
                    "contactType": "postalAddress",
                    "street1": "Torstrasse 1",
                    "postCode": "10119",
                    "city": "Berlin",
                    "country": "DE",
                },
            ],
        }
        answer = self._stand.api.post(
            _CUSTOMERS, json=body, headers={"Idempotency-Key": secrets.token_hex(8)}
        )
        expect(answer.status_code == 201, f"customer: {answer.text}")
        customer = answer.json()
        self._she.customer_id = customer["id"]
        self._she.account_id = AccountId(UUID(customer["account"][0]["id"]))
        self._she.account = customer["account"][0]["name"]

    def _follow_order(self, body: Mapping[str, Any], key: str) -> tuple[dict[str, Any], float]:
        """POST and poll until the order rests; (order, milliseconds since the POST)."""
        started = time.perf_counter()
        answer = self._stand.api.post(_ORDERS, json=body, headers={"Idempotency-Key": key})
        expect(answer.status_code == 201, f"order: {answer.text}")
        order: dict[str, Any] = answer.json()
        until = started + 30
        while order["state"] in ("acknowledged", "inProgress") and time.perf_counter() < until:
            time.sleep(0.01)
            order = self._stand.api.get(f"{_ORDERS}/{order['id']}").json()
        return order, (time.perf_counter() - started) * 1000

    def _show_timeline(self, order: Mapping[str, Any], ms: float) -> None:
        rows: list[tuple[object, ...]] = [
            (step["name"], f"{step['ms'] - step['deviceMs']:.1f}", f"{step['deviceMs']:.1f}", step["detail"])
            for step in order["timeline"]
        ]
        devices = sum(step["deviceMs"] for step in order["timeline"])
        rows.append(("POST to verified", f"{ms - devices:.1f}", f"{devices:.1f}", f"[bold]{ms:.0f} ms[/]"))
        self._stage.table(["step", "Turnup ms", "devices ms", "what"], rows)

    def _service(self) -> ServiceView:
        view = self._house.provisioning.service(self._she.service_id)
        assert view is not None
        return view

    def _show_facts(self, service: ServiceView) -> None:
        facts = service.facts
        words = {True: "yes", False: "no", None: "not yet"}
        traffic = "yes" if facts.traffic_seen_at else "not yet"
        self._stage.say(
            f"facts: configuration present [bold]{words[facts.configuration_present]}[/], subscriber online "
            f"[bold]{words[facts.online]}[/], traffic seen [bold]{traffic}[/]"
        )

    # --- online, upgrade ----------------------------------------------------------------------------------

    def _come_online(self) -> None:
        stage, lab = self._stage, self._stand.lab
        stage.chapter("3. The subscriber comes online")
        held = self._house.inventory.reservation(self._she.service_id)
        assert held is not None
        secret = router_password(self._stand.engine.aaa_url, self._she.login)
        with stage.step("equipment", "Her ONT is installed, its serial arrives last"):
            answer = self._stand.api.post(
                f"/turnup/v1/services/{self._she.service_id}/equipment", json={"ont_serial": _SERIAL}
            )
            expect(answer.status_code == 200, answer.text)
            wait_until(lambda: self._service().verified_generation == 2, "the OLT knows the ONT")
            lab.plug(
                name="maria",
                at=held.resources["access_port"],
                serial=_SERIAL,
                username=self._she.login,
                password=secret,
                down_kbps=9_000,
                up_kbps=1_000,
            )
        with stage.step("online", "Access-Request, Access-Accept, accounting starts"):
            lab.wait_for(lambda client: client.cpe(name="maria")["state"] == "online")
            wait_until(lambda: self._service().facts.online, "the session is seen by Turnup")
        session = lab.cpe(name="maria")["session"]
        stage.say(f"session: {_session_words(session)}")
        expect(_rates(session) == (300_000, 50_000), f"the plan's speeds, not {_rates(session)}")
        expect(held.resources["ipv4"] in json.dumps(session), "the reserved address is hers")
        with stage.step("usage", "Usage flows"):
            self._stand.pass_time(timedelta(minutes=10))
            lab.interim(username=self._she.login)
            wait_until(lambda: self._service().facts.traffic_seen_at, "traffic is seen")
        expect(self._service().state is ServiceState.ACCEPTED, f"state is {self._service().state}")
        self._show_facts(self._service())

    def _upgrade(self) -> None:
        stage, lab = self._stage, self._stand.lab
        stage.chapter("4. She upgrades to 1000/200 mid-cycle; then an access device fails")
        self._stand.pass_time(timedelta(days=10))
        stage.say("(the clock moved ten days)")
        lab.interim(username=self._she.login)
        session_before = lab.cpe(name="maria")["session"]
        body = {
            "@type": "ProductOrder",
            "billingAccount": {"id": str(self._she.account_id), "@type": "BillingAccountRef"},
            "productOrderItem": [
                {
                    "@type": "ProductOrderItem",
                    "id": "1",
                    "action": "modify",
                    "productOffering": {"id": "fibre-1000-200", "@type": "ProductOfferingRef"},
                    "product": {"@type": "Product", "id": self._she.product_id},
                }
            ],
        }
        with stage.step("upgrade", "POST productOrder: modify to fibre-1000-200"):
            order, ms = self._follow_order(body, secrets.token_hex(8))
        expect(
            order["state"] == "completed",
            f"the order is {order['state']}: {order.get('productOrderErrorMessage')}",
        )
        self._show_timeline(order, ms)
        session = lab.cpe(name="maria")["session"]
        expect(_rates(session) == (1_000_000, 200_000), f"new speeds, not {_rates(session)}")
        same = session["session"] == session_before["session"]
        expect(self._service().facts.speeds_kbps == (1_000_000, 200_000), "the NAS was asked and said so")
        stage.say(
            f"live session changed by {'CoA' if same else 'Disconnect'}, read back: {_session_words(session)}"
        )

    # --- outage -------------------------------------------------------------------------------------------

    def _outage(self) -> None:
        stage, lab, house = self._stage, self._stand.lab, self._house
        held = house.inventory.reservation(self._she.service_id)
        assert held is not None
        olt = held.resources["access_port"].partition("/")[0]
        self._stand.pass_time(timedelta(days=2))
        stage.say("(two days later)")
        behind = {
            service.id
            for service in house.provisioning.services()
            if (h := house.inventory.reservation(service.id))
            and h.resources["access_port"].startswith(f"{olt}/")
        }
        with stage.step("outage_found", f"{olt} fails; monitoring finds the cause and who is hit"):
            lab.power_off(device=olt)
            wait_until(lambda: house.monitoring.problems(), "a service problem is open", timeout_s=30)
        problem = house.monitoring.problems()[0]
        expect(len(house.monitoring.problems()) == 1, "one cause, one problem")
        expect(set(problem.service_ids) == behind, "the services behind it and no others")
        stage.say(
            f"{problem.cause}: {len(problem.service_ids)} services hit, "
            f"the other {self._count() - len(behind)} are not"
        )
        with stage.step("outage_told", "She is told"):
            wait_until(lambda: self._mail("is disturbed"), "the message is sent", timeout_s=20)
        self._stand.pass_time(timedelta(hours=5))
        with stage.step("outage_cleared", "Five hours later (moved) it is back, and so is she"):
            lab.power_on(device=olt)
            wait_until(lambda: not house.monitoring.problems(), "the problem is closed", timeout_s=30)
            lab.wait_for(lambda client: client.cpe(name="maria")["state"] == "online", timeout_s=20)
            wait_until(lambda: self._service().facts.online, "she is seen online again")
            self._stand.settle()
        closed = next(p for p in house.monitoring.problems(open_only=False) if p.id == problem.id)
        assert closed.cleared_at is not None
        minutes = (closed.cleared_at - closed.opened_at).total_seconds() / 60
        expect(299 <= minutes <= 303, f"the outage lasted {minutes:.1f} minutes")
        stage.say(f"outage of {minutes:.0f} minutes recorded; the credit comes with the bill, by policy")

    def _count(self) -> int:
        return len(self._customers) + 1

    def _mail(self, word: str) -> list[Path]:
        """Messages to her whose text has this word."""
        found = []
        for path in (self._stand.data_dir / "mail").rglob("*"):
            if path.is_file():
                body = path.read_text(encoding="utf-8", errors="replace")
                if "maria@mail.example" in body and word in body.lower():
                    found.append(path)
        return found

    # --- the bill -----------------------------------------------------------------------------------------

    def _close_the_month(self) -> None:
        stage, house, lab = self._stage, self._house, self._stand.lab
        stage.chapter("5. The month closes")
        now = house.runtime.clock.now()
        first = _first_of_next_month(business_date(now, _ZONE))
        self._stand.pass_time(start_of_day(first, _ZONE) - now - timedelta(minutes=30))
        lab.interim(username=self._she.login)
        self._stand.settle()
        self._stand.pass_time(timedelta(hours=2))
        self._stand.settle()
        today = business_date(house.runtime.clock.now(), _ZONE)
        stage.say(f"(the clock moved to {today:%d %B %Y})")
        with (
            stage.step("bill_run", "Bill run: draft, number, post"),
            Progress(console=stage.console, transient=True) as progress,
        ):
            bar = progress.add_task("shards", total=None)
            with house.runtime.unit("billing", "demo") as unit:
                run_id = house.billing.start_run(unit, today)
            result = wait_until(
                lambda: self._run_done(run_id, progress, bar), "the run is done", timeout_s=60
            )
        expect(result.parked == 0, f"{result.parked} accounts parked: {house.billing.parked(run_id)[:2]}")
        expect(result.invoices == self._count(), f"{result.invoices} invoices for {self._count()} customers")
        stage.say(f"{result.invoices} invoices, {Money(result.total_minor, 'EUR')} in all, none parked")
        invoice = house.billing.invoices(self._she.account_id)[-1]
        self._check_invoice(invoice)
        self._invoice = invoice.number or ""
        stage.figures["invoice"] = {
            "number": invoice.number,
            "total_minor": invoice.total_minor,
            "currency": invoice.currency,
            "lines": [
                {"text": line.text, "kind": line.kind, "net_minor": line.net_minor} for line in invoice.lines
            ],
        }
        stage.table(
            ["line", "net"], [(line.text, Money(line.net_minor, invoice.currency)) for line in invoice.lines]
        )
        stage.say(f"[bold]turnup explain {invoice.number}[/]")
        stage.console.print(house.billing.explain(self._invoice), style="dim")
        with stage.step("pdf", "The invoice as PDF"):
            pdf = house.billing.pdf(self._invoice, "Example Net")
            expect(pdf.startswith(b"%PDF"), "a PDF")
            path = self._stand.data_dir.parent / f"{invoice.number}.pdf"
            path.write_bytes(pdf)
            stage.say(f"written to {path}")

    def _run_done(self, run_id: RunId, progress: Progress, bar: Any) -> Any:
        run = self._house.billing.run(run_id)
        if run is None:
            return None
        progress.update(bar, description=run.state, completed=run.shards_done, total=run.shards_total or None)
        expect(run.state != "failed", "the bill run failed")
        return run if run.state == "done" else None

    def _check_invoice(self, invoice: InvoiceView) -> None:
        texts = " | ".join(line.text for line in invoice.lines)
        for wanted in ("Fibre 300/50", "Fibre 1000/200", "Static IPv4", "Traffic"):
            expect(wanted in texts, f"a line for {wanted}; there are: {texts}")
        expect(
            any(line.kind == "credit" and line.net_minor < 0 for line in invoice.lines),
            f"an outage credit: {texts}",
        )
        expect(invoice.tax_minor > 0, "tax is charged")
        expect(invoice.total_minor == invoice.net_minor + invoice.tax_minor, "the sum is right")

    # --- dunning ------------------------------------------------------------------------------------------

    def _dunning(self) -> None:
        stage, house, lab = self._stage, self._house, self._stand.lab
        stage.chapter("6. She doesn't pay; then she pays")
        invoice = house.billing.invoices(self._she.account_id)[-1]
        with stage.step("payment_file", "A bank file arrives: everybody else has paid"):
            self._everybody_else_pays(invoice.due_date)
        self._pass_to(invoice.due_date + timedelta(days=8))
        with stage.step("reminder", "A week overdue: she is reminded"):
            self._dunning_tick()
            wait_until(lambda: self._mail("overdue") or self._mail("remind"), "the reminder is sent")
        self._pass_to(invoice.due_date + timedelta(days=16))
        with stage.step("suspended", "Two weeks overdue: walled garden on the network"):
            self._dunning_tick()
            wait_until(lambda: self._service().state is ServiceState.SUSPENDED, "suspended", timeout_s=30)
            lab.wait_for(lambda client: not client.reach(name="maria", to="internet"))
        expect(lab.reach(name="maria", to="portal"), "the payment page stays reachable")
        stage.say("internet: blocked; payment page: reachable")
        owed = house.billing.balance_minor(self._she.account_id)
        with stage.step("restored", f"She pays {Money(owed, 'EUR')}: back in seconds"):
            with house.runtime.unit("billing", "demo") as unit:
                today = business_date(unit.now, _ZONE)
                house.billing.pay(unit, self._she.account_id, owed, "EUR", f"demo-{self._invoice}", today)
            wait_until(lambda: self._service().state is ServiceState.ACCEPTED, "restored", timeout_s=30)
            lab.wait_for(lambda client: client.reach(name="maria", to="internet"))
        expect(house.billing.balance_minor(self._she.account_id) == 0, "nothing is owed")

    def _everybody_else_pays(self, on: date) -> None:
        """A CSV file as a bank delivers it: date, reference (the invoice number), amount."""
        rows = ["date,reference,amount"]
        for account in self._house.crm.all_accounts():
            owed = self._house.billing.balance_minor(account.id)
            if account.id != self._she.account_id and owed > 0:
                number = self._house.billing.invoices(account.id)[-1].number
                rows.append(f"{on.isoformat()},{number},{owed // 100}.{owed % 100:02d}")
        with self._house.runtime.unit("billing", "demo") as unit:
            content = "\n".join(rows).encode()
            report = self._house.billing.import_payments(unit, "bank.csv", content, "EUR")
        expect(report.matched == len(rows) - 1, f"every payment finds its invoice: {report}")

    def _dunning_tick(self) -> None:
        with self._house.runtime.unit("billing", "demo") as unit:
            self._house.billing.dunning_tick(unit, business_date(unit.now, _ZONE))
        self._stand.settle()

    # --- reconciliation -----------------------------------------------------------------------------------

    def _reconcile(self) -> None:
        stage, house = self._stage, self._house
        stage.chapter("7. Sold = provisioned = live = billed?")
        self._stand.settle()
        with stage.step("reconcile_clean", "Reconciliation of every service"):
            clean = house.reconciler.run(repair=False)
        expect(clean.found == 0, f"nothing to find yet, but: {clean.findings[:3]}")
        stage.say(f"{clean.checked} services checked, nothing found")
        on_device, in_books = self._customers[3], self._customers[8]
        stage.say(
            f"behind Turnup's back: {on_device.login} is slowed down on {on_device.olt}; "
            f"{in_books.login} vanishes from the books"
        )
        self._stand.lab.tamper(
            device=on_device.olt, lines=[f"set service {on_device.element_key} down-kbps 1000"], save=True
        )
        lose_billing(self._stand.engine.url, in_books.element_key)
        with stage.step("reconcile_repair", "Found, priced, repaired"):
            report = house.reconciler.run(repair=True)
        stage.table(
            ["finding", "service", "per month", "repair", "repaired"],
            [
                (
                    f.kind,
                    f.service_number,
                    Money(f.monthly_minor, f.currency),
                    f.repair,
                    "yes" if f.repaired_at else "no",
                )
                for f in report.findings
            ],
        )
        found = {finding.service_id for finding in report.findings}
        expect(
            found == {on_device.element_key, in_books.element_key},
            f"exactly the two broken ones, not {report.findings}",
        )
        expect(report.repaired == 2, f"{report.repaired} of 2 repaired")
        self._stand.settle()
        with stage.step("reconcile_again", "Once more"):
            after = house.reconciler.run(repair=False)
        expect(after.found == 0, f"nothing is left, but: {after.findings[:3]}")
        stage.figures["reconciliation"] = {
            "checked": report.checked,
            "found": report.found,
            "repaired": report.repaired,
        }

    # --- staying up ---------------------------------------------------------------------------------------

    def stay(self) -> None:
        self._stage.chapter("8. It stays up")
        self._stage.say(f"API:   {self._stand.api.base_url}/docs")
        self._stage.say(f"token: {self._stand.token}   (Authorization: Bearer …)")
        self._stage.say(
            f"CLI:   TURNUP_DATA_DIR={self._stand.data_dir} TURNUP_SIMULATED_CLOCK=true turnup order list"
        )
        self._stage.say("Ctrl-C ends it and cleans up.")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        while not stop.wait(1.0):
            pass

    def _pass_to(self, day: date) -> None:
        now = self._house.runtime.clock.now()
        target = start_of_day(day, _ZONE) + timedelta(hours=9)
        if target > now:
            self._stand.pass_time(target - now)
            self._stand.settle()


def _chosen(option: str) -> dict[str, Any]:
    return {"@type": "BooleanCharacteristic", "name": option, "value": True}


def _rates(session: Mapping[str, Any]) -> tuple[int, int]:
    return int(session["down-kbps"]), int(session["up-kbps"])


def _session_words(session: Mapping[str, Any]) -> str:
    down, up = _rates(session)
    return f"{down // 1000}/{up // 1000} Mbit/s, {session['ipv4']}, {session['ipv6-pd']}"


def _third_of_next_month(now: datetime) -> datetime:
    first = _first_of_next_month(now.date())
    return datetime(first.year, first.month, 3, 9, tzinfo=UTC)


def _first_of_next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
