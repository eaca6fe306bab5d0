"""One FreeRADIUS with its own PostgreSQL: it goes on when Turnup, Turnup's database or its twin is down.

It asks its database one query per request (`aaa.authorize`, `aaa.account`, laid out by who provisions it) as
a role that may run these functions and read no table. Message-Authenticator is demanded of every client
(RFC 3579; the remedy against Blast-RADIUS). Subscribers' secrets are encrypted in the database, because CHAP
needs them in clear (RFC 1994); the key stands in this server's configuration and in no database.
"""

import secrets
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from turnup.lab.real import plan
from turnup.lab.real.kea import DatabaseAccess
from turnup.lab.real.machine import run, start, wait_for, write
from turnup.lab.real.postgres import PORT, start_postgres

_ACCOUNT = "freerad"
_STOCK = Path("/etc/freeradius/3.0")
_MODULES = ("always", "attr_filter", "chap", "pap", "preprocess", "expr")


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
    raddb = home / name / "raddb"
    _lay_out(raddb, secret, own, data_key)
    log = home / name / "run" / "radius.log"
    start(name, home / name / "run" / "out", "freeradius", "-f", "-d", raddb, "-l", log, account=_ACCOUNT)
    wait_for(
        lambda: log.exists() and "Ready to process" in log.read_text(errors="replace"),
        f"FreeRADIUS of {name} is ready",
    )
    return AaaAccess(host, secret, data_key, DatabaseAccess(host, PORT, "aaa", "manager", managers))


def _lay_out(raddb: Path, secret: str, password: str, data_key: str) -> None:
    """A configuration of its own; of the installed one only modules, dictionary and policies are used."""
    (raddb / "mods-enabled").mkdir(parents=True)
    for name in ("dictionary", "mods-config", "policy.d"):
        (raddb / name).symlink_to(_STOCK / name)
    for name in _MODULES:
        (raddb / "mods-enabled" / name).symlink_to(_STOCK / "mods-available" / name)
    folder = raddb.parent / "run"
    folder.mkdir()
    values = {
        "@raddb@": str(raddb), "@run@": str(folder), "@secret@": secret, "@password@": password,
        "@data_key@": data_key, "@port@": str(PORT), "@clients@": "198.18.0.0/24",
    }  # fmt: skip
    for source, name in (("radiusd.conf", "radiusd.conf"), ("sql", "mods-enabled/sql"), ("site", "site")):
        text = resources.files("turnup.lab.real").joinpath("raddb", source).read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        write(raddb / name, text, mode=0o640, owner=_ACCOUNT)
    run("chown", "-R", _ACCOUNT, raddb.parent / "run")
