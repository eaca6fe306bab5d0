"""What the SNMP agent of a device shows: SNMPv2-MIB system, IF-MIB, and the ONTs' optical power.

A view is a sorted list of OIDs with a getter each. It is rebuilt only when ports or ONTs change; values are
read when asked for. Our own objects lie under 1.3.6.1.4.1.32473, the enterprise number kept for examples
(RFC 5612).
"""

from bisect import bisect_right
from collections.abc import Callable

from pysnmp.proto.api import v2c

from turnup.lab.device import VERSION, Device, Port
from turnup.lab.plant import Plant

Oid = tuple[int, ...]
Getter = Callable[[], object]

SYSTEM: Oid = (1, 3, 6, 1, 2, 1, 1)
IF_NUMBER: Oid = (1, 3, 6, 1, 2, 1, 2, 1, 0)
IF_ENTRY: Oid = (1, 3, 6, 1, 2, 1, 2, 2, 1)
IFX_ENTRY: Oid = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1)
ENTERPRISE: Oid = (1, 3, 6, 1, 4, 1, 32473)
ONT_ENTRY: Oid = (*ENTERPRISE, 20, 1, 1)
"""Columns: 1 serial, 2 rx power in 0.01 dBm, 3 state (1 up, 2 down), 4 name; index ifIndex.ontId."""
OBJECT_ID = {"bng": (*ENTERPRISE, 1, 1), "olt": (*ENTERPRISE, 1, 2)}

_GPON, _ETHERNET = 250, 6
_UP, _DOWN = 1, 2
_UINT32 = 2**32


class View:
    """The MIB of one device."""

    def __init__(self, device: Device, plant: Plant) -> None:
        self._device = device
        self._plant = plant
        self._fixed = self._system() | self._interfaces()
        self._onts: tuple[str, ...] = ()
        self._getters = self._fixed
        self._oids = sorted(self._fixed)

    def refresh(self) -> None:
        """Bring counters up to now and the ONT rows to what is plugged; call once per packet."""
        self._plant.settle()
        if self._device.spec.kind != "olt":
            return
        onts = tuple(cpe.spec.name for cpe in self._plant.onts(self._device.name))
        if onts != self._onts:
            self._onts = onts
            self._getters = self._fixed | self._ont_rows()
            self._oids = sorted(self._getters)

    def get(self, oid: Oid) -> object | None:
        """The value at exactly this OID, or None."""
        getter = self._getters.get(oid)
        return getter() if getter else None

    def after(self, oid: Oid) -> tuple[Oid, object] | None:
        """The first OID after this one with its value, or None at the end."""
        spot = bisect_right(self._oids, oid)
        if spot == len(self._oids):
            return None
        found = self._oids[spot]
        return found, self._getters[found]()

    def _system(self) -> dict[Oid, Getter]:
        device = self._device
        rows: list[Getter] = [
            lambda: v2c.OctetString(f"{VERSION} {device.spec.kind}"),
            lambda: v2c.ObjectIdentifier(OBJECT_ID[device.spec.kind]),
            lambda: v2c.TimeTicks(int((device.clock.elapsed() - device.booted_at) * 100) % _UINT32),
            lambda: v2c.OctetString("noc@example.net"),
            lambda: v2c.OctetString(device.name),
            lambda: v2c.OctetString(device.spec.location),
            lambda: v2c.Integer(72),
        ]
        return {(*SYSTEM, number, 0): getter for number, getter in enumerate(rows, start=1)}

    def _interfaces(self) -> dict[Oid, Getter]:
        table: dict[Oid, Getter] = {IF_NUMBER: lambda: v2c.Integer(len(self._device.ports))}
        for port in self._device.ports.values():
            for column, getter in self._if_columns(port).items():
                table[(*IF_ENTRY, column, port.index)] = getter
            for column, getter in self._ifx_columns(port).items():
                table[(*IFX_ENTRY, column, port.index)] = getter
        return table

    def _admin(self, port: Port) -> int:
        stanza = self._device.store.running.get("port", port.name)
        return _DOWN if stanza is not None and stanza.leaves.get("admin") == "down" else _UP

    def _if_columns(self, port: Port) -> dict[int, Getter]:
        return {
            1: lambda: v2c.Integer(port.index),
            2: lambda: v2c.OctetString(port.name),
            3: lambda: v2c.Integer(_GPON if port.name.startswith("pon") else _ETHERNET),
            4: lambda: v2c.Integer(1500),
            5: lambda: v2c.Gauge32(min(port.speed_mbps * 1_000_000, _UINT32 - 1)),
            7: lambda: v2c.Integer(self._admin(port)),
            8: lambda: v2c.Integer(_UP if port.oper_up else _DOWN),
            9: lambda: v2c.TimeTicks(max(0, int((port.changed_at - self._device.booted_at) * 100)) % _UINT32),
            10: lambda: v2c.Counter32(int(port.in_octets) % _UINT32),
            16: lambda: v2c.Counter32(int(port.out_octets) % _UINT32),
        }

    def _ifx_columns(self, port: Port) -> dict[int, Getter]:
        return {
            1: lambda: v2c.OctetString(port.name),
            6: lambda: v2c.Counter64(int(port.in_octets)),
            10: lambda: v2c.Counter64(int(port.out_octets)),
            15: lambda: v2c.Gauge32(port.speed_mbps),
            18: lambda: v2c.OctetString(self._alias(port)),
        }

    def _alias(self, port: Port) -> str:
        stanza = self._device.store.running.get("port", port.name)
        return stanza.leaves.get("description", "") if stanza else ""

    def _ont_rows(self) -> dict[Oid, Getter]:
        rows: dict[Oid, Getter] = {}
        seen: dict[str, int] = {}
        for cpe in self._plant.onts(self._device.name):
            seen[cpe.port] = seen.get(cpe.port, 0) + 1
            index = (self._device.ports[cpe.port].index, seen[cpe.port])
            rows[(*ONT_ENTRY, 1, *index)] = lambda cpe=cpe: v2c.OctetString(cpe.spec.serial)  # type: ignore[misc]
            rows[(*ONT_ENTRY, 2, *index)] = lambda cpe=cpe: v2c.Integer(cpe.rx_centi_dbm())  # type: ignore[misc]
            rows[(*ONT_ENTRY, 3, *index)] = lambda cpe=cpe: v2c.Integer(  # type: ignore[misc]
                _UP if self._device.ports[cpe.port].oper_up else _DOWN
            )
            rows[(*ONT_ENTRY, 4, *index)] = lambda cpe=cpe: v2c.OctetString(cpe.spec.name)  # type: ignore[misc]
        return rows
