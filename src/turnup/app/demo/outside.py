"""What others do to the databases behind Turnup's back: an old provisioning system, a technician, a mishap.

The one place of the assembly that speaks SQL, and never for the product: it plays the outside world.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg


@dataclass(frozen=True, slots=True, kw_only=True)
class AaaRow:
    """A subscriber as an old system put her into the AAA servers' database."""

    username: str
    secret: str
    ipv4: str
    ipv6_wan: str
    ipv6_pd: str
    down_kbps: int
    up_kbps: int
    key: str


def fill_aaa(aaa_url: str, rows: Sequence[AaaRow]) -> None:
    """The old system's subscribers, as it left them."""
    with psycopg.connect(aaa_url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO aaa.subscriber (username, secret, ipv4, ipv6_wan, ipv6_pd, down_kbps, up_kbps,
                                           state, generation, key)
               VALUES (%s, %s, %s, %s, %s, %s, %s, 'active', 1, %s) ON CONFLICT DO NOTHING""",
            [
                (r.username, r.secret, r.ipv4, r.ipv6_wan, r.ipv6_pd, r.down_kbps, r.up_kbps, r.key)
                for r in rows
            ],
        )


def router_password(aaa_url: str, username: str) -> str:
    """What the technician types into the subscriber's router: her secret, as AAA has it."""
    with psycopg.connect(aaa_url) as connection:
        row = connection.execute(
            "SELECT secret FROM aaa.subscriber WHERE username = %s", (username,)
        ).fetchone()
    if row is None:
        raise LookupError(f"AAA does not know {username}")
    return str(row[0])


def lose_billing(url: str, service_id: UUID) -> None:
    """A mishap in the books: billing forgets since when it bills this service."""
    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
        connection.execute("DELETE FROM billing.billable_period WHERE service_id = %s", (service_id,))
