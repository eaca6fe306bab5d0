"""The SQL of provisioning."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, func, insert, select, update

from turnup.contracts.catalog import ServiceSpec
from turnup.contracts.provisioning import Admission, Management, ServiceFacts, ServiceState
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ElementId, ProductId, ServiceId
from turnup.oss.provisioning import tables
from turnup.oss.provisioning.model import Service

_spec = TypeAdapter(ServiceSpec)
_elements = TypeAdapter(dict[str, ElementId])


def next_number(connection: Connection) -> str:
    return f"S-{connection.scalar(select(func.nextval('provisioning.service_number')))}"


def load(connection: Connection, service_id: ServiceId, *, lock: bool = False) -> Service | None:
    return _one(connection, tables.service.c.service_id == service_id, lock=lock)


def load_by(connection: Connection, **where: object) -> Service | None:
    (name, value) = next(iter(where.items()))
    return _one(connection, tables.service.c[name] == value, lock=False)


def _one(connection: Connection, condition: Any, *, lock: bool) -> Service | None:
    statement = select(tables.service).where(condition)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    return None if row is None else _service(row)


def load_many(connection: Connection, service_ids: Sequence[ServiceId] | None) -> list[Service]:
    statement = select(tables.service).order_by(tables.service.c.service_id)
    if service_ids is not None:
        statement = statement.where(tables.service.c.service_id.in_(service_ids))
    return [_service(row) for row in connection.execute(statement)]


def add(connection: Connection, service: Service, now: datetime) -> None:
    connection.execute(insert(tables.service).values(created_at=now, **_row(service)))


def save(connection: Connection, service: Service) -> None:
    connection.execute(
        update(tables.service).where(tables.service.c.service_id == service.id).values(**_row(service))
    )


def _service(row: Any) -> Service:
    speeds = None if row.speed_down_kbps is None else (row.speed_down_kbps, row.speed_up_kbps)
    return Service(
        id=ServiceId(row.service_id),
        number=row.number,
        product_id=ProductId(row.product_id),
        customer_id=CustomerId(row.customer_id),
        account_id=AccountId(row.account_id),
        address_id=None if row.address_id is None else AddressId(row.address_id),
        spec=_spec.validate_python(row.spec),
        state=ServiceState(row.state),
        management=Management(row.management),
        admission=Admission(row.admission),
        generation=row.generation,
        verified_generation=row.verified_generation,
        characteristics=row.characteristics,
        resources=row.resources,
        elements=_elements.validate_python(row.elements),
        login=row.login,
        secret_sealed=row.secret_sealed,
        facts=ServiceFacts(
            configuration_present=row.configuration_present,
            configuration_read_at=row.configuration_read_at,
            online=row.online,
            online_changed_at=row.online_changed_at,
            traffic_seen_at=row.traffic_seen_at,
            speeds_kbps=speeds,
        ),
        configured_at=row.configured_at,
        first_online_at=row.first_online_at,
        accepted_at=row.accepted_at,
        reason=row.reason,
    )


def _row(service: Service) -> Mapping[str, Any]:
    facts = service.facts
    return {
        "service_id": service.id,
        "number": service.number,
        "product_id": service.product_id,
        "customer_id": service.customer_id,
        "account_id": service.account_id,
        "address_id": service.address_id,
        "spec": _spec.dump_python(service.spec, mode="json"),
        "state": service.state.value,
        "management": service.management.value,
        "admission": service.admission.value,
        "generation": service.generation,
        "verified_generation": service.verified_generation,
        "characteristics": dict(service.characteristics),
        "resources": dict(service.resources),
        "elements": {role: str(element) for role, element in service.elements.items()},
        "login": service.login,
        "secret_sealed": service.secret_sealed,
        "reason": service.reason,
        "configured_at": service.configured_at,
        "first_online_at": service.first_online_at,
        "accepted_at": service.accepted_at,
        "configuration_present": facts.configuration_present,
        "configuration_read_at": facts.configuration_read_at,
        "online": facts.online,
        "online_changed_at": facts.online_changed_at,
        "traffic_seen_at": facts.traffic_seen_at,
        "speed_down_kbps": facts.speeds_kbps[0] if facts.speeds_kbps else None,
        "speed_up_kbps": facts.speeds_kbps[1] if facts.speeds_kbps else None,
    }


def sealed_secrets(connection: Connection) -> list[tuple[ServiceId, str]]:
    found = tables.service.c
    rows = connection.execute(select(found.service_id, found.secret_sealed).order_by(found.service_id))
    return [(ServiceId(row.service_id), row.secret_sealed) for row in rows]


def reseal_secret(connection: Connection, service_id: ServiceId, old: str, new: str) -> bool:
    """False where the secret has changed in the meantime."""
    found = tables.service.c
    done = connection.execute(
        update(tables.service)
        .where(found.service_id == service_id, found.secret_sealed == old)
        .values(secret_sealed=new)
    )
    return bool(done.rowcount)
