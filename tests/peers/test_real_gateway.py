"""The Linux gateway on a real kernel: fence, address conflicts, rollback, and a reboot without Turnup."""

import pytest

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment, StaleGeneration
from turnup.contracts.inventory import ElementView
from turnup.gateways.linux.driver import LinuxDriver
from turnup.gateways.transports.ssh import SshPool
from turnup.kernel.ids import ElementId, ServiceId, SiteId, derived_id
from turnup.lab.real import plan
from turnup.lab.real.machine import inside, run


class Gateway:
    """The driver with its element, and the gateway's console."""

    def __init__(self, access):
        self.element = ElementView(
            id=ElementId(derived_id("element", "agw1")), code="agw1", role="bng",
            site_id=SiteId(derived_id("site", "pop9")), driver="linux", status="in_service",
            management={name: access[name] for name in ("host", "uplink", "garden")},
        )  # fmt: skip
        self.credentials = Credentials(
            username="root", private_key=access["private_key"], host_key=access["host_key"]
        )
        self._ssh = SshPool()
        self.driver = LinuxDriver(self._ssh)

    def apply(self, *changes):
        return self.driver.apply(self.element, self.credentials, changes, deadline_s=30)

    def held(self):
        return dict(self.driver.read(self.element, self.credentials, None, deadline_s=30))

    def config(self):
        return self.driver.running_config(self.element, self.credentials, deadline_s=30)

    def restore(self, config):
        self.driver.restore(self.element, self.credentials, config, deadline_s=30)

    def console(self, script):
        return run(*inside(plan.GATEWAY, "sh", "-c", script))

    def close(self):
        self._ssh.close()


@pytest.fixture
def gateway(real_lab):
    made = Gateway(real_lab["gateway"])
    yield made
    for service, fragment in made.held().items():
        made.apply(Change(service_id=service, kind="subscriber", want=None, generation=fragment.generation))
    made.close()


def service(n, name):
    return ServiceId(derived_id("service", "peers", name, str(n)))


def wanted(service_id, n, generation=1, **changed):
    attributes = {
        "username": f"s-{n}",
        "circuit_id": f"agw1/p{n}/1000",
        "ipv4": f"100.64.0.{n + 1}",
        "ipv6_wan": f"2001:db8:1:{n}::/64",
        "ipv6_pd": f"2001:db8:100:{n}00::/56",
        "down_kbps": "50000",
        "up_kbps": "10000",
        "walled": "no",
        **changed,
    }
    fragment = Fragment(
        service_id=service_id, kind="subscriber", attributes=attributes, generation=generation
    )
    return Change(service_id=service_id, kind="subscriber", want=fragment, generation=generation)


def test_what_is_applied_is_what_the_kernel_says(gateway):
    one, two = (wanted(service(n, "both"), n) for n in (1, 2))
    gateway.apply(one, two)
    assert gateway.held() == {one.service_id: one.want, two.service_id: two.want}
    changed = wanted(
        one.service_id, 1, 2, walled="yes", down_kbps="1000000", ipv4="100.64.0.9", circuit_id="agw1/p2/1000"
    )
    gateway.apply(changed)
    assert gateway.held()[one.service_id] == changed.want


def test_an_older_generation_is_refused_also_after_the_removal(gateway):
    newest = wanted(service(1, "fence"), 1, generation=5)
    gateway.apply(newest)
    with pytest.raises(StaleGeneration):
        gateway.apply(wanted(newest.service_id, 1, generation=4, down_kbps="1000"))
    gateway.apply(Change(service_id=newest.service_id, kind="subscriber", want=None, generation=6))
    with pytest.raises(StaleGeneration):
        gateway.apply(newest)
    assert gateway.held() == {}


def test_an_address_of_somebody_else_is_refused_before_anything_is_done(gateway):
    first = wanted(service(1, "conflict"), 1)
    gateway.apply(first)
    with pytest.raises(ElementRefused):
        gateway.apply(wanted(service(2, "conflict"), 2, ipv4="100.64.0.2"))
    assert gateway.held() == {first.service_id: first.want}
    assert "class htb" not in gateway.console("tc class show dev p2")
    assert "p2" not in gateway.console("ip route show proto 188; ip -6 route show proto 188")


def test_what_somebody_else_put_there_shows_under_an_id_of_its_own(gateway):
    gateway.apply(wanted(service(1, "foreign"), 1))
    gateway.console("nft add element inet turnup class4 '{ 100.64.9.9 : 1:99 }'")
    try:
        strangers = [f for key, f in gateway.held().items() if key != service(1, "foreign")]
        assert [stranger.attributes["ipv4"] for stranger in strangers] == ["100.64.9.9"]
    finally:
        gateway.console("nft delete element inet turnup class4 '{ 100.64.9.9 }'")


def test_a_backed_up_configuration_comes_back(gateway):
    one, two = wanted(service(1, "rollback"), 1), wanted(service(2, "rollback"), 2, generation=3)
    gateway.apply(one)
    backup = gateway.config()
    gateway.apply(wanted(one.service_id, 1, generation=2, down_kbps="1000"), two)
    gateway.restore(backup)
    assert gateway.config() == backup
    assert gateway.held() == {one.service_id: one.want}


def test_after_a_reboot_the_gateway_brings_everybody_back_by_itself(gateway):
    changes = [wanted(service(1, "boot"), 1, walled="yes"), wanted(service(2, "boot"), 2, down_kbps="7000")]
    gateway.apply(*changes)
    before = gateway.held()
    gateway.console(
        "nft delete table inet turnup; for d in p1 p2 up0; do tc qdisc del dev $d root; done;"
        "ip route flush proto 188; ip -6 route flush proto 188"
    )
    assert gateway.held() == {}
    disk = plan.HOME / plan.GATEWAY / "var-lib"
    gateway.console(f"mount --bind {disk} /var/lib && sh /var/lib/turnup/gateway/boot.sh")
    assert gateway.held() == before
