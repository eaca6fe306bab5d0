"""Use cases of inventory: load a network, reserve and release what services need, say who hangs where."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from turnup.contracts import crm
from turnup.contracts.inventory import (
    AttachmentView,
    ElementView,
    EquipmentIdentified,
    LinkView,
    NetworkChanged,
    PoolUsage,
    PortView,
    Reservation,
    ReserveRequest,
    ResourceNeed,
    SiteView,
)
from turnup.contracts.unit import Unit
from turnup.kernel.errors import Conflict, Exhausted, InvalidInput, NotFound
from turnup.kernel.ids import AddressId, ElementId, ServiceId, SiteId, derived_id
from turnup.oss.inventory import rules, store
from turnup.oss.inventory.model import LINE_ROLES, HoldingStatus
from turnup.runtime.component import Runtime

_SERVING_ROLES = ("dhcp", "aaa", "router")
_LINE_KINDS = ("access_port", "vlan")
_LINE_RESOURCES = ("access_port", "vlan", "circuit_id", "ont_serial")


class Inventory:
    """Implements contracts.inventory Reads and Commands."""

    def __init__(self, runtime: Runtime, customers: crm.Reads) -> None:
        self._runtime = runtime
        self._customers = customers

    # --- commands -----------------------------------------------------------------------------------------

    def load_network(self, unit: Unit, document: Mapping[str, object]) -> int:
        network = rules.parse_network(document)
        changes = sum(store.upsert_site(unit.connection, site) for site in network.sites)
        changes += sum(store.upsert_element(unit.connection, element) for element in network.elements)
        changes += sum(store.upsert_link(unit.connection, link) for link in network.links)
        changes += sum(store.upsert_pool(unit.connection, pool) for pool in network.pools)
        if changes:
            for site in network.sites:
                unit.emit(NetworkChanged(site_id=SiteId(derived_id("site", site.code))))
            unit.audit("inventory.network_loaded", "network", after={"changes": changes})
        return changes

    def reserve(self, unit: Unit, request: ReserveRequest) -> Reservation:
        store.lock_service(unit.connection, request.service_id)
        held = store.holding(unit.connection, request.service_id, lock=True)
        if held is not None and held.status == HoldingStatus.RELEASED:
            held = None
        resources = dict(held.resources) if held else {}
        elements = dict(held.elements) if held else {}
        wanted = request.wanted or {}
        if any(need.kind in _LINE_KINDS for need in request.needs) and "access_port" not in resources:
            self._take_line(unit, request, wanted, resources, elements)
        # in one order for everybody: who fills up a pool locks it until the end of the unit
        for need in sorted(request.needs, key=lambda need: need.pool or need.kind):
            if need.kind not in _LINE_KINDS:
                self._take_address(unit, request.service_id, need, wanted, resources)
        serial = request.ont_serial or wanted.get("ont_serial")
        if serial:
            resources["ont_serial"] = serial
        status = HoldingStatus(held.status) if held else HoldingStatus.RESERVED
        store.save_holding(
            unit.connection,
            request.service_id,
            status=status,
            resources=resources,
            elements_by_role=elements,
            now=unit.now,
        )
        _audit(unit, "reserved", request.service_id, held.resources if held else {}, resources)
        return Reservation(
            service_id=request.service_id, resources=resources, elements=elements, status=status
        )

    def assign(self, unit: Unit, service_id: ServiceId) -> None:
        held = self._held(unit, service_id)
        if held.status == HoldingStatus.RESERVED:
            store.set_status(unit.connection, service_id, HoldingStatus.ASSIGNED, unit.now)
            _audit(unit, "assigned", service_id, held.resources, held.resources)
        store.give_back_surplus(unit.connection, service_id, list(held.resources.values()))

    def regain(self, unit: Unit, service_id: ServiceId, resources: Mapping[str, str]) -> Reservation:
        held = self._held(unit, service_id)
        known = {kind: held.resources[kind] for kind in _LINE_RESOURCES if kind in held.resources}
        addresses = {kind: value for kind, value in resources.items() if kind not in _LINE_RESOURCES}
        former = {
            kind: self._regain_address(unit, service_id, kind, value)
            for kind, value in sorted(addresses.items())
        }
        back = replace(held, resources={**known, **resources, **former})
        self._save(unit, back)
        _audit(unit, "regained", service_id, held.resources, back.resources)
        return back

    def _regain_address(self, unit: Unit, service_id: ServiceId, kind: str, value: str) -> str:
        """The former value, or another of its pool: it was free for a while, and may be somebody else's."""
        pool = store.pool_of(unit.connection, value)
        if pool is None:
            raise Conflict(
                f"no pool has {value} any more", field=kind, remedy="put its prefix back into the document"
            )
        kept = store.slot_of(unit.connection, pool.pool_id, service_id)
        if kept is not None:
            return kept
        if store.take_slot_of(unit.connection, pool.pool_id, service_id, value):
            return value
        return self._take_any(unit, pool, service_id)

    def revert(self, unit: Unit, service_id: ServiceId, resources: Mapping[str, str]) -> None:
        back = self.regain(unit, service_id, resources)
        store.give_back_surplus(unit.connection, service_id, list(back.resources.values()))

    def release(self, unit: Unit, service_id: ServiceId, kinds: Sequence[str] | None = None) -> None:
        store.lock_service(unit.connection, service_id)
        held = store.holding(unit.connection, service_id, lock=True)
        if held is None or held.status == HoldingStatus.RELEASED:
            return
        going = list(held.resources) if kinds is None else [kind for kind in kinds if kind in held.resources]
        addresses = [held.resources[kind] for kind in going if kind not in _LINE_RESOURCES]
        if kinds is None:
            store.give_back_surplus(unit.connection, service_id, [])
        elif addresses:
            store.give_back_slots(unit.connection, service_id, addresses)
        if kinds is None or "access_port" in going:
            store.give_back_line(unit.connection, service_id)
            going = list({*going, *_LINE_RESOURCES})
        staying = {kind: value for kind, value in held.resources.items() if kind not in going}
        gone = kinds is None or not staying
        store.save_holding(
            unit.connection,
            service_id,
            status=HoldingStatus.RELEASED if gone else HoldingStatus(held.status),
            resources=staying,
            elements_by_role={} if gone else held.elements,
            now=unit.now,
        )
        _audit(unit, "released", service_id, held.resources, staying)

    def set_ont_serial(self, unit: Unit, service_id: ServiceId, serial: str) -> None:
        held = self._held(unit, service_id)
        known = held.resources.get("ont_serial")
        if known == serial:
            return
        store.save_holding(
            unit.connection,
            service_id,
            status=HoldingStatus(held.status),
            resources={**held.resources, "ont_serial": serial},
            elements_by_role=held.elements,
            now=unit.now,
        )
        unit.audit("inventory.ont_identified", service_id, before=known, after=serial)
        unit.emit(EquipmentIdentified(service_id=service_id, ont_serial=serial, at=unit.now))

    @staticmethod
    def _save(unit: Unit, held: Reservation) -> None:
        store.save_holding(
            unit.connection,
            held.service_id,
            status=HoldingStatus(held.status),
            resources=held.resources,
            elements_by_role=held.elements,
            now=unit.now,
        )

    def _held(self, unit: Unit, service_id: ServiceId) -> Reservation:
        held = store.holding(unit.connection, service_id, lock=True)
        if held is None or held.status == HoldingStatus.RELEASED:
            raise NotFound("the service holds no resources", field="service_id", remedy="reserve first")
        return held

    def _take_line(
        self,
        unit: Unit,
        request: ReserveRequest,
        wanted: Mapping[str, str],
        resources: dict[str, str],
        elements: dict[str, ElementId],
    ) -> None:
        if "access_port" in wanted:
            element, _, port = wanted["access_port"].partition("/")
            vlan = int(wanted["vlan"]) if "vlan" in wanted else None
            line = store.take_line_at(unit.connection, request.service_id, element, port, vlan)
            if line is None:
                raise Conflict(
                    f"{wanted['access_port']} vlan {vlan or 'any'} does not exist or is in use",
                    field="access_port",
                    remedy="check the port in the network document, or which service holds it",
                )
        else:
            site = self._serving_site(unit, request)
            line = store.take_line(unit.connection, request.service_id, site)
            if line is None:
                raise Exhausted(
                    f"no free subscriber port at site {site}",
                    field="site",
                    remedy="add ports to the network document, or release ceased services",
                )
        bng = store.bng_of(unit.connection, line.element_id)
        if bng is None:
            raise InvalidInput(
                f"{line.element} has no link to a BNG",
                field="links",
                remedy="add the uplink to the network document",
            )
        resources["access_port"] = f"{line.element}/{line.port}"
        resources["vlan"] = str(line.vlan)
        resources["circuit_id"] = f"{line.element}/{line.port}/{line.vlan}"
        elements["access"] = ElementId(line.element_id)
        elements["bng"] = ElementId(bng.element_id)
        at = store.element_site(unit.connection, line.element_id)
        for role in _SERVING_ROLES:
            for n, server in enumerate(rules.serving(at, store.elements(unit.connection, role=role))):
                elements[role if n == 0 else f"{role}:{server.code}"] = server.id

    def _serving_site(self, unit: Unit, request: ReserveRequest) -> str:
        if request.site is not None:
            return request.site
        sites = store.sites(unit.connection)
        address = self._customers.address(request.address_id) if request.address_id else None
        if address is not None and address.latitude is not None and address.longitude is not None:
            site = rules.nearest_site((address.latitude, address.longitude), sites)
            if site is None:
                raise InvalidInput(
                    "the address is outside the reach of every site",
                    field="address",
                    remedy="raise the site's reach_km if there is fibre, or decline the sale",
                )
            return site.code
        if len(sites) == 1:
            return sites[0][0].code
        raise InvalidInput(
            "cannot tell which site serves this address: it has no coordinates",
            field="address",
            remedy="add latitude and longitude to the address, or name the site in the order",
        )

    def _take_address(
        self,
        unit: Unit,
        service_id: ServiceId,
        need: ResourceNeed,
        wanted: Mapping[str, str],
        resources: dict[str, str],
    ) -> None:
        pool = store.pool_by_code(unit.connection, need.pool or need.kind)
        if pool is None:
            raise InvalidInput(
                f"no pool {need.pool or need.kind!r}",
                field="pools",
                remedy="add it to the network document",
            )
        present = resources.get(need.kind)
        # A present value from another pool stays taken until `assign` or `revert`: the network still uses it.
        if present is not None and store.holds_from(unit.connection, pool.pool_id, service_id, present):
            return
        kept = store.slot_of(unit.connection, pool.pool_id, service_id)
        if kept is not None:  # changed away from this pool and back again, before either was assigned
            resources[need.kind] = kept
            return
        if need.kind in wanted:
            resources[need.kind] = self._take_wanted(unit, pool, service_id, need.kind, wanted[need.kind])
            return
        resources[need.kind] = self._take_any(unit, pool, service_id)

    def _take_any(self, unit: Unit, pool: Any, service_id: ServiceId) -> str:
        value = store.take_slot(unit.connection, pool.pool_id, service_id)
        while value is None:
            locked = store.pool_by_code(unit.connection, pool.code, lock=True)
            more = self._materialise(unit, locked)
            value = store.take_slot(unit.connection, pool.pool_id, service_id)
            if value is None and not more:
                raise Exhausted(
                    f"pool {pool.code} has no free value",
                    field=f"pools.{pool.code}",
                    remedy="add a prefix to the pool in the network document",
                )
        return value

    def _materialise(self, unit: Unit, pool: Any) -> bool:
        """Make the next positions of the (locked) pool allocatable; False at its end."""
        values, end = rules.next_values(
            rules.networks(pool.prefixes), pool.prefix_length, frozenset(pool.reserved), pool.materialised
        )
        if end == pool.materialised:
            return False
        store.add_slots(unit.connection, pool.pool_id, values, end)
        return True

    def _take_wanted(self, unit: Unit, pool: Any, service_id: ServiceId, kind: str, value: str) -> str:
        """A value that a running service already uses; it becomes a slot wherever in the pool it lies."""
        position = rules.pool_position(rules.networks(pool.prefixes), pool.prefix_length, value)
        if position is not None and value not in pool.reserved:
            store.add_slot(unit.connection, pool.pool_id, position, value)
            if store.take_slot_of(unit.connection, pool.pool_id, service_id, value):
                return value
        raise Conflict(
            f"{value} is not in pool {pool.code}, or another service holds it",
            field=kind,
            remedy="widen the pool, or find the other service by its address",
        )

    # --- reads --------------------------------------------------------------------------------------------

    def reservation(self, service_id: ServiceId) -> Reservation | None:
        with self._runtime.snapshot("inventory") as connection:
            return store.holding(connection, service_id)

    def reservations(self, service_ids: Sequence[ServiceId] | None = None) -> Mapping[ServiceId, Reservation]:
        with self._runtime.snapshot("inventory") as connection:
            return store.holdings(connection, service_ids)

    def attachment(self, service_id: ServiceId) -> AttachmentView | None:
        with self._runtime.snapshot("inventory") as connection:
            return store.attachment(connection, service_id)

    def element(self, element_id: ElementId) -> ElementView | None:
        return self._one_element(element_id=element_id)

    def element_by_code(self, code: str) -> ElementView | None:
        return self._one_element(code=code)

    def elements(self, role: str | None = None) -> Sequence[ElementView]:
        with self._runtime.snapshot("inventory") as connection:
            return store.elements(connection, **({"role": role} if role else {}))

    def sites(self) -> Sequence[SiteView]:
        with self._runtime.snapshot("inventory") as connection:
            return [site for site, _ in store.sites(connection)]

    def ports(self, element_id: ElementId) -> Sequence[PortView]:
        with self._runtime.snapshot("inventory") as connection:
            return store.ports(connection, element_id)

    def links(self) -> Sequence[LinkView]:
        with self._runtime.snapshot("inventory") as connection:
            return store.links(connection)

    def single_lines(self) -> Collection[tuple[ElementId, str]]:
        with self._runtime.snapshot("inventory") as connection:
            return store.single_lines(connection)

    def services_behind(self, element_id: ElementId, port: str | None = None) -> Sequence[ServiceId]:
        with self._runtime.snapshot("inventory") as connection:
            elements = {element.id: element for element in store.elements(connection)}
            failed = elements.get(element_id)
            if failed is None:
                return []
            if (
                port is not None
                and failed.role in LINE_ROLES
                and _is_access_port(connection, element_id, port)
            ):
                return store.services_on(connection, [element_id], f"{failed.code}/{port}")
            cut_off = rules.elements_cut_off(
                access=[element.id for element in elements.values() if element.role in LINE_ROLES],
                cores=[element.id for element in elements.values() if element.role == "bng"],
                links=store.links(connection),
                failed=element_id,
                failed_port=port,
            )
            return store.services_on(connection, sorted(cut_off))

    def services_holding(self, value: str) -> Sequence[ServiceId]:
        with self._runtime.snapshot("inventory") as connection:
            return store.services_holding(connection, value)

    def service_by_circuit(self, circuit_id: str) -> ServiceId | None:
        with self._runtime.snapshot("inventory") as connection:
            return store.service_by_circuit(connection, circuit_id)

    def pools(self) -> Sequence[PoolUsage]:
        with self._runtime.snapshot("inventory") as connection:
            rows = store.pool_rows(connection)
        return [
            PoolUsage(
                code=row.code,
                kind=row.kind,
                prefixes=tuple(row.prefixes),
                used=row.used,
                total=rules.pool_size(rules.networks(row.prefixes), row.prefix_length),
            )
            for row in rows
        ]

    def free_ports(self, site: str | None) -> int:
        with self._runtime.snapshot("inventory") as connection:
            return store.free_lines(connection, site)

    def serviceable(self, address_id: AddressId) -> str | None:
        """The code of the site that would serve this address, None if none does."""
        address = self._customers.address(address_id)
        if address is None or address.latitude is None or address.longitude is None:
            return None
        with self._runtime.snapshot("inventory") as connection:
            site = rules.nearest_site((address.latitude, address.longitude), store.sites(connection))
        return None if site is None else site.code

    def _one_element(self, **where: UUID | str) -> ElementView | None:
        with self._runtime.snapshot("inventory") as connection:
            found = store.elements(connection, **where)
        return found[0] if found else None


def _is_access_port(connection: Any, element_id: ElementId, port: str) -> bool:
    return any(known.name == port and known.kind != "uplink" for known in store.ports(connection, element_id))


def _audit(
    unit: Unit, what: str, service_id: ServiceId, before: Mapping[str, str], after: Mapping[str, str]
) -> None:
    """Kinds only: an address leads to a person, and the audit is not erased. What a repetition finds done
    already is no change."""
    if what == "assigned" or dict(before) != dict(after):
        unit.audit(f"inventory.{what}", service_id, before=sorted(before), after=sorted(after))
