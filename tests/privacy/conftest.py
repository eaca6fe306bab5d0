"""A whole house on a database of its own, with a person in it whose every word is unmistakable."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from fastapi.testclient import TestClient
from sqlalchemy import Connection, text

from builders.direct_run import DirectRun
from builders.house import deliver_events
from turnup.app.engine import attach_engine
from turnup.app.house import House, assemble
from turnup.app.mail import mail_gateway
from turnup.app.migrations.runner import upgrade
from turnup.app.privacy.erasing import run_erasure
from turnup.app.server import api_of
from turnup.bss.crm.workflows import deliver
from turnup.contracts.privacy import Person
from turnup.kernel.ids import AccountId, CustomerId, ServiceId
from turnup.runtime.auth import issue_token
from turnup.runtime.observability import configure_logging
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "examples" / "isp"
MARK = "Zyxmark"
"""In every word that is hers; nothing else has it."""
SYSTEM, EXTERNAL = "oldsys", "K00042"


@pytest.fixture(scope="session")
def database_template(make_template: Callable[..., str]) -> str:
    return make_template("migrated", lambda url: upgrade(url) and None)


@pytest.fixture
def house(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("TURNUP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TURNUP_DATABASE_URL", database_url)
    settings = load_settings()
    configure_logging("json", "debug", process="test")
    house = assemble(settings, attach_engine(settings), process="test")
    yield house
    house.close()


@pytest.fixture
def api(house: House) -> TestClient:
    with house.database.engine.begin() as connection:
        token = issue_token(connection, "crm-import", ["*"], now=house.runtime.clock.now())
    return TestClient(
        api_of(house), headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False
    )


@dataclass
class Planted:
    """A person who came by import, ordered by the API, paid, complained, and has left."""

    house: House
    api: TestClient
    party: UUID
    number: str
    customer: CustomerId
    account: AccountId
    service: ServiceId
    words: list[str] = field(default_factory=list)

    @property
    def person(self) -> Person:
        return self.house.rights._holders.person(str(self.party))

    def sql(self, statement: str, **values: object) -> Any:
        with self.house.database.engine.begin() as connection:
            return connection.execute(text(statement), values)

    def leave(self) -> None:
        """Her service ceases and everything is paid; what the network would have done is written down."""
        with self.house.runtime.unit("inventory", "test") as unit:
            self.house.inventory.release(unit, self.service)
        self.sql("UPDATE provisioning.service SET state = 'ceased' WHERE service_id = :s", s=self.service)
        self.sql(
            "UPDATE configuration.intent SET attributes = NULL, generation = generation + 1"
            " WHERE service_id = :s",
            s=self.service,
        )
        self.sql("UPDATE monitoring.session SET ended_at = now() WHERE service_id = :s", s=self.service)
        self.sql(
            "UPDATE billing.agreement SET to_date = from_date, to_at = from_at WHERE account_id = :a",
            a=self.account,
        )
        self.sql("UPDATE orders.product SET status = 'terminated' WHERE account_id = :a", a=self.account)

    def erase(self) -> UUID:
        """As workers would do it: what was asked, step by step."""
        answer = self.api.post("/turnup/v1/privacy/erasure", json={"person": self.number})
        assert answer.status_code == 200, answer.text
        erasure_id = UUID(answer.json()["erasure"])
        run_erasure(DirectRun(self.house.runtime), str(erasure_id), rights=self.house.rights)  # type: ignore[arg-type]
        return erasure_id


@pytest.fixture
def planted(house: House, api: TestClient, tmp_path: Path) -> Planted:
    for kind in ("catalog", "policies", "network"):
        getattr(house.importer, f"load_{kind}")(EXAMPLES / f"{kind}.yaml")
    files = tmp_path.parent / f"{tmp_path.name}-files"
    files.mkdir()
    report = house.importer.take_over_customers(_customers(files / "customers.csv"), system=SYSTEM)
    assert report.applied == 1, report
    # another run of the same person, broken: what is quarantined quotes her
    bad = _customers(files / "broken.csv", started_at=f"{MARK}-yesterday", name=f"{MARK} Other")
    assert len(house.importer.take_over_customers(bad, system=SYSTEM).quarantined) == 1
    deliver_events(house.runtime, house.components)
    customer = next(c for c in house.crm.all_customers() if c.name.startswith(MARK))
    account = house.crm.accounts_of(customer.id)[0]
    (service,) = house.provisioning.services_of([account.id])
    planted = Planted(house, api, customer.party_id, customer.number, customer.id, account.id, service)
    _orders(planted)
    _pays(planted)
    _is_told(planted)
    _is_seen(planted)
    _comes_by_file(planted)
    deliver_events(house.runtime, house.components)
    return planted


def _customers(path: Path, **changed: str) -> Path:
    row = {
        "external_id": EXTERNAL,
        "name": f"{MARK} Mustermann",
        "email": f"{MARK}@mail.example",
        "phone": "+49 30 9876543210",
        "street": f"{MARK} Street 7",
        "postcode": "10999",
        "city": f"{MARK}hausen",
        "country": "DE",
        "latitude": "52.520008",
        "longitude": "13.404954",
        "offering": "fibre-100-20",
        "access_port": "olt1/pon-0/1/3",
        "vlan": "1003",
        "ont_serial": f"{MARK}ONT",
        "login": f"{MARK}@login.example",
        "secret": f"{MARK}-secret",
        "ipv4": "100.64.1.77",
        "ipv6_wan": "2001:db8:1:77::/64",
        "ipv6_pd": "2001:db8:177::/56",
        "status": "active",
        "started_at": "2025-01-01",
        "balance": "12.30",
        "billed_through": "2099-01-01",
        "mandate_reference": f"{MARK}-mandate",
        "mandate_iban": "DE02120300000000202051",
        "mandate_signed_on": "2024-05-06",
        **changed,
    }
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    return path


def _orders(planted: Planted) -> None:
    """An order by the API for a later day, which she cancels."""
    house = planted.house
    body = {
        "@type": "ProductOrder",
        "externalId": [{"id": f"{MARK}-shop-1", "owner": "shop", "externalIdentifierType": "order"}],
        "billingAccount": {"id": str(planted.account), "@type": "BillingAccountRef"},
        "requestedStartDate": "2090-01-01T00:00:00Z",
        "productOrderItem": [
            {
                "id": "1",
                "action": "add",
                "productOffering": {"id": "fibre-300-50", "@type": "ProductOfferingRef"},
                "@type": "ProductOrderItem",
            }
        ],
    }
    path = "/tmf-api/productOrderingManagement/v5/productOrder"
    answer = planted.api.post(path, json=body, headers={"Idempotency-Key": f"{MARK}-order-key"})
    assert answer.status_code == 201, answer.text
    (order,) = house.orders.orders()
    with house.runtime.unit("orders", "cli:anna") as unit:
        house.orders.cancel(unit, order.id, "moves to her sister")
    planted.sql(
        "UPDATE orders.product_order SET reason = :r WHERE order_id = :o", r=f"{MARK} moves", o=order.id
    )
    planted.sql(
        "INSERT INTO orders.step (order_id, attempt, name, started_at, ms, device_ms, ok, detail)"
        " VALUES (:o, 1, 'visit', now(), 1, 1, true, :d)",
        o=order.id,
        d=f"{MARK} was not at home",
    )


def _pays(planted: Planted) -> None:
    """Her opening balance by a reference of her own, and money nobody can place."""
    house = planted.house
    with house.runtime.unit("billing", "cli:anna") as unit:
        house.billing.pay(unit, planted.account, 1230, "EUR", f"{MARK} thanks", unit.now.date())
    file = f"date,reference,amount\n2026-01-02,{MARK} for internet,5.00\n".encode()
    with house.runtime.unit("billing", "cli:anna") as unit:
        house.billing.import_payments(unit, "statement.csv", file, "EUR")


def _is_told(planted: Planted) -> None:
    """A message that went out as a file, and one whose delivery failed quoting her address."""
    house = planted.house
    for key in ("order_completed:mark-1", "order_completed:mark-2"):
        with house.runtime.unit("crm", "event:crm") as unit:
            facts = {"account": "A-1", "at": "2026-01-01 12:00"}
            house.crm.notify(unit, planted.customer, "order_completed", key, facts)
    settings = house.settings
    gateway = mail_gateway(settings, SecretBox(settings.secret_key_path), house.runtime.clock)
    deliver(DirectRun(house.runtime), "order_completed:mark-1", service=house.crm, gateway=gateway)  # type: ignore[arg-type]
    with house.runtime.unit("crm", "workflow:crm.deliver") as unit:
        house.crm.message_failed(unit, "order_completed:mark-2", 1, f"550 <{MARK}@mail.example> unknown")
    planted.sql(
        "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid LIKE 'crm.deliver:%mark%'"
    )
    planted.sql(
        "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output)"
        " VALUES ('crm.deliver:order_completed:mark-2', 1, 'send_1', :o)",
        o=f"550 <{MARK}@mail.example> unknown",
    )


def _is_seen(planted: Planted) -> None:
    """Sessions and usage, a finding, and an old configuration of her element."""
    planted.sql(
        """INSERT INTO monitoring.session (nas, session_id, username, service_id, started_at, last_seen_at,
             heard_at, upload, download, framed_ipv4, told_start, told_end, told_upload, told_download)
           VALUES ('bng1', :session, :login, :service, now(), now(), now(), 1, 1,
             '100.64.1.77', true, false, 1, 1)""",
        session=f"{MARK}-7",
        login=f"{MARK}@login.example",
        service=planted.service,
    )
    for key in ("a", "b"):
        planted.sql(
            "INSERT INTO billing.usage VALUES (:service, :key, '2026-01-05 10:00Z', '2026-01-05 11:00Z',"
            " '2026-01-05', 21)",
            service=planted.service,
            key=f"{MARK}-session-{key}",
        )
    planted.sql(
        """INSERT INTO reconciliation.finding (finding_id, kind, service_id, element, detail, monthly_minor,
             currency, owner, repair, safe, found_at, seen_at)
           VALUES (gen_random_uuid(), 'differs', :service, 'bng1', :detail, 0, 'EUR', 'network', 'apply',
             true, now(), now())""",
        service=planted.service,
        detail=f"login: books {MARK}@login.example, network nothing",
    )
    planted.sql(
        """INSERT INTO configuration.backup (element_id, revision, taken_at, sha256, cause, text)
           VALUES (gen_random_uuid(), 1, now(), 'x', 'change', :text)""",
        text=f"subscriber {MARK}@login.example",
    )


def _comes_by_file(planted: Planted) -> None:
    """Rows of a connector: one that changed her, and one that waits for a person, known to be hers."""
    house = planted.house
    document = yaml.safe_load((EXAMPLES.parent / "connectors" / "customers.yaml").read_text())
    rows = (
        f"KDNR;NAME;TYP;MAIL;STRASSE;PLZ;ORT\n{EXTERNAL};{MARK} Mustermann;P;;;;{MARK}burg\n",
        f"KDNR;NAME;TYP;MAIL;STRASSE;PLZ;ORT\n{EXTERNAL};{MARK} Mustermann;P;{MARK} no mail;;;\n",
    )
    with house.runtime.unit("mediation", "cli:anna") as unit:
        plain = {**document, "system": SYSTEM, "mode": "live", "format": {"delimiter": ";"}}
        name, _, _ = house.connectors.publish(unit, plain)
    connector = house.connectors.connector(name)
    for n, content in enumerate(rows):
        with house.runtime.unit("mediation", "cli:anna") as unit:
            file = house.files.capture(unit, connector, f"{n}.csv", content.encode())
        house.exchange._apply_rows(connector, file, "cli:anna")


def everything(connection: Connection) -> Iterator[tuple[str, str]]:
    """(schema.table, the row as text) of every row of every table there is."""
    names = connection.execute(
        text("""SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
                WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
                  AND table_type = 'BASE TABLE'""")
    ).scalars()
    for name in names.all():
        for row in connection.execute(text(f"SELECT t::text FROM {name} t")).scalars():
            yield name, row
