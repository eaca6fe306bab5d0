"""Subscribers' ports in the interface model of RFC 8343, pure: from a configuration, and into an edit of one.

A port that serves somebody is enabled and says whom in its description, with her desired state's generation::

    <interface><name>p1</name><description>turnup SERVICE 3</description><enabled>true</enabled>...

A port that serves nobody any more is disabled and says whom it was taken from: a fence.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from turnup.contracts.configuration import Change, ElementRefused, StaleGeneration

KIND = "access_service"
_NETCONF = "urn:ietf:params:xml:ns:netconf:base:1.0"
_MODEL = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
_TYPES = "urn:ietf:params:xml:ns:yang:iana-if-type"
_ETHERNET = "ethernetCsmacd"
FILTER = f'<interfaces xmlns="{_MODEL}"/>'
"""What is read of an element: its interfaces."""
_OURS = re.compile(r"^turnup(?P<withdrawn> without)? (?P<key>\S+) (?P<generation>\d+)$")
_ATTRIBUTES = ("port",)
_OPERATION = f"{{{_NETCONF}}}operation"
_HIDDEN = "hidden"
_SECRET_LEAVES = ("password", "secret", "key", "shared-secret", "private-key", "community", "psk")


@dataclass(frozen=True, slots=True)
class Port:
    """An interface as configured. `key`: whom it serves or, `withdrawn`, served last; None: none of ours."""

    name: str
    enabled: bool
    key: str | None = None
    generation: int = 0
    withdrawn: bool = False


def parsed(text: str) -> etree._Element:
    """XML from an element, without entities, DTD or anything fetched (RFC 6241, 3: none are allowed)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_blank_text=True)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise ElementRefused(f"the element sends what is no XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise ElementRefused("the element sends a document type, which NETCONF forbids")
    return root


def read_ports(data: str) -> dict[str, Port]:
    """Name -> port, of the `data` of a get-config."""
    found = {}
    for interface in parsed(data).iter(f"{{{_MODEL}}}interface"):
        name = _text(interface, "name")
        match = _OURS.match(_text(interface, "description"))
        # enabled is true where it is not said (RFC 8343)
        enabled = _text(interface, "enabled") != "false"
        if match is None:
            found[name] = Port(name, enabled)
        else:
            found[name] = Port(
                name, enabled, match["key"], int(match["generation"]), match["withdrawn"] is not None
            )
    return found


def _text(interface: etree._Element, leaf: str) -> str:
    return (interface.findtext(f"{{{_MODEL}}}{leaf}") or "").strip()


def attributes_of(port: Port) -> dict[str, str]:
    """A port that was shut by hand shows as drift."""
    return {"port": port.name} if port.enabled else {"port": port.name, "admin": "down"}


def edit_for(changes: Sequence[Change], ports: Mapping[str, Port], code: str) -> str:
    """The `config` of one edit-config. Raises StaleGeneration where a port holds a newer generation, and
    ElementRefused where it serves somebody else."""
    wanted = {str(change.service_id): change for change in changes}
    _check(wanted, ports, code)
    edits: dict[str, etree._Element] = {}
    for key, change in wanted.items():
        target = _port_of(change)
        for port in ports.values():
            if port.key == key and not port.withdrawn and port.name != target:
                edits[port.name] = _interface(port.name, f"turnup without {key} {change.generation}", "false")
    for key, change in wanted.items():
        if (target := _port_of(change)) is not None:
            edits[target] = _interface(target, f"turnup {key} {change.generation}", "true")
    root = etree.Element(f"{{{_NETCONF}}}config", nsmap={None: _NETCONF})
    interfaces = etree.SubElement(root, f"{{{_MODEL}}}interfaces", nsmap={None: _MODEL, "t": _TYPES})
    interfaces.extend(edits.values())
    return str(etree.tostring(root, encoding="unicode"))


def masked(data: str) -> str:
    """A configuration for keeping, its secrets hidden."""
    root = parsed(data)
    for leaf in root.iter(etree.Element):
        if etree.QName(leaf).localname in _SECRET_LEAVES and not len(leaf) and leaf.text:
            leaf.text = _HIDDEN
    return str(etree.tostring(root, encoding="unicode", pretty_print=True))


def replacing(config: str, running: str) -> str:
    """The `config` of an edit-config that puts a kept configuration in the place of what runs. What holds a
    hidden secret is merged with what is there, without the secret: it stays the element's."""
    root = parsed(config)
    root.tag = f"{{{_NETCONF}}}config"
    for container in root:
        hidden = [leaf for leaf in container.iter(etree.Element) if leaf.text == _HIDDEN]
        for leaf in hidden:
            parent = leaf.getparent()
            if parent is not None:
                parent.remove(leaf)
        container.set(_OPERATION, "merge" if hidden else "replace")
    kept = {container.tag for container in root}
    for container in parsed(running):
        if container.tag not in kept:
            etree.SubElement(root, container.tag).set(_OPERATION, "remove")
    return str(etree.tostring(root, encoding="unicode"))


def _check(wanted: Mapping[str, Change], ports: Mapping[str, Port], code: str) -> None:
    for port in ports.values():
        change = wanted.get(port.key or "")
        if change is not None and port.generation > change.generation:
            raise StaleGeneration(
                f"{code}: {port.name} holds generation {port.generation} of {port.key}, this is"
                f" {change.generation}"
            )
    taken: dict[str, str] = {}
    for key, change in wanted.items():
        name = _port_of(change)
        if name is None:
            continue
        present = ports.get(name)
        holder = present.key if present is not None and not present.withdrawn else None
        if (holder or key) not in (key, *wanted) or taken.setdefault(name, key) != key:
            raise ElementRefused(
                f"{code}: {name} serves {holder or taken[name]}",
                field="attributes.port",
                remedy="find out who holds the port: turnup reconcile",
            )


def _port_of(change: Change) -> str | None:
    if change.want is None:
        return None
    unknown = sorted(set(change.want.attributes) - set(_ATTRIBUTES))
    if unknown:
        raise ElementRefused(
            f"the interface model has no {', '.join(unknown)}",
            field=f"attributes.{unknown[0]}",
            remedy=f"it has: {', '.join(_ATTRIBUTES)}",
        )
    name = change.want.attributes.get("port", "")
    if not name or not name.isprintable():
        raise ElementRefused("no port to configure", field="attributes.port", remedy="add res:access_port")
    return name


def _interface(name: str, description: str, enabled: str) -> etree._Element:
    interface = etree.Element(f"{{{_MODEL}}}interface")
    leaves: Iterable[tuple[str, str]] = (
        ("name", name),
        ("description", description),
        ("type", f"t:{_ETHERNET}"),
        ("enabled", enabled),
    )
    for leaf, text in leaves:
        etree.SubElement(interface, f"{{{_MODEL}}}{leaf}").text = text
    return interface
