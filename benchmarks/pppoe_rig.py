"""A PPPoE subscriber of the house beside the real lab, for tests/peers and benchmarks.real_story."""

from collections.abc import Mapping
from typing import Any, Self

from benchmarks.real_rig import RealRig, SoldService
from turnup.app.demo.stage import wait_until
from turnup.contracts.provisioning import ServiceState
from turnup.kernel.ids import AccountId
from turnup.lab.real import plan
from turnup.lab.real.machine import run
from turnup.lab.real.pppoe.access import bng_folder
from turnup.lab.real.pppoe.guest import in_guest
from turnup.lab.real.pppoe.subscriber import PppoeSubscriber

SITE = "dsl9"


class PppoeSold(SoldService):
    """One service by PPPoE that was ordered; her router is the lab's first."""

    site = SITE
    subscriber: PppoeSubscriber

    def __init__(self, rig: RealRig, account: AccountId, order: Mapping[str, Any]) -> None:
        super().__init__(rig, account, order)
        self.subscriber = PppoeSubscriber(1)

    @classmethod
    def order(cls, rig: RealRig, name: str, offering: str) -> Self:
        """Order it and wait until it is verified."""
        account, order = rig.order(name, offering, SITE)
        return cls(rig, account, order)

    @property
    def wan_address(self) -> str:
        """Her router made it itself."""
        return self.subscriber.addresses().wan6

    def connect(self) -> None:
        """Her router dials with what AAA knows of her, until it has addresses, a prefix and a way out."""
        self.subscriber.dial(self.view.login, self._rig.radius_secret(self))
        self.wait_addresses()
        self.wait_online(timeout_s=30)
        self._rig.wait_state(self, ServiceState.ACCEPTED)

    def wait_addresses(self) -> None:
        wait_until(
            lambda: self.subscriber.addresses().complete, "she has addresses and a prefix", timeout_s=90
        )


def at_the_bng(*command: str) -> str:
    """What a technician at the BNG's console would run; its output."""
    return run(*in_guest(bng_folder(plan.HOME), *command))
