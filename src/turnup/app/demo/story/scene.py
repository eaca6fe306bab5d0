"""What the chapters share: the subscriber, what Turnup says of her, her orders, her mail, the moved clock."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from turnup.app.demo.stage import Stage, expect
from turnup.app.demo.stand import Stand
from turnup.app.demo.world import OldCustomer
from turnup.app.house import House
from turnup.contracts.provisioning import ServiceView
from turnup.kernel.clock import start_of_day
from turnup.kernel.ids import AccountId, ServiceId

ZONE = "Europe/Berlin"
ORDERS = "/tmf-api/productOrderingManagement/v5/productOrder"


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


@dataclass(slots=True)
class Scene:
    """One telling: the stage, the stand with everything that runs, and the subscriber it is about."""

    stage: Stage
    stand: Stand
    customers: list[OldCustomer]
    """They run already, set up by an old system."""
    she: Subscriber = field(default_factory=Subscriber)
    invoice: str = ""

    @property
    def isp(self) -> Path:
        return self.stand.data_dir / "isp"

    @property
    def house(self) -> House:
        return self.stand.house

    def service(self) -> ServiceView:
        view = self.house.provisioning.service(self.she.service_id)
        assert view is not None
        return view

    def show_facts(self, service: ServiceView) -> None:
        facts = service.facts
        words = {True: "yes", False: "no", None: "not yet"}
        traffic = "yes" if facts.traffic_seen_at else "not yet"
        self.stage.say(
            f"facts: configuration present [bold]{words[facts.configuration_present]}[/], subscriber online "
            f"[bold]{words[facts.online]}[/], traffic seen [bold]{traffic}[/]"
        )

    def count(self) -> int:
        return len(self.customers) + 1

    def mail(self, word: str) -> list[Path]:
        """Messages to her whose text has this word."""
        found = []
        for path in (self.stand.data_dir / "mail").rglob("*"):
            if path.is_file():
                body = path.read_text(encoding="utf-8", errors="replace")
                if "maria@mail.example" in body and word in body.lower():
                    found.append(path)
        return found

    def pass_to(self, day: date) -> None:
        now = self.house.runtime.clock.now()
        target = start_of_day(day, ZONE) + timedelta(hours=9)
        if target > now:
            self.stand.pass_time(target - now)
            self.stand.settle()

    def follow_order(self, body: Mapping[str, Any], key: str) -> tuple[dict[str, Any], float]:
        """POST and poll until the order rests; (order, milliseconds since the POST)."""
        started = time.perf_counter()
        answer = self.stand.api.post(ORDERS, json=body, headers={"Idempotency-Key": key})
        expect(answer.status_code == 201, f"order: {answer.text}")
        order: dict[str, Any] = answer.json()
        until = started + 30
        while order["state"] in ("acknowledged", "inProgress") and time.perf_counter() < until:
            time.sleep(0.01)
            order = self.stand.api.get(f"{ORDERS}/{order['id']}").json()
        return order, (time.perf_counter() - started) * 1000

    def show_timeline(self, order: Mapping[str, Any], ms: float) -> None:
        rows: list[tuple[object, ...]] = [
            (step["name"], f"{step['ms'] - step['deviceMs']:.1f}", f"{step['deviceMs']:.1f}", step["detail"])
            for step in order["timeline"]
        ]
        devices = sum(step["deviceMs"] for step in order["timeline"])
        rows.append(("POST to verified", f"{ms - devices:.1f}", f"{devices:.1f}", f"[bold]{ms:.0f} ms[/]"))
        self.stage.table(["step", "Turnup ms", "devices ms", "what"], rows)


def first_of_next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
