"""What waits for a person or watches over the rest: brake and freezes, a restore, privacy, the audit."""

from collections.abc import Iterator
from datetime import timedelta

from turnup.app.audit import UNSEALED_MAX
from turnup.app.doctor.finding import Finding, judged
from turnup.app.engine import Engine
from turnup.app.house import assemble
from turnup.runtime import audit_chain, purges
from turnup.runtime import privacy as runtime_privacy
from turnup.runtime.database import Database
from turnup.runtime.restored import Gate
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import Settings

_LINKS_EXAMINED = 200
_PURGE_AGE_MAX = timedelta(days=3)
_ERASURE_AGE_MAX = timedelta(hours=1)


def restore(database: Database) -> Iterator[Finding]:
    closed_by = Gate(database.engine).closed_by()
    yield judged(
        "restore",
        f"the books were restored to {closed_by.target_at or 'their newest state'} by "
        f"{closed_by.restored_by} at {closed_by.restored_at:%Y-%m-%d %H:%M} and are closed"
        if closed_by
        else "nothing waits for a release",
        "turnup restore compare, then turnup restore release",
        ok=closed_by is None,
    )


def privacy(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        now = house.runtime.clock.now()
        with database.engine.connect() as connection:
            last = purges.last_finished(connection)
            since = last or runtime_privacy.since(connection)
        waiting, missing = house.rights.erasures(open_only=True), house.rights.not_applied()
    finally:
        house.close()
    yield judged(
        "purge",
        f"the last was finished {last:%Y-%m-%d %H:%M}" if last else "there was none yet",
        "is a worker alive? what is due: `turnup privacy purge --dry-run`",
        ok=since is None or now - since < _PURGE_AGE_MAX,
    )
    blocked = [why for erasure in waiting for why in erasure.in_the_way]
    late = [erasure for erasure in waiting if now - erasure.asked_at > _ERASURE_AGE_MAX]
    told = f"{len(missing)} erasures of before a restore are not applied yet" if missing else ""
    if blocked or late:
        told = f"{len(waiting)} wait{f': {blocked[0]}' if blocked else ''}"
    yield judged(
        "erasures",
        told or "none waits",
        "is a worker alive? `turnup privacy erasures` says what is in the way",
        ok=not told,
    )


def audit(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    """The last links only: the whole chain is `turnup audit verify`'s."""
    house = assemble(settings, engine, process="doctor")
    try:
        late_before = house.runtime.clock.now() - UNSEALED_MAX
    finally:
        house.close()
    with database.engine.connect() as connection:
        late = audit_chain.unsealed_entries(connection, before=late_before)
    yield judged(
        "audit sealing",
        f"{late} entries wait for their link since more than {UNSEALED_MAX.seconds // 60} minutes"
        if late
        else "nothing waits",
        "is a worker alive? it seals every few seconds",
        ok=not late,
    )
    box = SecretBox(settings.secret_key_path)
    found = audit_chain.verify(database.engine, box, last_links=_LINKS_EXAMINED)
    first = found.broken[0] if found.broken else None
    yield judged(
        "audit chain",
        f"{first.breach.value} in link {first.link}: {first.detail}"
        if first
        else f"whole, as far as the last {found.links} links; head {found.head}",
        "somebody changed the record of changes: `turnup audit verify`, and ask who had the database",
        ok=found.ok,
    )


def safety(_: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        brake, freezes = house.provisioning.brake(), house.configuration.freezes()
    finally:
        house.close()
    since = f" since {brake.waiting_since:%Y-%m-%d %H:%M}" if brake.waiting_since else ""
    yield judged(
        "brake",
        f"{brake.waiting} automatic changes of {brake.waiting_services} services wait{since}"
        if brake.waiting
        else f"{brake.used} of {brake.limit} services changed by themselves within the hour",
        "look at them: `turnup brake list`; then `turnup brake release` or `refuse`",
        ok=not brake.waiting,
    )
    told = [f"by {f.frozen_by} at {f.frozen_at:%Y-%m-%d %H:%M}: {f.reason}" for f in freezes]
    yield judged(
        "freezes",
        f"{len(told)} in force, first {told[0]}" if told else "none",
        "when it is over: `turnup freeze lift`",
        ok=not told,
    )
