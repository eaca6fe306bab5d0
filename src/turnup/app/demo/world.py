"""The demo's ISP: files a person would write, and a network on which those customers run already.

The customers are made up from lists; the same seed makes the same ISP. The lab is filled at its console, as
an old provisioning system would have left it: Turnup learns of them by import only.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from turnup.app.demo.outside import AaaRow, fill_aaa
from turnup.kernel.ids import derived_id
from turnup.lab.client import LabClient

SYSTEM = "oldsys"
_GIVEN = (
    "Anna",
    "Bela",
    "Clara",
    "David",
    "Emil",
    "Frieda",
    "Georg",
    "Hanna",
    "Igor",
    "Jana",
    "Karl",
    "Lena",
)
_FAMILY = ("Adler", "Bauer", "Conrad", "Dietz", "Engel", "Fuchs", "Graf", "Huber", "Jung", "Keller", "Lang")
_PLANS = (("fibre-100-20", 100_000, 20_000), ("fibre-300-50", 300_000, 50_000))
_PON_PORTS = 16
_FIRST_VLAN = 1000


@dataclass(frozen=True, slots=True)
class OldCustomer:
    """One customer of the former system, with what the network holds for her."""

    n: int
    name: str
    offering: str
    down_kbps: int
    up_kbps: int
    olt: str
    port: str
    vlan: int
    serial: str
    login: str
    secret: str
    ipv4: str
    ipv6_wan: str
    ipv6_pd: str

    @property
    def external_id(self) -> str:
        return f"K{self.n:05d}"

    @property
    def element_key(self) -> UUID:
        return derived_id("service", SYSTEM, self.external_id)

    @property
    def access_port(self) -> str:
        return f"{self.olt}/{self.port}"

    @property
    def circuit_id(self) -> str:
        return f"{self.olt}/{self.port}/{self.vlan}"


def old_customers(count: int) -> list[OldCustomer]:
    """`count` customers spread over two OLTs of 16 PON ports."""
    made = []
    for n in range(count):
        offering, down, up = _PLANS[n % len(_PLANS)]
        port = n // 2 % _PON_PORTS
        made.append(
            OldCustomer(
                n=n,
                name=f"{_GIVEN[n % len(_GIVEN)]} {_FAMILY[n // len(_GIVEN) % len(_FAMILY)]}",
                offering=offering,
                down_kbps=down,
                up_kbps=up,
                olt=f"olt{1 + n % 2}",
                port=f"pon-0/1/{port}",
                vlan=_FIRST_VLAN + n // (2 * _PON_PORTS),
                serial=f"TRNP{n:08d}",
                login=f"k{n:05d}@old.example",
                secret=f"old-secret-{n:05d}",
                ipv4=f"100.64.{1 + n // 250}.{1 + n % 250}",
                ipv6_wan=f"2001:db8:1:{n:x}::/64",
                ipv6_pd=f"2001:db8:{0x100 + n // 256:x}:{n % 256 * 256:x}::/56",
            )
        )
    return made


def write_isp(
    folder: Path, examples: Path, endpoints: Mapping[str, Any], customers: Sequence[OldCustomer], today: date
) -> None:
    """catalog.yaml, policies.yaml, network.yaml and customers.csv into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("catalog.yaml", "policies.yaml"):
        (folder / name).write_text((examples / name).read_text(encoding="utf-8"), encoding="utf-8")
    document = yaml.safe_load((examples / "network.yaml").read_text(encoding="utf-8"))
    for element in document["elements"]:
        _fill_in(element, endpoints["elements"].get(element["code"]))
    (folder / "network.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    _write_customers(folder / "customers.csv", customers, today)


def _fill_in(element: dict[str, Any], endpoint: Mapping[str, Any] | None) -> None:
    """Where the lab listens this time; the rest of the network document is as written."""
    if endpoint is None:
        return
    management = element.setdefault("management", {})
    management["host"], management["ssh_port"] = endpoint["ssh"][0], str(endpoint["ssh"][1])
    management["snmp_port"] = str(endpoint["snmp"][1])
    credentials = element.setdefault("credentials", {})
    credentials["host_key"] = endpoint["ssh_host_key"]
    credentials["snmp_community"] = endpoint["snmp"][2]
    if endpoint.get("coa"):
        management["coa_port"] = str(endpoint["coa"][1])


def _write_customers(path: Path, customers: Sequence[OldCustomer], today: date) -> None:
    columns = [
        "external_id",
        "name",
        "email",
        "street",
        "postcode",
        "city",
        "country",
        "latitude",
        "longitude",
        "offering",
        "access_port",
        "vlan",
        "ont_serial",
        "login",
        "secret",
        "ipv4",
        "ipv6_wan",
        "ipv6_pd",
        "element_key",
        "status",
        "started_at",
        "balance",
        "billed_through",
    ]
    next_month = date(today.year + today.month // 12, today.month % 12 + 1, 1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for old in customers:
            writer.writerow(
                (
                    old.external_id,
                    old.name,
                    f"{old.external_id.lower()}@mail.example",
                    f"Lindenweg {old.n + 1}",
                    "10115",
                    "Berlin",
                    "DE",
                    f"{52.50 + old.n % 40 / 1000:.6f}",
                    f"{13.36 + old.n % 60 / 1000:.6f}",
                    old.offering,
                    old.access_port,
                    old.vlan,
                    old.serial,
                    old.login,
                    old.secret,
                    old.ipv4,
                    old.ipv6_wan,
                    old.ipv6_pd,
                    old.element_key,
                    "active",
                    "2025-03-01",
                    "12.50" if old.n % 25 == 0 else "0.00",
                    next_month.isoformat(),
                )
            )


def seed_network(lab: LabClient, aaa_url: str, customers: Sequence[OldCustomer]) -> None:
    """Put the running customers on the elements and into AAA, and plug in their ONTs."""
    fill_aaa(
        aaa_url,
        [
            AaaRow(
                username=old.login,
                secret=old.secret,
                ipv4=old.ipv4,
                ipv6_wan=old.ipv6_wan,
                ipv6_pd=old.ipv6_pd,
                down_kbps=old.down_kbps,
                up_kbps=old.up_kbps,
                key=str(old.element_key),
            )
            for old in customers
        ],
    )
    lab.tamper(device="bng1", lines=[_bng_line(old) for old in customers], save=True)
    for olt in sorted({old.olt for old in customers}):
        lab.tamper(device=olt, lines=[_olt_line(old) for old in customers if old.olt == olt], save=True)
    lab.plug_many(
        cpes=[
            {
                "name": old.external_id,
                "at": old.access_port,
                "serial": old.serial,
                "username": old.login,
                "password": old.secret,
                "down_kbps": 200,
                "up_kbps": 40,
            }
            for old in customers
        ]
    )


def _olt_line(old: OldCustomer) -> str:
    return (
        f"set service {old.element_key} port {old.port} vlan {old.vlan} ont-serial {old.serial} "
        f"down-kbps {old.down_kbps} up-kbps {old.up_kbps} generation 1"
    )


def _bng_line(old: OldCustomer) -> str:
    return (
        f"set subscriber {old.element_key} username {old.login} access {old.circuit_id} ipv4 {old.ipv4} "
        f"ipv6-wan {old.ipv6_wan} ipv6-pd {old.ipv6_pd} down-kbps {old.down_kbps} up-kbps {old.up_kbps} "
        f"generation 1"
    )
