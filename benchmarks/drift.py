"""How fast desired and actual are compared: `python -m benchmarks.drift --services 10000 --json -`.

One element holds that many subscribers, the books intend the same, and some are changed behind Turnup's back.
What is timed is what reconciliation does for an element: load the intents, read the element over its own
protocol, compare every service. The result must name exactly the changed ones. By default the element is the
virtual lab's BNG (SSH); with ``--real`` it is the Linux access gateway of the real lab (root, `make peers`).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from ipaddress import ip_network
from pathlib import Path

from benchmarks.real_rig import RealRig
from benchmarks.report import machine, report
from turnup.app.demo.stand import Stand, examples
from turnup.app.demo.world import write_isp
from turnup.app.house import House
from turnup.contracts.configuration import Change, Fragment
from turnup.contracts.inventory import ElementView
from turnup.kernel.ids import ServiceId, derived_id
from turnup.lab.real import plan
from turnup.lab.real.machine import RealLabError

_TOGETHER = {"tlos": 200, "linux": 1000}
"""Services an apply, by driver: tlos takes a batch as one command line."""
_ROUNDS = 3
_DEADLINE_S = 120.0
_VLANS = 4000


def fragments(count: int, port: str) -> list[Fragment]:
    """One subscriber's configuration for each service, every address its own."""
    return [
        Fragment(
            service_id=ServiceId(derived_id("service", "drift", str(n))),
            kind="subscriber",
            attributes={
                "username": f"d{n:06d}",
                "circuit_id": f"{port.format(n=n // _VLANS)}/{1 + n % _VLANS}",
                "ipv4": f"100.64.{1 + n // 250}.{1 + n % 250}",
                "ipv6_wan": f"2001:db8:1:{n + 1:x}::/64",
                "ipv6_pd": str(ip_network(f"2001:db8:{0x100 + n // 256:x}:{n % 256 * 256:x}::/56")),
                "down_kbps": "50000",
                "up_kbps": "10000",
                "walled": "no",
            },
            generation=1,
        )
        for n in range(count)
    ]


@contextmanager
def virtual(folder: Path) -> Iterator[tuple[House, ElementView, str]]:
    """(house, element, port) of the virtual lab's BNG."""
    with Stand(folder / "data") as stand:
        stand.start_database()
        stand.start_lab()
        write_isp(folder / "isp", examples() / "isp", stand.lab_process.endpoints, [], date(2026, 1, 1))
        stand.house.importer.load_network(folder / "isp" / "network.yaml")
        yield stand.house, _element(stand.house, "bng1"), "olt1/pon-0/1/{n}"


@contextmanager
def real() -> Iterator[tuple[House, ElementView, str]]:
    """(house, element, port) of the real lab's access gateway."""
    with RealRig(1) as rig:
        yield rig.stand.house, _element(rig.stand.house, "agw1"), f"agw1/{plan.port(1)}"


def _element(house: House, code: str) -> ElementView:
    found = house.inventory.element_by_code(code)
    assert found is not None
    return found


def fill(house: House, element: ElementView, wanted: Sequence[Fragment]) -> None:
    """The books intend it, and the element holds it."""
    together = _TOGETHER[element.driver]
    for start in range(0, len(wanted), together):
        chunk = wanted[start : start + together]
        with house.runtime.unit("configuration", "benchmark") as unit:
            for fragment in chunk:
                house.configuration.intend(unit, element.id, fragment)
        _put(house, element, chunk)


def drift(house: House, element: ElementView, wanted: Sequence[Fragment]) -> None:
    """Behind Turnup's back: these are slower than they should be."""
    _put(
        house,
        element,
        [replace(each, attributes={**each.attributes, "down_kbps": "1000"}) for each in wanted],
    )


def _put(house: House, element: ElementView, wanted: Sequence[Fragment]) -> None:
    changes = [
        Change(service_id=each.service_id, kind=each.kind, want=each, generation=each.generation)
        for each in wanted
    ]
    credentials = house.configuration.credentials(element.id)
    house.configuration.driver(element).apply(element, credentials, changes, deadline_s=_DEADLINE_S)


def measure(house: House, element: ElementView, count: int, port: str) -> dict[str, object]:
    wanted = fragments(count, port)
    began = time.perf_counter()
    fill(house, element, wanted)
    filled_s = time.perf_counter() - began
    changed = wanted[:: max(1, count // 10)]
    drift(house, element, changed)
    seconds, read_seconds = [], []
    exact = True
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        house.configuration.actual(element.id, deadline_s=_DEADLINE_S)
        read_seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        found = house.configuration.differences(element.id)
        seconds.append(time.perf_counter() - began)
        exact = exact and {each.service_id for each in found} == {each.service_id for each in changed}
    return {
        "services_per_second": round(count / min(seconds)),
        "services": count,
        "element": f"{element.code} ({element.driver})",
        "compare_ms": round(min(seconds) * 1000, 1),
        "of_which_reading_ms": round(min(read_seconds) * 1000, 1),
        "fill_seconds": round(filled_s, 1),
        "drifted": len(changed),
        "exactly_found": exact,
        "ok": exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--real", action="store_true", help="the Linux access gateway of the real lab (root)")
    parser.add_argument("--json", metavar="FILE", default=None, help="write the figures; - prints them")
    options = parser.parse_args()
    on = machine()
    try:
        with tempfile.TemporaryDirectory(prefix="turnup-drift-") as folder:
            Path(folder).chmod(0o755)
            with real() if options.real else virtual(Path(folder)) as (house, element, port):
                figures = measure(house, element, options.services, port)
    except RealLabError as reason:
        sys.stderr.write(f"{reason}\n")
        sys.exit(2)
    report("drift", figures, on, options.json)
    sys.exit(0 if figures["ok"] else 1)


if __name__ == "__main__":
    main()
