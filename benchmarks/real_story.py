"""The IPoE story on real parts, in milliseconds: `python -m benchmarks.real_story --json -` (needs root).

One order from POST to the first packet, the plan's speed measured, an upgrade under load, suspension, payment
and cease; every step is checked at the subscriber's end of the line, and `ok` says whether all of it held.
Each step is measured until the effect is seen with real packets, not until somebody says so.
"""

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.real_rig import DemoFailed, RealRig, Sold
from benchmarks.report import machine, report
from turnup.app.demo.stage import expect, wait_until
from turnup.contracts.provisioning import ServiceState
from turnup.lab.real import plan
from turnup.lab.real.machine import RealLabError

LEAST, MOST = 0.94, 1.02


class Telling:
    """One telling; figures grow as it goes, so that a broken one shows how far it came."""

    def __init__(self, rig: RealRig, seconds: int) -> None:
        self._rig = rig
        self._seconds = seconds
        self.steps: dict[str, float] = {}
        self.ratios: dict[str, float] = {}
        self.measurements = 0
        """How many it took; one for each ratio where nothing disturbed them."""

    def tell(self) -> None:
        rig = self._rig
        self.steps.update(rig.started)
        sold: Sold = self._step("order_to_verified", lambda: rig.sell("Ada Lovelace", "metro-20-5"))
        self._step("verified_to_first_packets", sold.connect)
        rig.accept(sold)
        self._measure("20_5", sold, 20_000, 5_000)
        transfer = sold.subscriber.start_transfer(plan.INTERNET4, 60)
        try:
            self._step("upgrade_verified", lambda: rig.change(sold, "metro-50-10"))
            expect(transfer.running, "the running transfer survives the upgrade")
        finally:
            transfer.stop()
        self._measure("50_10", sold, 50_000, 10_000)
        self._walled(sold)
        self._step("cease_verified", lambda: rig.cease(sold))
        expect(not any(rig.held(sold).values()), f"nothing is left: {rig.held(sold)}")
        expect(not sold.online(), "no traffic after the cease")

    def _walled(self, sold: Sold) -> None:
        rig = self._rig
        self._step("bill_run_and_dunning_to_walled", lambda: rig.bill_and_suspend(sold))
        expect(not sold.subscriber.pings(plan.INTERNET4), "no internet while walled")
        expect(sold.subscriber.resolves(plan.PAYMENT_HOST, plan.GARDEN4), "DNS answers while walled")
        page = sold.subscriber.fetch(f"http://{plan.GARDEN4}/")
        expect(page is not None and page.status == 200, "the payment page is reachable while walled")
        self._step(
            "renewal_announces_portal",
            lambda: wait_until(
                lambda: sold.subscriber.lease(4).get("new_captive_portal") == plan.PORTAL_URL,
                "DHCP announces the portal",
                timeout_s=60,
            ),
        )

        def back() -> None:
            rig.pay(sold)
            wait_until(
                lambda: sold.subscriber.pings(plan.INTERNET4, seconds=0.1), "she is back", timeout_s=30
            )

        self._step("payment_to_first_packet", back)
        sold.wait_online()
        rig.wait_state(sold, ServiceState.ACCEPTED)

    def _measure(self, name: str, sold: Sold, down_kbps: int, up_kbps: int) -> None:
        found = sold.goodput_ratios(down_kbps, up_kbps, seconds=self._seconds)
        self.measurements = sold.measurements
        self.ratios |= {f"{name}_{which}": round(ratio, 4) for which, ratio in found.items()}
        expect(all(LEAST <= ratio <= MOST for ratio in found.values()), f"goodput of {name}: {found}")

    def _step(self, name: str, act: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = act()
        self.steps[name] = round((time.perf_counter() - began) * 1000, 1)
        return result

    def worst(self, direction: str) -> float | None:
        """The ratio farthest from 1, over families and plans."""
        found = [ratio for name, ratio in self.ratios.items() if name.endswith(direction)]
        return max(found, key=lambda ratio: abs(ratio - 1)) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="length of each goodput measurement")
    parser.add_argument("--json", metavar="FILE", default=None, help="write the figures; - prints them")
    options = parser.parse_args()
    on = machine()
    figures: dict[str, Any] = {}
    try:
        with RealRig() as rig:
            telling = Telling(rig, options.seconds)
            broken = None
            try:
                telling.tell()
            except DemoFailed as reason:
                broken = str(reason)
            figures = {
                "steps": [{"name": name, "ms": ms} for name, ms in telling.steps.items()],
                "goodput_ratio_down": telling.worst("_down"),
                "goodput_ratio_up": telling.worst("_up"),
                "goodput_ratios": telling.ratios,
                "goodput_measurements": telling.measurements,
                "ok": broken is None,
                **({"broken": broken} if broken else {}),
            }
    except RealLabError as reason:
        sys.stderr.write(f"{reason}\n")
        sys.exit(2)
    report("real_story", figures, on, options.json)
    sys.exit(0 if figures["ok"] else 1)


if __name__ == "__main__":
    main()
