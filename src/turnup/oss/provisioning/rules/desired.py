"""Verbs of provisioning, pure: what each element should hold for a service, and what follows from a proof."""

from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from turnup.contracts.catalog import RfsSpec
from turnup.contracts.configuration import Fragment
from turnup.contracts.inventory import role_of
from turnup.contracts.provisioning import (
    Admission,
    LiveSession,
    Management,
    Realisation,
    ServiceAccepted,
    ServiceCeased,
    ServiceChanged,
    ServiceConfigured,
    ServiceEvent,
    ServiceFirstOnline,
    ServiceResumed,
    ServiceState,
    ServiceSuspended,
)
from turnup.kernel.errors import InvalidInput, NotFound
from turnup.kernel.ids import ElementId
from turnup.oss.provisioning.model import Service

FRAGMENT_KINDS = {
    "access": "access_service",
    "bng": "subscriber",
    "dhcp": "dhcp_subscriber",
    "aaa": "aaa_subscriber",
    "router": "route",
}
_AAA_STATE = {Admission.FULL: "active", Admission.WALLED: "walled", Admission.NONE: "disabled"}


def fragments(service: Service) -> dict[str, Fragment]:
    """What the element of each role should hold for this service; nothing once it is ceased.

    An access element gets its fragment as soon as there is a port, serial or not: the ONT may arrive last.
    """
    if service.admission is Admission.NONE:
        return {}
    return {rfs.element_role: _fragment(service, rfs) for rfs in service.spec.rfs}


def fragments_by_element(service: Service) -> dict[ElementId, Fragment]:
    """The same by element: every element of a role holds the role's fragment. Raises NotFound naming a role
    without any element."""
    wanted = fragments(service)
    missing = sorted(set(wanted) - {role_of(key) for key in service.elements})
    if missing:
        raise NotFound(
            f"no element for role {', '.join(missing)}",
            field="elements",
            remedy="add one to the network document and reserve again",
        )
    return {
        element: wanted[role_of(key)] for key, element in service.elements.items() if role_of(key) in wanted
    }


def _fragment(service: Service, rfs: RfsSpec) -> Fragment:
    attributes = {
        name: value
        for name, source in rfs.attributes.items()
        if (value := _resolve(service, rfs, name, source)) is not None
    }
    if rfs.element_role == "access" and "port" in attributes:
        attributes["port"] = attributes["port"].partition("/")[2]
    if rfs.element_role in ("bng", "dhcp"):
        attributes["walled"] = "yes" if service.admission is Admission.WALLED else "no"
    if rfs.element_role == "aaa":
        attributes["state"] = _AAA_STATE[service.admission]
        attributes["secret"] = service.secret_sealed
    return Fragment(
        service_id=service.id,
        kind=FRAGMENT_KINDS[rfs.element_role],
        attributes=attributes,
        generation=service.generation,
    )


def _resolve(service: Service, rfs: RfsSpec, name: str, source: str) -> str | None:
    """`char:NAME`, `res:KIND` or `const:VALUE`; None where a resource is not there (yet)."""
    origin, _, key = source.partition(":")
    if origin == "const":
        return key
    if origin == "res":
        return service.resources.get(key)
    if origin == "char":
        if key == "login":
            return service.login
        if key not in service.characteristics:
            raise InvalidInput(
                f"the service has no characteristic {key!r}",
                field=f"service.{service.spec.code}.rfs.{rfs.name}.attributes.{name}",
                remedy="give the offering this characteristic with a default",
            )
        return service.characteristics[key]
    raise InvalidInput(
        f"{source!r} is not a source",
        field=f"service.{service.spec.code}.rfs.{rfs.name}.attributes.{name}",
        remedy="write char:NAME, res:KIND or const:VALUE",
    )


def awaits_equipment(service: Service) -> bool:
    """Configured, but the ONT's serial is not known yet."""
    wants_serial = any(
        source == "res:ont_serial" for rfs in service.spec.rfs for source in rfs.attributes.values()
    )
    return wants_serial and "ont_serial" not in service.resources


def after_realised(
    service: Service, realisation: Realisation, now: datetime
) -> tuple[Service, tuple[ServiceEvent, ...]]:
    """The service as the proof leaves it, and what happened. A failed or outdated proof moves nothing."""
    if not realisation.ok or realisation.generation != service.generation:
        return service, ()
    facts = replace(
        service.facts,
        configuration_present=service.admission is not Admission.NONE,
        configuration_read_at=now,
    )
    proved = replace(service, verified_generation=realisation.generation, facts=facts)
    if service.verified_generation == realisation.generation:
        return proved, ()
    if service.admission is Admission.NONE:
        return replace(proved, state=ServiceState.CEASED), (_happened(ServiceCeased, service, now),)
    if service.admission is Admission.WALLED:
        event = _happened(ServiceSuspended, service, now, reason=service.reason or "")
        if service.state is ServiceState.SUSPENDED:
            return proved, ()
        return replace(proved, state=ServiceState.SUSPENDED), (event,)
    first = service.configured_at is None
    proved = replace(proved, configured_at=service.configured_at or now)
    proved = replace(proved, state=unsuspended_state(proved))
    if first:
        configured = _happened(
            ServiceConfigured,
            service,
            now,
            generation=realisation.generation,
            first=True,
            awaiting_equipment=awaits_equipment(service),
        )
        return proved, (configured,)
    if service.state is ServiceState.SUSPENDED:
        return proved, (_happened(ServiceResumed, service, now),)
    return proved, (_happened(ServiceChanged, service, now, generation=realisation.generation),)


E = TypeVar("E", bound=ServiceEvent)


def _happened(kind: type[E], service: Service, at: datetime, **facts: Any) -> E:
    return kind(
        service_id=service.id, product_id=service.product_id, account_id=service.account_id, at=at, **facts
    )


def unsuspended_state(service: Service) -> ServiceState:
    """The state of a configured service that may be used, from what has happened to it so far."""
    if service.accepted_at is not None:
        return ServiceState.ACCEPTED
    if service.first_online_at is not None:
        return ServiceState.ONLINE
    return ServiceState.AWAITING_EQUIPMENT if awaits_equipment(service) else ServiceState.CONFIGURED


def after_online(service: Service, at: datetime) -> tuple[Service, tuple[ServiceEvent, ...]]:
    """A session of this service started at `at` (the network's instant)."""
    facts = replace(service.facts, online=True, online_changed_at=at)
    service = replace(service, facts=facts)
    if service.first_online_at is not None or service.management is Management.OBSERVED:
        return service, ()
    service = replace(service, first_online_at=at)
    events: tuple[ServiceEvent, ...] = (_happened(ServiceFirstOnline, service, at),)
    if service.spec.acceptance == "on_first_online" and service.accepted_at is None:
        service = replace(service, accepted_at=at)
        events += (_happened(ServiceAccepted, service, at),)
    if service.state not in (ServiceState.SUSPENDED, ServiceState.CEASED):
        service = replace(service, state=unsuspended_state(service))
    return service, events


def live_session(service: Service) -> LiveSession | None:
    """What a live session of this service should be; None: there should be none."""
    aaa = fragments(service).get("aaa")
    if aaa is None or "down_kbps" not in aaa.attributes or "up_kbps" not in aaa.attributes:
        return None
    return LiveSession(
        down_kbps=int(aaa.attributes["down_kbps"]),
        up_kbps=int(aaa.attributes["up_kbps"]),
        walled=service.admission is Admission.WALLED,
    )
