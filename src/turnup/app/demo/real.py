"""The network document of a real lab: the example POP with the lab's addresses and credentials filled in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def network_document(examples: Path, endpoints: Mapping[str, Any]) -> dict[str, Any]:
    """What `turnup import network` takes, from the documents in the folder `examples`. `endpoints` are the
    real lab's own words (lab.real.lab.up); without a BNG among them, there is no PPPoE POP either."""
    document = _read(examples / "network.yaml")
    if "bng" in endpoints:
        for section, rows in _read(examples / "pppoe.yaml").items():
            document[section] += rows
    elements = {element["code"]: element for element in document["elements"]}
    gateway = endpoints["gateway"]
    _fill(
        elements["agw1"],
        {name: gateway[name] for name in ("host", "uplink", "garden")} | {"snmp_port": "161"},
        {"username": "root"}
        | {name: gateway[name] for name in ("private_key", "host_key", "snmp_community")},
    )
    elements["agw1"]["ports"] = [
        {"name": port, "kind": "ethernet", "capacity": 1} for port in gateway["ports"]
    ]
    dhcp = endpoints["dhcp"]
    _fill(
        elements["kea1"],
        {**_database(dhcp), **{name: dhcp[name] for name in ("subnets4", "subnets6", "captive_portal")}},
        _login(dhcp),
    )
    for code, server in zip(("aaa1", "aaa2"), endpoints["aaa"], strict=True):
        _fill(elements[code], _database(server), {**_login(server), "data_key": server["data_key"]})
    if "bng" in endpoints:
        bng = endpoints["bng"]
        _fill(elements[bng["code"]], {"host": bng["host"]}, {"coa_secret": bng["coa_secret"]})
    return document


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def write_network(path: Path, document: Mapping[str, Any]) -> None:
    """Write it for `turnup import network`; it holds credentials, so only its owner may read it."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _fill(element: dict[str, Any], management: Mapping[str, str], credentials: Mapping[str, str]) -> None:
    element["management"] = {**element.get("management", {}), **management}
    element["credentials"] = {**element.get("credentials", {}), **credentials}


def _database(server: Mapping[str, Any]) -> dict[str, str]:
    given = server["database"]
    return {"host": given["host"], "port": str(given["port"]), "database": given["database"]}


def _login(server: Mapping[str, Any]) -> dict[str, str]:
    return {"username": server["database"]["username"], "password": server["database"]["password"]}
