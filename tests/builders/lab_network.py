"""A lab's elements as inventory would know them, fragments for them, and whole subscriber lines."""

from dataclasses import dataclass

from turnup.contracts.configuration import Change, Credentials, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.aaa_database.driver import AaaDatabaseDriver
from turnup.gateways.tlos.driver import TlosDriver
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.lab.client import LabProcess

SITE = SiteId(derived_id("site", "pop1"))
AAA = ElementView(
    id=ElementId(derived_id("element", "aaa1")),
    code="aaa1",
    role="aaa",
    site_id=SITE,
    driver="aaa_database",
    management={},
    status="in_service",
)
NOBODY = Credentials(username="", password="")


def element_of(lab: LabProcess, code: str) -> ElementView:
    ends = lab.endpoints["elements"][code]
    return ElementView(
        id=ElementId(derived_id("element", code)),
        code=code,
        role="bng" if ends["kind"] == "bng" else "access",
        site_id=SITE,
        driver="tlos",
        management={
            "host": ends["ssh"][0],
            "ssh_port": str(ends["ssh"][1]),
            "snmp_port": str(ends["snmp"][1]),
            **({"coa_port": str(ends["coa"][1])} if "coa" in ends else {}),
        },
        status="in_service",
    )


def credentials_of(lab: LabProcess, code: str) -> Credentials:
    return Credentials(
        username="turnup",
        password=f"lab-{code}-password",
        host_key=lab.endpoints["elements"][code]["ssh_host_key"],
        coa_secret="lab-coa-secret",
        snmp_community="lab-public",
    )


def service_id(n: int) -> ServiceId:
    return ServiceId(derived_id("service", n))


def access(n: int = 1, generation: int = 1, **changed: str) -> Fragment:
    attributes = {
        "port": "pon-0/1/3",
        "ont_serial": f"TRNP{n:04}",
        "vlan": str(100 + n),
        "down_kbps": "300000",
        "up_kbps": "50000",
    }
    return Fragment(
        service_id=service_id(n),
        kind="access_service",
        attributes=attributes | changed,
        generation=generation,
    )


def subscriber(n: int = 1, generation: int = 1, **changed: str) -> Fragment:
    attributes = {
        "username": f"s{n}@isp",
        "circuit_id": f"olt1/pon-0/1/3/{100 + n}",
        "ipv4": f"192.0.2.{n}",
        "ipv6_wan": f"2001:db8:0:{n:x}::/64",
        "ipv6_pd": f"2001:db8:1:{n:x}00::/56",
        "down_kbps": "300000",
        "up_kbps": "50000",
        "walled": "no",
    }
    return Fragment(
        service_id=service_id(n), kind="subscriber", attributes=attributes | changed, generation=generation
    )


def aaa_subscriber(n: int = 1, generation: int = 1, **changed: str) -> Fragment:
    attributes = {
        "username": f"s{n}@isp",
        "secret": f"pw-{n}",
        "ipv4": f"192.0.2.{n}",
        "ipv6_wan": f"2001:db8:0:{n:x}::/64",
        "ipv6_pd": f"2001:db8:1:{n:x}00::/56",
        "down_kbps": "300000",
        "up_kbps": "50000",
        "state": "active",
    }
    return Fragment(
        service_id=service_id(n),
        kind="aaa_subscriber",
        attributes=attributes | changed,
        generation=generation,
    )


def put(fragment: Fragment) -> Change:
    return Change(
        service_id=fragment.service_id, kind=fragment.kind, want=fragment, generation=fragment.generation
    )


def drop(fragment: Fragment, generation: int) -> Change:
    return Change(service_id=fragment.service_id, kind=fragment.kind, want=None, generation=generation)


@dataclass(frozen=True)
class Lines:
    """Makes subscribers' lines whole through the gateways themselves."""

    lab: LabProcess
    tlos: TlosDriver
    aaa: AaaDatabaseDriver

    def apply(self, code: str, *changes: Change) -> tuple[str, ...]:
        return self.tlos.apply(
            element_of(self.lab, code), credentials_of(self.lab, code), changes, deadline_s=5.0
        )

    def provision(self, n: int = 1) -> None:
        self.aaa.apply(AAA, NOBODY, [put(aaa_subscriber(n))], deadline_s=5.0)
        self.apply("olt1", put(access(n)))
        self.apply("bng1", put(subscriber(n)))

    def plug(self, n: int = 1, demand_kbps: int = 1_000_000) -> None:
        self.lab.client.plug(
            name=f"s{n}", at="olt1/pon-0/1/3", serial=f"TRNP{n:04}", username=f"s{n}@isp", password=f"pw-{n}",
            down_kbps=demand_kbps, up_kbps=demand_kbps,
        )  # fmt: skip

    def until(self, state: str, n: int = 1) -> dict[str, object]:
        return self.lab.client.wait_for(
            lambda client: (cpe := client.cpe(name=f"s{n}"))["state"] == state and cpe
        )
