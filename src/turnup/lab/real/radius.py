"""One FreeRADIUS with its own PostgreSQL: it goes on when Turnup, Turnup's database or its twin is down.

It asks its database one query per request (`aaa.authorize`, `aaa.account`, laid out by who provisions it) as
a role that may run these functions and read no table. Message-Authenticator is demanded of every client
(RFC 3579; the remedy against Blast-RADIUS). Subscribers' secrets are encrypted in the database, because CHAP
needs them in clear (RFC 1994); the key stands in this server's configuration and in no database.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.machine import run, start, wait_for, write
from turnup.lab.real.postgres import PORT, DatabaseAccess, start_postgres

_ACCOUNT = "freerad"
STOCK = Path("/etc/freeradius/3.0")
"""Debian's own configuration."""
_MODULES = ("always", "attr_filter", "chap", "pap", "preprocess", "expr")
_CLIENTS = "198.18.0.0/24"


@dataclass(frozen=True, slots=True)
class AaaAccess:
    """Where the server answers, and how its database is provisioned."""

    host: str
    secret: str
    data_key: str
    database: DatabaseAccess


def start_aaa(home: Path, name: str, secret: str) -> AaaAccess:
    """Start database and server; returns when the server is ready."""
    host = plan.MANAGED[name]
    postgres = start_postgres(home, name, host)
    own, managers = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    data_key = secrets.token_hex(32)
    postgres.sql(
        "CREATE ROLE aaa_server NOLOGIN;"
        f"CREATE ROLE radius LOGIN IN ROLE aaa_server PASSWORD '{own}';"
        f"CREATE ROLE manager LOGIN PASSWORD '{managers}'"
    )
    postgres.sql("CREATE DATABASE aaa OWNER manager")
    values = {"secret": secret, "password": own, "data_key": data_key}
    configuration = {
        "site": packaged("site"),
        "mods-enabled/sql": packaged("sql"),
        "mods-enabled/rejected": packaged("rejected"),
    }
    start_server(name, home / name, configuration, values)
    return AaaAccess(host, secret, data_key, DatabaseAccess(host, PORT, "aaa", "manager", managers))


def packaged(name: str) -> str:
    """A file of our configuration: radiusd.conf, site, sql, rejected."""
    return resources.files("turnup.lab.real").joinpath("raddb", name).read_text(encoding="utf-8")


def start_server(
    namespace: str, home: Path, configuration: Mapping[str, str], values: Mapping[str, str]
) -> None:
    """Lay out a server in `home` and start it; returns when it is ready. `configuration`: files by their
    place, `site` and modules of its own; `values`: what stands in them between at signs, apart from folders
    and ports. Of the installed configuration only modules, dictionary and policies are used."""
    raddb, folder = home / "raddb", home / "run"
    (raddb / "mods-enabled").mkdir(parents=True)
    folder.mkdir()
    for name in ("dictionary", "mods-config", "policy.d"):
        (raddb / name).symlink_to(STOCK / name)
    for name in _MODULES:
        (raddb / "mods-enabled" / name).symlink_to(STOCK / "mods-available" / name)
    filled = {"raddb": str(raddb), "run": str(folder), "port": str(PORT), "clients": _CLIENTS, **values}
    for name, text in {"radiusd.conf": packaged("radiusd.conf"), **configuration}.items():
        for mark, value in filled.items():
            text = text.replace(f"@{mark}@", value)
        write(raddb / name, text, mode=0o640, owner=_ACCOUNT)
    run("chown", "-R", _ACCOUNT, folder)
    log = folder / "radius.log"
    start(namespace, folder / "out", "freeradius", "-f", "-d", raddb, "-l", log, account=_ACCOUNT)
    wait_for(
        lambda: log.exists() and "Ready to process" in log.read_text(errors="replace"),
        f"FreeRADIUS in {home.name} is ready",
    )
