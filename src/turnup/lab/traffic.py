"""Traffic that is computed when somebody looks: a flow is a rate since an instant, so idle costs nothing."""

from dataclasses import dataclass

from turnup.lab.device import Port

WALLED_KBPS = 64
"""What payment page and portal take; nothing else passes a walled garden."""


@dataclass(slots=True, eq=False)
class Flow:
    """The traffic of one online subscriber.

    Rates in kbit/s as the subscriber sees them (down = towards him). `settle` adds what has flowed since the
    last time to the subscriber's octets and to every port on the way.
    """

    pon: Port
    olt_uplink: Port
    bng_port: Port
    since: float
    down_kbps: int = 0
    up_kbps: int = 0
    down_octets: float = 0.0
    up_octets: float = 0.0

    def settle(self, now: float) -> None:
        """Account for the time up to `now` (lab seconds)."""
        span = now - self.since
        if span <= 0:
            return
        self.since = now
        down, up = self.down_kbps * 125.0 * span, self.up_kbps * 125.0 * span
        self.down_octets += down
        self.up_octets += up
        self.pon.out_octets += down
        self.pon.in_octets += up
        self.olt_uplink.in_octets += down
        self.olt_uplink.out_octets += up
        self.bng_port.out_octets += down
        self.bng_port.in_octets += up

    def shape(self, now: float, down_kbps: int, up_kbps: int) -> None:
        """From `now` on, these rates."""
        self.settle(now)
        self.down_kbps, self.up_kbps = down_kbps, up_kbps


def rate(demand_kbps: int, limits: tuple[int, ...], *, walled: bool) -> int:
    """What flows: the demand, under every limit, and almost nothing inside the walled garden."""
    allowed = min(limits)
    return min(demand_kbps, allowed, WALLED_KBPS) if walled else min(demand_kbps, allowed)
