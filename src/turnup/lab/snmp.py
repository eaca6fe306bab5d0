"""SNMP v2c agent (RFC 3416): GET, GETNEXT, GETBULK over UDP. Read only; packets by pysnmp's codec."""

import asyncio
import hmac
import socket
from typing import Any, cast

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error
from pysnmp.proto.api import v2c

from turnup.lab.device import Device
from turnup.lab.mib import Oid, View
from turnup.lab.plant import Plant

ANSWER_OCTETS_MAX = 60_000
REPETITIONS_MAX = 200
_READ_ONLY = 17  # notWritable


class SnmpAgent(asyncio.DatagramProtocol):
    """Answers for one device; silent while it is dead, unreachable or asked with a wrong community."""

    def __init__(self, device: Device, plant: Plant) -> None:
        self._device = device
        self._community = device.spec.snmp.community.encode()
        self._view = View(device, plant)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if not self._device.reachable:
            return
        try:
            message, _rest = decoder.decode(data, asn1Spec=v2c.Message())
            version = int(v2c.apiMessage.get_version(message))
            community = bytes(v2c.apiMessage.get_community(message))
        except PyAsn1Error:
            return
        if version != 1 or not hmac.compare_digest(community, self._community):
            return
        self._view.refresh()
        self._transport.sendto(self._answer(message), addr)

    def _answer(self, message: object) -> bytes:
        request = v2c.apiMessage.get_pdu(message)
        answer = v2c.apiMessage.get_response(message)
        pdu = v2c.apiMessage.get_pdu(answer)
        if request.tagSet == v2c.GetRequestPDU.tagSet:
            binds = [(name, self._get(tuple(name))) for name, _ in v2c.apiPDU.get_varbinds(request)]
        elif request.tagSet == v2c.GetNextRequestPDU.tagSet:
            binds = [self._next(tuple(name)) for name, _ in v2c.apiPDU.get_varbinds(request)]
        elif request.tagSet == v2c.GetBulkRequestPDU.tagSet:
            binds = self._bulk(request)
        else:
            binds = v2c.apiPDU.get_varbinds(request)
            v2c.apiPDU.set_error_status(pdu, _READ_ONLY)
            v2c.apiPDU.set_error_index(pdu, 1)
        v2c.apiPDU.set_varbinds(pdu, binds)
        return bytes(encoder.encode(answer))

    def _get(self, oid: Oid) -> object:
        value = self._view.get(oid)
        return v2c.NoSuchInstance("") if value is None else value

    def _next(self, oid: Oid) -> tuple[Any, object]:
        found = self._view.after(oid)
        if found is None:
            return v2c.ObjectIdentifier(oid), v2c.EndOfMibView("")
        return v2c.ObjectIdentifier(found[0]), found[1]

    def _bulk(self, request: object) -> list[tuple[Any, object]]:
        names = [tuple(name) for name, _ in v2c.apiBulkPDU.get_varbinds(request)]
        single = min(int(v2c.apiBulkPDU.get_non_repeaters(request)), len(names))
        repetitions = min(int(v2c.apiBulkPDU.get_max_repetitions(request)), REPETITIONS_MAX)
        binds = [self._next(name) for name in names[:single]]
        row = names[single:]
        for _ in range(repetitions):
            if not row:
                break
            found = [self._next(name) for name in row]
            binds += found
            row = [tuple(name) for name, value in found if not isinstance(value, v2c.EndOfMibView)]
        return binds


async def serve_snmp(device: Device, plant: Plant, sock: socket.socket) -> None:
    """Listen on an already bound socket."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: SnmpAgent(device, plant), sock=sock)
