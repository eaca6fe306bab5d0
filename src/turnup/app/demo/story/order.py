"""She orders through the public API, comes online, and upgrades mid-cycle."""

import json
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from turnup.app.demo.outside import router_password
from turnup.app.demo.stage import expect, wait_until
from turnup.app.demo.story.scene import ORDERS, Scene
from turnup.contracts.provisioning import ServiceState
from turnup.kernel.ids import AccountId, ServiceId

_SERIAL = "TRNPDEMO0001"
_CUSTOMERS = "/tmf-api/customer/v5/customer"


def _ordered(scene: Scene, action: str, offering: str, product: Mapping[str, Any]) -> dict[str, Any]:
    """A TMF622 order of one item on her account."""
    return {
        "@type": "ProductOrder",
        "billingAccount": {"id": str(scene.she.account_id), "@type": "BillingAccountRef"},
        "productOrderItem": [
            {
                "@type": "ProductOrderItem",
                "id": "1",
                "action": action,
                "productOffering": {"id": offering, "@type": "ProductOfferingRef"},
                "product": product,
            }
        ],
    }


def sell(scene: Scene) -> None:
    stage = scene.stage
    stage.chapter("2. A new customer orders Fibre 300/50 with a static IPv4 and an IPv6 /56")
    with stage.step("new_customer", "POST customer (TMF629)"):
        _new_customer(scene)
    product = {"@type": "Product", "productCharacteristic": [_chosen("static_ipv4")]}
    body = {**_ordered(scene, "add", "fibre-300-50", product), "servingSite": "pop1"}
    key = secrets.token_hex(8)
    with stage.step("order_to_verified", "POST productOrder (TMF622), until configured and verified"):
        order, ms = scene.follow_order(body, key)
    expect(
        order["state"] == "completed",
        f"the order is {order['state']}: {order.get('productOrderErrorMessage')}",
    )
    again = scene.stand.api.post(ORDERS, json=body, headers={"Idempotency-Key": key})
    expect(again.json()["id"] == order["id"], "the same idempotency key must give the same order")
    scene.she.product_id = order["productOrderItem"][0]["product"]["id"]
    scene.she.service_id = ServiceId(UUID(order["productOrderItem"][0]["service"]["id"]))
    stage.figures["order_to_active_ms"] = round(ms, 1)
    scene.show_timeline(order, ms)
    service = scene.service()
    scene.she.login = service.login
    held = scene.house.inventory.reservation(service.id)
    expect(held is not None, "resources are held")
    assert held is not None
    stage.say(", ".join(f"{kind} {value}" for kind, value in sorted(held.resources.items())))
    expect(held.resources["ipv4"].startswith("198.51.100."), "the address is from the static pool")
    expect(held.resources["ipv6_pd"].endswith("/56"), "a /56 is delegated")
    expect(service.state is ServiceState.AWAITING_EQUIPMENT, f"state is {service.state}")
    scene.show_facts(service)


def _new_customer(scene: Scene) -> None:
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
    answer = scene.stand.api.post(_CUSTOMERS, json=body, headers={"Idempotency-Key": secrets.token_hex(8)})
    expect(answer.status_code == 201, f"customer: {answer.text}")
    customer = answer.json()
    scene.she.customer_id = customer["id"]
    scene.she.account_id = AccountId(UUID(customer["account"][0]["id"]))
    scene.she.account = customer["account"][0]["name"]


def come_online(scene: Scene) -> None:
    stage, lab = scene.stage, scene.stand.lab
    stage.chapter("3. The subscriber comes online")
    held = scene.house.inventory.reservation(scene.she.service_id)
    assert held is not None
    secret = router_password(scene.stand.engine.aaa_url, scene.she.login)
    with stage.step("equipment", "Her ONT is installed, its serial arrives last"):
        answer = scene.stand.api.post(
            f"/turnup/v1/services/{scene.she.service_id}/equipment", json={"ont_serial": _SERIAL}
        )
        expect(answer.status_code == 200, answer.text)
        wait_until(lambda: scene.service().verified_generation == 2, "the OLT knows the ONT")
        lab.plug(
            name="maria",
            at=held.resources["access_port"],
            serial=_SERIAL,
            username=scene.she.login,
            password=secret,
            down_kbps=9_000,
            up_kbps=1_000,
        )
    with stage.step("online", "Access-Request, Access-Accept, accounting starts"):
        lab.wait_for(lambda client: client.cpe(name="maria")["state"] == "online")
        wait_until(lambda: scene.service().facts.online, "the session is seen by Turnup")
    session = lab.cpe(name="maria")["session"]
    stage.say(f"session: {_session_words(session)}")
    expect(_rates(session) == (300_000, 50_000), f"the plan's speeds, not {_rates(session)}")
    expect(held.resources["ipv4"] in json.dumps(session), "the reserved address is hers")
    with stage.step("usage", "Usage flows"):
        scene.stand.pass_time(timedelta(minutes=10))
        lab.interim(username=scene.she.login)
        wait_until(lambda: scene.service().facts.traffic_seen_at, "traffic is seen")
    expect(scene.service().state is ServiceState.ACCEPTED, f"state is {scene.service().state}")
    scene.show_facts(scene.service())


def upgrade(scene: Scene) -> None:
    stage, lab = scene.stage, scene.stand.lab
    stage.chapter("4. She upgrades to 1000/200 mid-cycle; then an access device fails")
    scene.stand.pass_time(timedelta(days=10))
    stage.say("(the clock moved ten days)")
    lab.interim(username=scene.she.login)
    session_before = lab.cpe(name="maria")["session"]
    body = _ordered(scene, "modify", "fibre-1000-200", {"@type": "Product", "id": scene.she.product_id})
    with stage.step("upgrade", "POST productOrder: modify to fibre-1000-200"):
        order, ms = scene.follow_order(body, secrets.token_hex(8))
    expect(
        order["state"] == "completed",
        f"the order is {order['state']}: {order.get('productOrderErrorMessage')}",
    )
    scene.show_timeline(order, ms)
    session = lab.cpe(name="maria")["session"]
    expect(_rates(session) == (1_000_000, 200_000), f"new speeds, not {_rates(session)}")
    same = session["session"] == session_before["session"]
    expect(scene.service().facts.speeds_kbps == (1_000_000, 200_000), "the NAS was asked and said so")
    stage.say(
        f"live session changed by {'CoA' if same else 'Disconnect'}, read back: {_session_words(session)}"
    )


def _chosen(option: str) -> dict[str, Any]:
    return {"@type": "BooleanCharacteristic", "name": option, "value": True}


def _rates(session: Mapping[str, Any]) -> tuple[int, int]:
    return int(session["down-kbps"]), int(session["up-kbps"])


def _session_words(session: Mapping[str, Any]) -> str:
    down, up = _rates(session)
    return f"{down // 1000}/{up // 1000} Mbit/s, {session['ipv4']}, {session['ipv6-pd']}"
