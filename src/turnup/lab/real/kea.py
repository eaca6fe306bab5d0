"""Kea, DHCPv4 and DHCPv6, with leases and reservations in its own PostgreSQL.

There are no pools: who has no reservation gets nothing. A reservation is found by the port the relay names:
circuit-id of option 82 (RFC 3046) on IPv4; on IPv6 the remote-id (RFC 4649), which Kea reads as a hardware
address. Reservations are changed in the table `hosts` and hold from the next packet on.
"""

import json
import secrets
from pathlib import Path
from typing import Any

from turnup.lab.real import plan
from turnup.lab.real.machine import inside, start, succeeds, wait_for, write
from turnup.lab.real.postgres import PORT, DatabaseAccess, start_postgres

_SCHEMA = Path("/usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql")
_MANAGER_RIGHTS = """
GRANT CREATE ON DATABASE kea TO manager;
GRANT USAGE ON SCHEMA public TO manager;
GRANT SELECT, INSERT, UPDATE, DELETE ON hosts, ipv6_reservations, dhcp4_options, dhcp6_options TO manager;
GRANT SELECT, DELETE ON lease4, lease6 TO manager;
GRANT SELECT, INSERT, UPDATE ON lease4_stat, lease6_stat TO manager;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO manager;
GRANT ALL ON ALL TABLES IN SCHEMA public TO kea;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO kea;
"""


def start_kea(home: Path) -> DatabaseAccess:
    """Start the database and both servers; returns when they answer."""
    folder = home / plan.KEA
    host = plan.MANAGED[plan.KEA]
    postgres = start_postgres(home, plan.KEA, host)
    own, managers = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    postgres.sql(f"CREATE ROLE kea LOGIN PASSWORD '{own}'; CREATE ROLE manager LOGIN PASSWORD '{managers}'")
    postgres.sql("CREATE DATABASE kea")
    postgres.file(_SCHEMA, "kea")
    postgres.sql(_MANAGER_RIGHTS, "kea")
    for name, document in (("kea-dhcp4", _dhcp4(folder, own)), ("kea-dhcp6", _dhcp6(folder, own))):
        conf = write(folder / f"{name}.conf", json.dumps(document, indent=1), mode=0o600)
        start(
            plan.KEA, folder / f"{name}.out",
            "env", f"KEA_PIDFILE_DIR={folder}", f"KEA_LOCKFILE_DIR={folder}", name, "-c", conf,
        )  # fmt: skip
    for number, family in ((67, "-4"), (547, "-6")):
        _wait_for_port(family, number)
    return DatabaseAccess(host, PORT, "kea", "manager", managers)


def _wait_for_port(family: str, number: int) -> None:
    listening = inside(plan.KEA, "sh", "-c", f"ss {family} -Huln sport = :{number} | grep -q .")
    wait_for(lambda: succeeds(listening), f"Kea listens on UDP {number}")


def _common(folder: Path, family: int, password: str) -> dict[str, Any]:
    database = {
        "type": "postgresql", "name": "kea", "user": "kea", "password": password, "host": "127.0.0.1",
        "port": PORT,
    }  # fmt: skip
    return {
        "lease-database": database,
        "hosts-database": database,
        "control-socket": {"socket-type": "unix", "socket-name": str(folder / f"kea{family}.socket")},
        "renew-timer": plan.DHCP_RENEW_S,
        "rebind-timer": plan.DHCP_VALID_S // 2,
        "valid-lifetime": plan.DHCP_VALID_S,
        "reservations-global": False,
        "reservations-in-subnet": True,
        "reservations-out-of-pool": True,
        "loggers": [
            {
                "name": f"kea-dhcp{family}",
                "output_options": [{"output": str(folder / f"kea-dhcp{family}.log")}],
                "severity": "INFO",
            }
        ],
    }


def _dhcp4(folder: Path, password: str) -> dict[str, Any]:
    subnets = [
        {
            "id": number,
            "subnet": net,
            "option-data": [
                {"name": "routers", "data": router},
                {"name": "domain-name-servers", "data": plan.GARDEN4},
            ],
        }
        for (number, net), router in zip(plan.SUBNETS4.items(), plan.ROUTERS4, strict=True)
    ]
    return {
        "Dhcp4": {
            **_common(folder, 4, password),
            "interfaces-config": {"interfaces": ["mgmt"], "dhcp-socket-type": "udp"},
            "host-reservation-identifiers": ["circuit-id"],
            "match-client-id": False,
            "shared-networks": [{"name": "access", "subnet4": subnets}],
        }
    }


def _dhcp6(folder: Path, password: str) -> dict[str, Any]:
    return {
        "Dhcp6": {
            **_common(folder, 6, password),
            "interfaces-config": {"interfaces": [f"mgmt/{plan.KEA6}"]},
            "preferred-lifetime": plan.DHCP_VALID_S * 3 // 4,
            "data-directory": str(folder),
            "mac-sources": ["remote-id"],
            "host-reservation-identifiers": ["hw-address"],
            "option-data": [{"name": "dns-servers", "data": plan.GARDEN6}],
            "subnet6": [{"id": number, "subnet": net} for number, net in plan.WAN6.items()],
        }
    }
