"""The SQL of inventory. Functions take the connection of the unit or snapshot they run in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from turnup.contracts.inventory import (
    AttachmentView,
    ElementView,
    LinkView,
    PortView,
    Reservation,
    SiteView,
)
from turnup.kernel.ids import ElementId, LinkId, PortId, ServiceId, SiteId, derived_id
from turnup.oss.inventory import tables
from turnup.oss.inventory.model import LINE_ROLES, ElementDoc, HoldingStatus, LinkDoc, PoolDoc, SiteDoc

# --- the network -----------------------------------------------------------------------------------------


def upsert_site(connection: Connection, doc: SiteDoc) -> bool:
    values = {
        "code": doc.code,
        "name": doc.name,
        "latitude": doc.latitude,
        "longitude": doc.longitude,
        "reach_km": doc.reach_km,
    }
    return _upsert(connection, tables.site, {"site_id": derived_id("site", doc.code)}, values)


def upsert_element(connection: Connection, doc: ElementDoc) -> bool:
    values = {
        "code": doc.code,
        "role": doc.role,
        "site_id": derived_id("site", doc.site),
        "driver": doc.driver,
        "management": doc.management,
        "status": "in_service",
    }
    element_id = derived_id("element", doc.code)
    changed = _upsert(connection, tables.element, {"element_id": element_id}, values)
    for port in doc.ports:
        port_id = derived_id("port", doc.code, port.name)
        changed |= _upsert(
            connection,
            tables.port,
            {"port_id": port_id},
            {
                "element_id": element_id,
                "name": port.name,
                "kind": port.kind,
                "capacity": port.capacity,
                "first_vlan": port.first_vlan,
            },
        )
        if doc.role in LINE_ROLES and port.kind != "uplink":
            _ensure_lines(connection, port_id, port.capacity, port.first_vlan)
    return changed


def _ensure_lines(connection: Connection, port_id: UUID, capacity: int, first_vlan: int) -> None:
    connection.execute(
        text("""INSERT INTO inventory.line (port_id, n, vlan)
                SELECT :port_id, n, :first_vlan + n FROM generate_series(0, :capacity - 1) n
                ON CONFLICT DO NOTHING"""),
        {"port_id": port_id, "capacity": capacity, "first_vlan": first_vlan},
    )


def upsert_link(connection: Connection, doc: LinkDoc) -> bool:
    ends = (f"{doc.a_element}/{doc.a_port}", f"{doc.b_element}/{doc.b_port}")
    return _upsert(
        connection,
        tables.link,
        {"link_id": derived_id("link", *ends)},
        {
            "a_port_id": derived_id("port", doc.a_element, doc.a_port),
            "b_port_id": derived_id("port", doc.b_element, doc.b_port),
        },
    )


def upsert_pool(connection: Connection, doc: PoolDoc) -> bool:
    return _upsert(
        connection,
        tables.pool,
        {"pool_id": derived_id("pool", doc.code)},
        {
            "code": doc.code,
            "kind": doc.kind,
            "prefixes": [str(prefix) for prefix in doc.prefixes],
            "prefix_length": doc.prefix_length,
            "reserved": sorted(doc.reserved),
        },
    )


def _upsert(connection: Connection, table: Any, key: Mapping[str, UUID], values: Mapping[str, Any]) -> bool:
    """Insert or update; True when anything is different from before."""
    statement = insert(table).values(**key, **values)
    different = or_(*(table.c[name].is_distinct_from(statement.excluded[name]) for name in values))
    result = connection.execute(
        statement.on_conflict_do_update(index_elements=list(key), set_=dict(values), where=different),
        execution_options={"preserve_rowcount": True},  # else an INSERT's count is -1, which is true
    )
    return bool(result.rowcount)


# --- reading ---------------------------------------------------------------------------------------------


def sites(connection: Connection) -> list[tuple[SiteView, Decimal]]:
    rows = connection.execute(select(tables.site).order_by(tables.site.c.code))
    return [
        (
            SiteView(
                id=SiteId(row.site_id),
                code=row.code,
                name=row.name,
                latitude=row.latitude,
                longitude=row.longitude,
            ),
            row.reach_km,
        )
        for row in rows
    ]


def elements(connection: Connection, **where: object) -> list[ElementView]:
    statement = select(tables.element).order_by(tables.element.c.code)
    for name, value in where.items():
        statement = statement.where(tables.element.c[name] == value)
    return [
        ElementView(
            id=ElementId(row.element_id),
            code=row.code,
            role=row.role,
            site_id=SiteId(row.site_id),
            driver=row.driver,
            management=row.management,
            status=row.status,
        )
        for row in connection.execute(statement)
    ]


def ports(connection: Connection, element_id: ElementId) -> list[PortView]:
    rows = connection.execute(
        select(tables.port).where(tables.port.c.element_id == element_id).order_by(tables.port.c.name)
    )
    return [
        PortView(
            id=PortId(row.port_id),
            element_id=ElementId(row.element_id),
            name=row.name,
            kind=row.kind,
            capacity=row.capacity,
        )
        for row in rows
    ]


def single_lines(connection: Connection) -> set[tuple[ElementId, str]]:
    """Ports that end one subscriber's line."""
    port, element = tables.port.c, tables.element.c
    found = connection.execute(
        select(port.element_id, port.name)
        .join(tables.element, element.element_id == port.element_id)
        .where(port.capacity == 1, port.kind != "uplink", element.role.in_(LINE_ROLES))
    )
    return {(ElementId(element_id), name) for element_id, name in found}


def links(connection: Connection) -> list[LinkView]:
    rows = connection.execute(
        text("""SELECT l.link_id, a.element_id AS a_element, a.name AS a_port,
                       b.element_id AS b_element, b.name AS b_port
                FROM inventory.link l JOIN inventory.port a ON a.port_id = l.a_port_id
                JOIN inventory.port b ON b.port_id = l.b_port_id""")
    )
    return [
        LinkView(
            id=LinkId(row.link_id),
            a_element=ElementId(row.a_element),
            a_port=row.a_port,
            b_element=ElementId(row.b_element),
            b_port=row.b_port,
        )
        for row in rows
    ]


def pool_rows(connection: Connection) -> list[Any]:
    """Every pool with the number of its values in use: code, kind, prefixes, prefix_length, used."""
    return list(
        connection.execute(
            text("""SELECT p.code, p.kind, p.prefixes, p.prefix_length, count(s.service_id) AS used
                FROM inventory.pool p
                LEFT JOIN inventory.slot s ON s.pool_id = p.pool_id AND s.service_id IS NOT NULL
                GROUP BY p.pool_id ORDER BY p.code""")
        )
    )


def free_lines(connection: Connection, site_code: str | None) -> int:
    return (
        connection.scalar(
            text("""SELECT count(*) FROM inventory.line l
                    JOIN inventory.port p USING (port_id) JOIN inventory.element e USING (element_id)
                    JOIN inventory.site s USING (site_id)
                    WHERE l.service_id IS NULL AND (CAST(:site AS text) IS NULL OR s.code = :site)"""),
            {"site": site_code},
        )
        or 0
    )


def holding(connection: Connection, service_id: ServiceId, *, lock: bool = False) -> Reservation | None:
    statement = select(tables.holding).where(tables.holding.c.service_id == service_id)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _reservation(row)


def holdings(connection: Connection, service_ids: Sequence[ServiceId] | None) -> dict[ServiceId, Reservation]:
    statement = select(tables.holding)
    if service_ids is not None:
        statement = statement.where(tables.holding.c.service_id.in_(service_ids))
    return {ServiceId(row.service_id): _reservation(row) for row in connection.execute(statement)}


def _reservation(row: Any) -> Reservation:
    roles = {"access": row.access_element_id, "bng": row.bng_element_id, **row.servers}
    return Reservation(
        service_id=ServiceId(row.service_id),
        resources=row.resources,
        elements={role: ElementId(UUID(str(each))) for role, each in roles.items() if each is not None},
        status=row.status,
    )


def attachment(connection: Connection, service_id: ServiceId) -> AttachmentView | None:
    row = connection.execute(
        select(tables.holding).where(
            tables.holding.c.service_id == service_id, tables.holding.c.circuit_id.is_not(None)
        )
    ).first()
    if row is None:
        return None
    _, _, port_name = row.resources["access_port"].partition("/")
    return AttachmentView(
        service_id=ServiceId(row.service_id),
        access_element=ElementId(row.access_element_id),
        port=port_name,
        vlan=int(row.resources["vlan"]),
        ont_serial=row.ont_serial,
        bng_element=ElementId(row.bng_element_id),
        circuit_id=row.circuit_id,
    )


def services_on(
    connection: Connection, access: Sequence[ElementId], port_prefix: str | None = None
) -> list[ServiceId]:
    """Services held on these access elements; `port_prefix` (``olt1/pon-0/1/3``) narrows to one port."""
    statement = (
        select(tables.holding.c.service_id)
        .where(tables.holding.c.access_element_id.in_(access), tables.holding.c.status != "released")
        .order_by(tables.holding.c.service_id)
    )
    if port_prefix is not None:
        statement = statement.where(tables.holding.c.resources["access_port"].astext == port_prefix)
    return [ServiceId(row[0]) for row in connection.execute(statement)]


def service_by_circuit(connection: Connection, circuit_id: str) -> ServiceId | None:
    found = connection.scalar(
        select(tables.holding.c.service_id).where(
            tables.holding.c.circuit_id == circuit_id, tables.holding.c.status != "released"
        )
    )
    return None if found is None else ServiceId(found)


def services_holding(connection: Connection, value: str) -> list[ServiceId]:
    """By ONT serial, circuit or a pool's value; each by its own index."""
    found = connection.scalars(
        text("""SELECT service_id FROM inventory.holding
                WHERE ont_serial = :value AND ont_serial IS NOT NULL AND status <> 'released'
                UNION SELECT service_id FROM inventory.holding
                WHERE circuit_id = :value AND circuit_id IS NOT NULL AND status <> 'released'
                UNION SELECT service_id FROM inventory.slot
                WHERE value = :value AND service_id IS NOT NULL"""),
        {"value": value},
    )
    return [ServiceId(service_id) for service_id in found]


# --- allocation ------------------------------------------------------------------------------------------


def lock_service(connection: Connection, service_id: ServiceId) -> None:
    """Two reservations of one service at once would each take a set: only one at a time may try."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 715))"), {"key": str(service_id)}
    )


def take_line(connection: Connection, service_id: ServiceId, site_code: str) -> Any | None:
    """Any free subscriber position at the site, the emptiest ports first; None: all taken.

    Row: element_id, element, port, vlan."""
    return connection.execute(
        text("""
            WITH free AS (
                SELECT l.port_id, l.n FROM inventory.line l
                JOIN inventory.port p ON p.port_id = l.port_id
                JOIN inventory.element e ON e.element_id = p.element_id AND e.status = 'in_service'
                JOIN inventory.site s ON s.site_id = e.site_id AND s.code = :site
                WHERE l.service_id IS NULL ORDER BY l.n, l.port_id
                LIMIT 1 FOR UPDATE OF l SKIP LOCKED)
            UPDATE inventory.line l SET service_id = :service_id
            FROM free, inventory.port p, inventory.element e
            WHERE l.port_id = free.port_id AND l.n = free.n AND p.port_id = l.port_id
              AND e.element_id = p.element_id
            RETURNING e.element_id, e.code AS element, p.name AS port, l.vlan"""),
        {"site": site_code, "service_id": service_id},
    ).first()


def take_line_at(
    connection: Connection, service_id: ServiceId, element: str, port: str, vlan: int | None
) -> Any | None:
    """The wanted position (import of a running service), or any on that port when `vlan` is None."""
    return connection.execute(
        text("""
            WITH free AS (
                SELECT l.port_id, l.n FROM inventory.line l
                JOIN inventory.port p ON p.port_id = l.port_id AND p.name = :port
                JOIN inventory.element e ON e.element_id = p.element_id AND e.code = :element
                WHERE l.service_id IS NULL AND (CAST(:vlan AS int) IS NULL OR l.vlan = :vlan)
                ORDER BY l.n LIMIT 1 FOR UPDATE OF l SKIP LOCKED)
            UPDATE inventory.line l SET service_id = :service_id
            FROM free, inventory.port p, inventory.element e
            WHERE l.port_id = free.port_id AND l.n = free.n AND p.port_id = l.port_id
              AND e.element_id = p.element_id
            RETURNING e.element_id, e.code AS element, p.name AS port, l.vlan"""),
        {"element": element, "port": port, "vlan": vlan, "service_id": service_id},
    ).first()


def element_site(connection: Connection, element_id: UUID) -> UUID:
    """The site an element stands at."""
    statement = select(tables.element.c.site_id).where(tables.element.c.element_id == element_id)
    found: UUID = connection.scalars(statement).one()
    return found


def bng_of(connection: Connection, access_element: UUID) -> Any | None:
    """The BNG of the element a line ends on: itself where it is one, else the first by name that a link
    connects it to. Row: element_id, code."""
    return connection.execute(
        text("""
            SELECT element_id, code FROM inventory.element WHERE element_id = :access AND role = 'bng'
            UNION ALL
            (SELECT e.element_id, e.code FROM inventory.link l
            JOIN inventory.port a ON a.port_id = l.a_port_id JOIN inventory.port b ON b.port_id = l.b_port_id
            JOIN inventory.element e
              ON e.element_id = CASE WHEN a.element_id = :access THEN b.element_id ELSE a.element_id END
            WHERE :access IN (a.element_id, b.element_id) AND e.role = 'bng' ORDER BY e.code LIMIT 1)
            LIMIT 1"""),
        {"access": access_element},
    ).first()


def pool_by_code(connection: Connection, code: str, *, lock: bool = False) -> Any | None:
    statement = select(tables.pool).where(tables.pool.c.code == code)
    return connection.execute(statement.with_for_update() if lock else statement).first()


def take_slot(connection: Connection, pool_id: UUID, service_id: ServiceId) -> str | None:
    """The lowest free value of the pool that nobody else is taking right now."""
    taken: str | None = connection.scalar(
        text("""
            UPDATE inventory.slot SET service_id = :service_id
            WHERE (pool_id, n) = (
                SELECT pool_id, n FROM inventory.slot WHERE pool_id = :pool_id AND service_id IS NULL
                ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING value"""),
        {"pool_id": pool_id, "service_id": service_id},
    )
    return taken


def take_slot_of(connection: Connection, pool_id: UUID, service_id: ServiceId, value: str) -> bool:
    """The wanted value, if it is free."""
    return bool(
        connection.execute(
            update(tables.slot)
            .where(
                tables.slot.c.pool_id == pool_id,
                tables.slot.c.value == value,
                tables.slot.c.service_id.is_(None),
            )
            .values(service_id=service_id)
        ).rowcount
    )


def slot_of(connection: Connection, pool_id: UUID, service_id: ServiceId) -> str | None:
    """The value of this pool that the service has taken, used or not."""
    found: str | None = connection.scalar(
        select(tables.slot.c.value).where(
            tables.slot.c.pool_id == pool_id, tables.slot.c.service_id == service_id
        )
    )
    return found


def pool_of(connection: Connection, value: str) -> Any | None:
    return connection.execute(
        select(tables.pool).join(tables.slot).where(tables.slot.c.value == value)
    ).first()


def add_slot(connection: Connection, pool_id: UUID, n: int, value: str) -> None:
    """Make one position into a slot, ahead of those before it."""
    connection.execute(insert(tables.slot).values(pool_id=pool_id, n=n, value=value).on_conflict_do_nothing())


def holds_from(connection: Connection, pool_id: UUID, service_id: ServiceId, value: str) -> bool:
    """Whether the service's value comes from this pool."""
    return (
        connection.scalar(
            select(tables.slot.c.n).where(
                tables.slot.c.pool_id == pool_id,
                tables.slot.c.service_id == service_id,
                tables.slot.c.value == value,
            )
        )
        is not None
    )


def add_slots(
    connection: Connection, pool_id: UUID, values: Sequence[tuple[int, str]], materialised: int
) -> None:
    """Make positions of a pool into slots; the caller holds the pool's lock."""
    if values:
        connection.execute(
            insert(tables.slot).on_conflict_do_nothing(),
            [{"pool_id": pool_id, "n": n, "value": value} for n, value in values],
        )
    connection.execute(
        update(tables.pool).where(tables.pool.c.pool_id == pool_id).values(materialised=materialised)
    )


def save_holding(
    connection: Connection,
    service_id: ServiceId,
    *,
    status: HoldingStatus,
    resources: Mapping[str, str],
    elements_by_role: Mapping[str, ElementId],
    now: datetime,
) -> None:
    values = {
        "status": status.value,
        "access_element_id": elements_by_role.get("access"),
        "bng_element_id": elements_by_role.get("bng"),
        "servers": {key: str(each) for key, each in elements_by_role.items() if key not in ("access", "bng")},
        "circuit_id": resources.get("circuit_id"),
        "ont_serial": resources.get("ont_serial"),
        "resources": dict(resources),
        "changed_at": now,
    }
    statement = insert(tables.holding).values(service_id=service_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["service_id"], set_=values))


def set_status(connection: Connection, service_id: ServiceId, status: HoldingStatus, now: datetime) -> None:
    connection.execute(
        update(tables.holding)
        .where(tables.holding.c.service_id == service_id)
        .values(status=status.value, changed_at=now)
    )


def give_back_line(connection: Connection, service_id: ServiceId) -> None:
    connection.execute(
        update(tables.line).where(tables.line.c.service_id == service_id).values(service_id=None)
    )


def give_back_surplus(connection: Connection, service_id: ServiceId, keep: Sequence[str]) -> None:
    """Free every value the service holds but these."""
    connection.execute(
        update(tables.slot)
        .where(tables.slot.c.service_id == service_id, tables.slot.c.value.not_in(keep))
        .values(service_id=None)
    )


def give_back_slots(connection: Connection, service_id: ServiceId, values: Sequence[str]) -> None:
    connection.execute(
        update(tables.slot)
        .where(tables.slot.c.service_id == service_id, tables.slot.c.value.in_(values))
        .values(service_id=None)
    )
