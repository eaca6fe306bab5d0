"""FreeRADIUS with its stock SQL schema and queries, beside ours on the same PostgreSQL: what benchmarks.aaa
compares with. The configuration is Debian's own (queries.conf, schema.sql); groups are used as its
documentation does, so that a plan's speeds stand once per plan. Its log of every answer (radpostauth) is left
out, as ours has none.
"""

import secrets
from collections.abc import Iterable, Mapping

from turnup.lab.real import plan
from turnup.lab.real.postgres import Postgres
from turnup.lab.real.radius import STOCK, start_server

STOCK_AUTH_PORT = 2812
_SCHEMA = STOCK / "mods-config/sql/main/postgresql/schema.sql"
_PLAN = "fibre-300-50"

_SITE = """
server default {
    listen {
        type = auth
        ipaddr = *
        port = @auth_port@
    }
    listen {
        type = acct
        ipaddr = *
        port = @acct_port@
    }
    authorize {
        preprocess
        chap
        sql
        pap
    }
    authenticate {
        Auth-Type PAP {
            pap
        }
        Auth-Type CHAP {
            chap
        }
    }
    preacct {
        acct_unique
    }
    accounting {
        sql
    }
}
"""
_SQL = """
sql {
    dialect = "postgresql"
    driver = "rlm_sql_postgresql"
    server = "127.0.0.1"
    port = @port@
    login = "stock"
    password = "@password@"
    radius_db = "radius"
    acct_table1 = "radacct"
    acct_table2 = "radacct"
    postauth_table = "radpostauth"
    authcheck_table = "radcheck"
    groupcheck_table = "radgroupcheck"
    authreply_table = "radreply"
    groupreply_table = "radgroupreply"
    usergroup_table = "radusergroup"
    delete_stale_sessions = yes
    pool {
        start = 0
        min = 0
        max = 16
        spare = 8
        uses = 0
        retry_delay = 1
        lifetime = 0
        idle_timeout = 0
        connect_timeout = 2
    }
    client_table = "nas"
    group_attribute = "SQL-Group"
    $INCLUDE ${modconfdir}/${.:name}/main/${dialect}/queries.conf
}
"""


def fill_stock(postgres: Postgres, subscribers: Iterable[tuple[str, Mapping[str, str]]]) -> None:
    """The stock schema with these subscribers: password and addresses their own, speeds by their plan."""
    postgres.sql("CREATE ROLE stock LOGIN; CREATE DATABASE radius")
    postgres.sql(_SCHEMA.read_text(encoding="utf-8"), "radius")  # the account `postgres` may not read it
    checks, replies, groups = [], [], []
    for username, attributes in subscribers:
        checks.append(f"{username}\tCleartext-Password\t:=\t{attributes['secret']}")
        groups.append(f"{username}\t{_PLAN}")
        for name, attribute in (
            ("ipv4", "Framed-IP-Address"),
            ("ipv6_wan", "Framed-IPv6-Prefix"),
            ("ipv6_pd", "Delegated-IPv6-Prefix"),
        ):
            replies.append(f"{username}\t{attribute}\t:=\t{attributes[name]}")
    copies = (
        ("radcheck (username, attribute, op, value)", checks),
        ("radreply (username, attribute, op, value)", replies),
        ("radusergroup (username, groupname)", groups),
    )
    text = "\n".join(f"COPY {table} FROM STDIN;\n" + "\n".join(rows) + "\n\\." for table, rows in copies)
    postgres.sql(
        f"""{text}
INSERT INTO radgroupreply (groupname, attribute, op, value)
VALUES ('{_PLAN}', 'WISPr-Bandwidth-Max-Down', ':=', '300000000'),
       ('{_PLAN}', 'WISPr-Bandwidth-Max-Up', ':=', '50000000');
GRANT ALL ON ALL TABLES IN SCHEMA public TO stock;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO stock;""",
        "radius",
    )


def start_stock(postgres: Postgres, secret: str) -> None:
    """The second server in the same namespace; ends with the lab."""
    password = secrets.token_urlsafe(18)
    postgres.sql(f"ALTER ROLE stock PASSWORD '{password}'")
    ports = {"auth_port": str(STOCK_AUTH_PORT), "acct_port": str(STOCK_AUTH_PORT + 1)}
    start_server(
        postgres.namespace,
        plan.HOME / postgres.namespace / "stock",
        {"site": _SITE, "mods-enabled/sql": _SQL},
        {"secret": secret, "password": password, **ports},
    )
