"""The catalog document: services (what an offering is made of) and offerings (what is sold).

currency: EUR
services:
  - code: internet
    name: Internet access
    resources: [{kind: vlan}, {kind: ipv4, pool: dynamic4}]
    rfs:
      - {name: access line, element: access, attributes: {vlan: res:vlan}}
offerings:
  - code: fibre-300-50
    name: Fibre 300/50
    service: internet
    characteristics: {down_kbps: 300000, static_ipv4: {type: boolean, default: false}}
    prices: [{code: monthly, name: Fibre 300/50, recurring: 33.53}]
"""

import re
from collections.abc import Mapping

from turnup.bss.catalog.model import OfferingDraft, PriceDraft
from turnup.bss.catalog.rules.reading import (
    Node,
    choice,
    code,
    decimal,
    entries,
    instant,
    known_entries,
    mapping,
    text,
    unique,
    whole,
)
from turnup.contracts.catalog import CharacteristicSpec, ResourceSpec, RfsSpec, ServiceSpec, TaskSpec
from turnup.kernel.errors import InvalidInput

_ELEMENT_ROLES = ("access", "bng", "dhcp", "aaa", "router")
_RESOURCE_KINDS = ("access_port", "vlan", "ipv4", "ipv6_wan", "ipv6_pd")
_GIVEN_CHARACTERISTICS = frozenset({"login"})
"""Characteristics every service has without being sold them."""
_GIVEN_RESOURCES = frozenset({"ont_serial", "circuit_id"})
"""Resources that come from the place a service is attached to, not from a pool."""
_PERIODS = {"month": 1, "quarter": 3, "half-year": 6, "year": 12}
_TYPES: Mapping[str, type] = {"string": str, "integer": int, "boolean": bool}
_BILLING_START = re.compile(r"acceptance|first_online|ready\+\d{1,3}")


def read_catalog(document: Mapping[str, object]) -> tuple[OfferingDraft, ...]:
    """The offerings of a document. Raises InvalidInput naming the path and the remedy."""
    known_entries(document, ("currency", "tax_category", "services", "offerings"), "")
    services = {}
    for path, node in entries(document, "services", ""):
        services[code(node, path)] = _service(node, path)
    unique((path, code(node, path)) for path, node in entries(document, "services", ""))
    offerings = entries(document, "offerings", "")
    if not offerings:
        raise InvalidInput(
            "the document sells nothing", field="offerings", remedy="list at least one offering"
        )
    unique((path, code(node, path)) for path, node in offerings)
    defaults = (text(document, "currency", "", "EUR"), text(document, "tax_category", "", "standard"))
    return tuple(_offering(node, path, services, *defaults) for path, node in offerings)


def _service(node: Node, path: str) -> ServiceSpec:
    known_entries(node, ("code", "name", "acceptance", "resources", "rfs"), path)
    resources = tuple(_resource(entry, where) for where, entry in entries(node, "resources", path))
    rfs = tuple(_rfs(entry, where, resources) for where, entry in entries(node, "rfs", path))
    if not rfs:
        raise InvalidInput(
            "configures nothing", field=f"{path}.rfs", remedy="list the resource-facing services"
        )
    return ServiceSpec(
        code=code(node, path),
        name=text(node, "name", path),
        rfs=rfs,
        resources=resources,
        acceptance=choice(node, "acceptance", path, ("on_first_online", "manual"), "on_first_online"),
    )


def _resource(node: Node, path: str) -> ResourceSpec:
    known_entries(node, ("kind", "pool", "prefix_length", "option"), path)
    kind = choice(node, "kind", path, _RESOURCE_KINDS, "")
    pool = text(node, "pool", path) if "pool" in node else None
    if kind.startswith("ipv") and pool is None:
        raise InvalidInput("an address comes from a pool", field=f"{path}.pool", remedy="name the pool")
    return ResourceSpec(
        kind=kind,
        pool=pool,
        prefix_length=whole(node, "prefix_length", path) if "prefix_length" in node else None,
        option=text(node, "option", path) if "option" in node else None,
    )


def _rfs(node: Node, path: str, resources: tuple[ResourceSpec, ...]) -> RfsSpec:
    known_entries(node, ("name", "element", "attributes"), path)
    attributes = {}
    kinds = {resource.kind for resource in resources} | _GIVEN_RESOURCES
    for name, source in mapping(node.get("attributes"), f"{path}.attributes").items():
        where = f"{path}.attributes.{name}"
        origin, _, what = str(source).partition(":")
        if origin not in {"char", "res", "const"} or not what:
            raise InvalidInput(
                f"{source!r} names no source", field=where, remedy="write char:NAME, res:KIND or const:VALUE"
            )
        if origin == "res" and what not in kinds:
            raise InvalidInput(
                f"the service has no resource {what}",
                field=where,
                remedy=f"known: {', '.join(sorted(kinds))}",
            )
        attributes[str(name)] = f"{origin}:{what}"
    return RfsSpec(
        name=text(node, "name", path),
        element_role=choice(node, "element", path, _ELEMENT_ROLES, ""),
        attributes=attributes,
    )


def _offering(
    node: Node, path: str, services: Mapping[str, ServiceSpec], currency: str, tax_category: str
) -> OfferingDraft:
    known_entries(
        node,
        ("code", "name", "description", "status", "valid_from", "service", "characteristics", "prices",
         "tasks", "billing_start", "credit_policy", "brand"),
        path,
    )  # fmt: skip
    service = services.get(text(node, "service", path))
    if service is None:
        raise InvalidInput(
            f"there is no service {node['service']!r}",
            field=f"{path}.service",
            remedy=f"name one of services: {', '.join(sorted(services)) or 'none is defined'}",
        )
    characteristics = _characteristics(node.get("characteristics", {}), f"{path}.characteristics")
    _check_sources(service, characteristics, path)
    prices = tuple(
        _price(entry, where, currency, tax_category, characteristics)
        for where, entry in entries(node, "prices", path)
    )
    unique((f"{path}.prices[{n}].code", price.code) for n, price in enumerate(prices))
    start = text(node, "billing_start", path, "acceptance")
    if not _BILLING_START.fullmatch(start):
        raise InvalidInput(
            f"{start!r} is not known",
            field=f"{path}.billing_start",
            remedy="write acceptance, first_online or ready+N (days)",
        )
    return OfferingDraft(
        code=code(node, path),
        name=text(node, "name", path),
        description=text(node, "description", path, ""),
        status=choice(node, "status", path, ("in_study", "active", "retired"), "active"),
        valid_from=instant(node, "valid_from", path),
        characteristics=characteristics,
        prices=prices,
        service=service,
        tasks=tuple(_task(entry, where) for where, entry in entries(node, "tasks", path)),
        billing_start=start,
        credit_policy=text(node, "credit_policy", path, "standard"),
        brand=text(node, "brand", path, "default"),
    )


def _characteristics(value: object, path: str) -> tuple[CharacteristicSpec, ...]:
    found = []
    for name, what in mapping(value, path).items():
        where = f"{path}.{name}"
        if isinstance(what, bool | int | str):
            kind = next(kind for kind, cls in _TYPES.items() if type(what) is cls)
            found.append(CharacteristicSpec(name=name, kind=kind, default=what, configurable=False))
        else:
            found.append(_chosen(name, mapping(what, where), where))
    return tuple(found)


def _chosen(name: str, node: Node, path: str) -> CharacteristicSpec:
    known_entries(node, ("type", "default", "mandatory", "allowed", "configurable"), path)
    kind = choice(node, "type", path, tuple(_TYPES), "string")
    allowed = node.get("allowed") or []
    if not isinstance(allowed, list):
        raise InvalidInput("must be a list", field=f"{path}.allowed", remedy="write [one, two]")
    for value in [*allowed, *([node["default"]] if node.get("default") is not None else [])]:
        if type(value) is not _TYPES[kind]:
            raise InvalidInput(f"{value!r} is no {kind}", field=path, remedy=f"give values of type {kind}")
    default = node.get("default")
    if allowed and default is not None and default not in allowed:
        raise InvalidInput(f"{default!r} is not allowed", field=f"{path}.default", remedy=f"one of {allowed}")
    return CharacteristicSpec(
        name=name,
        kind=kind,
        default=default,  # type: ignore[arg-type]
        mandatory=bool(node.get("mandatory", False)),
        allowed=tuple(allowed),
        configurable=bool(node.get("configurable", True)),
    )


def _check_sources(service: ServiceSpec, characteristics: tuple[CharacteristicSpec, ...], path: str) -> None:
    """What the service needs of the product, the product must have."""
    names = {known.name for known in characteristics} | _GIVEN_CHARACTERISTICS
    needed = [source for rfs in service.rfs for source in rfs.attributes.values()]
    wanted = {source.removeprefix("char:") for source in needed if source.startswith("char:")}
    wanted |= {resource.option for resource in service.resources if resource.option}
    if missing := sorted(wanted - names):
        raise InvalidInput(
            f"the service {service.code} needs the characteristic {missing[0]}",
            field=f"{path}.characteristics",
            remedy=f"add {missing[0]} with a value or a type",
        )


def _price(
    node: Node,
    path: str,
    currency: str,
    tax_category: str,
    characteristics: tuple[CharacteristicSpec, ...],
) -> PriceDraft:
    known_entries(
        node,
        ("code", "name", "once", "recurring", "usage", "every", "in", "unit", "included", "option",
         "currency", "tax_category"),
        path,
    )  # fmt: skip
    kinds = [kind for kind in ("once", "recurring", "usage") if kind in node]
    if len(kinds) != 1:
        raise InvalidInput(
            "a price has exactly one amount", field=path, remedy="write one of once, recurring, usage: AMOUNT"
        )
    kind = kinds[0]
    _only_with(node, "recurring", kind, ("every", "in"), path)
    _only_with(node, "usage", kind, ("unit", "included"), path)
    option = text(node, "option", path) if "option" in node else None
    if option and option not in {known.name for known in characteristics if known.kind == "boolean"}:
        raise InvalidInput(
            f"there is no boolean characteristic {option!r}",
            field=f"{path}.option",
            remedy="name one of the offering's characteristics of type boolean",
        )
    return PriceDraft(
        code=code(node, path),
        name=text(node, "name", path),
        kind="one_time" if kind == "once" else kind,
        amount=decimal(node, kind, path, places=6 if kind == "usage" else 3),
        currency=text(node, "currency", path, currency),
        tax_category=text(node, "tax_category", path, tax_category),
        period_months=_PERIODS[choice(node, "every", path, tuple(_PERIODS), "month")]
        if kind == "recurring"
        else None,
        in_advance=choice(node, "in", path, ("advance", "arrears"), "advance") == "advance"
        if kind == "recurring"
        else kind == "once",
        unit=text(node, "unit", path) if kind == "usage" else None,
        included=decimal({"included": 0, **node}, "included", path, places=6),
        option=option,
    )


def _only_with(node: Node, kind: str, actual: str, names: tuple[str, ...], path: str) -> None:
    if actual != kind and (wrong := [name for name in names if name in node]):
        raise InvalidInput(
            f"belongs to a {kind} price", field=f"{path}.{wrong[0]}", remedy=f"take it out or write {kind}: …"
        )


def _task(node: Node, path: str) -> TaskSpec:
    known_entries(node, ("code", "name", "blocks", "on"), path)
    actions = node.get("on", ["add"])
    known = ("add", "modify", "delete")
    if not isinstance(actions, list) or not set(actions) <= set(known):
        raise InvalidInput(
            "names no order actions", field=f"{path}.on", remedy=f"a list of {', '.join(known)}"
        )
    return TaskSpec(
        code=code(node, path),
        name=text(node, "name", path),
        blocks=choice(node, "blocks", path, ("activation", "completion"), "completion"),
        on_actions=tuple(actions),
    )
