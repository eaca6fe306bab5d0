"""`turnup doctor`: looks at every part of an installation and says what is wrong and how to mend it.

It repairs and starts nothing. Each check stands alone: one that cannot look says so, the others go on.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turnup.app.access import access_of
from turnup.app.audit import UNSEALED_MAX
from turnup.app.engine import Engine, attach_engine
from turnup.app.house import assemble
from turnup.app.mail import smtp_gateway
from turnup.app.migrations.runner import head
from turnup.app.restoration.backups import archive_state, store_of
from turnup.kernel.access import opens
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import TurnupError
from turnup.runtime import audit_chain, durable, events, health, privacy, purges
from turnup.runtime.access import staff
from turnup.runtime.access.edge import CLIENT_SECRET, Access
from turnup.runtime.access.staff import StaffView
from turnup.runtime.auth import list_tokens
from turnup.runtime.database import Database
from turnup.runtime.embedded import attach, state
from turnup.runtime.restored import Gate
from turnup.runtime.secrets import SecretBox, is_sealed
from turnup.runtime.settings import ENV_PREFIX, Settings, unknown_variables

_POSTGRES_LEAST = 160_000
_DISK_FREE_MIN = 1 << 30
_LAG_MAX = 1_000
_STUCK = timedelta(minutes=15)
_CLOCK_SKEW_MAX_S = 2.0
_MAIL_TIMEOUT_S = 5.0
_LINKS_EXAMINED = 200
_PURGE_AGE_MAX = timedelta(days=3)
_ERASURE_AGE_MAX = timedelta(hours=1)
_OVERFLOW = 5
"""Connections a pool may open beyond its size (runtime.database)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` says what to do; None where nothing is to be done."""

    check: str
    ok: bool
    detail: str
    remedy: str | None = None


def _good(check: str, detail: str, remedy: str | None = None) -> Finding:
    return Finding(check=check, ok=True, detail=detail, remedy=remedy)


def _bad(check: str, detail: str, remedy: str | None) -> Finding:
    return Finding(check=check, ok=False, detail=detail, remedy=remedy)


def _judged(check: str, detail: str, remedy: str, *, ok: bool) -> Finding:
    return Finding(check=check, ok=ok, detail=detail, remedy=None if ok else remedy)


def examine(settings: Settings, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """Every finding, good and bad, in the order in which to mend them; never raises."""
    findings = [*_variables(environment), _zones(settings), *_data_dir(settings), _key_file(settings)]
    findings += [_clock(settings), *_mail(settings, environment)]
    try:
        engine = attach_engine(settings)
    except TurnupError as error:
        return [*findings, _bad("database", error.message, error.remedy)]
    database = Database(engine.url, pool_size=1, application_name="turnup-doctor")
    findings += _backups(settings)
    try:
        return [*findings, *_database(database, settings, engine)]
    finally:
        database.close()


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    unknown = unknown_variables(environment)
    if not unknown:
        yield _good("settings", "every TURNUP_ variable is known")
    for name, near in sorted(unknown.items()):
        remedy = f"did you mean {near}?" if near else "unset it; docs/reference/settings.md lists all"
        yield _bad("settings", f"{name} means nothing", remedy)


def _zones(settings: Settings) -> Finding:
    try:
        ZoneInfo(settings.default_time_zone)
        ZoneInfo("Pacific/Auckland")
    except ZoneInfoNotFoundError as error:
        return _bad("time zones", f"no time zone data: {error}", "install the package tzdata")
    return _good("time zones", f"business dates are {settings.default_time_zone}'s")


def _data_dir(settings: Settings) -> Iterator[Finding]:
    directory = settings.data_dir
    if not directory.is_dir():
        yield _bad("data directory", f"{directory} does not exist", "run `turnup up`, or set TURNUP_DATA_DIR")
        return
    writable = os.access(directory, os.W_OK | os.X_OK)
    yield _judged(
        "data directory",
        str(directory.resolve()) if writable else f"{directory} cannot be written",
        "give this account the directory (chown)",
        ok=writable,
    )
    free = shutil.disk_usage(directory).free
    enough = free >= _DISK_FREE_MIN
    yield _judged(
        "disk space",
        f"{free / (1 << 30):.1f} GiB free",
        "free at least 1 GiB; PostgreSQL stops when the disk is full",
        ok=enough,
    )
    if settings.database_url is None:
        yield _embedded(settings)


def _embedded(settings: Settings) -> Finding:
    found = state(settings.data_dir)
    if not found.initialised:
        return _bad("embedded PostgreSQL", "was never started here", "run `turnup up`")
    if not found.answers:
        return _bad("embedded PostgreSQL", found.reason or "does not answer", "run `turnup up`")
    if found.supervisor_pid is None:
        return _bad(
            "embedded PostgreSQL",
            "answers, but nobody supervises it: nobody would bring it back",
            "run `turnup up`",
        )
    return _good("embedded PostgreSQL", f"{found.cluster_major}, kept by {found.supervisor_pid}")


def _backups(settings: Settings) -> Iterator[Finding]:
    """Of embedded PostgreSQL; another one's are its administrator's."""
    if settings.database_url is not None:
        yield _good("backups", "the database administrator's: this installation has a PostgreSQL of its own")
        return
    if not state(settings.data_dir).answers:
        return  # said above
    backups = store_of(settings).backups()
    if not backups:
        yield _bad("backups", "there is none", "run `turnup backup`, and have it run every night")
        return
    last = backups[-1].usable_from
    age_h = (SystemClock().now() - last).total_seconds() / 3600
    yield _judged(
        "backups",
        f"{len(backups)}, the last {age_h:.0f} h old",
        f"run `turnup backup`; {settings.backup_age_hours_max:g} hours are allowed (backup_age_hours_max)",
        ok=age_h <= settings.backup_age_hours_max,
    )
    archive = archive_state(settings, attach(settings.data_dir))
    elsewhere = archive.pointed_at != store_of(settings).wal
    told = f"last WAL archived {archive.last_archived_at or 'not since the start'}"
    yield _judged(
        "archive",
        f"goes to {archive.pointed_at}"
        if elsewhere
        else f"{told}, failing since {archive.last_failed_at}"
        if archive.failing
        else told,
        "is the disk of the backups full or gone? see PostgreSQL's log; then run `turnup backup`",
        ok=not (archive.failing or elsewhere),
    )


def _key_file(settings: Settings) -> Finding:
    path = settings.secret_key_path
    if not path.exists():
        return _good("secret key", f"{path} is made with the first secret")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return _bad("secret key", f"{path} has mode {mode:03o}", f"chmod 600 {path}")
    return _good("secret key", f"{path}, mode {mode:03o}; keep a copy apart from the database's")


def _clock(settings: Settings) -> Finding:
    if settings.simulated_clock:
        return _good(
            "clock",
            "simulated: for demo, training and rehearsal",
            "unset TURNUP_SIMULATED_CLOCK before real customers",
        )
    return _good("clock", "the machine's")


def _mail(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    if settings.mail_host is None:
        yield _good(
            "mail",
            f"messages are files in {settings.data_dir / 'mail'}; nobody outside gets any",
            "set TURNUP_MAIL_HOST before real customers",
        )
        return
    where = f"{settings.mail_host}:{settings.mail_port} as {settings.mail_username or 'nobody (no login)'}"
    try:
        box = SecretBox(settings.secret_key_path)
        smtp_gateway(settings, settings.mail_host, box, SystemClock(), timeout_s=_MAIL_TIMEOUT_S).check()
    except TurnupError as error:
        yield _bad("mail", f"{where}: {error.message}", error.remedy or "see the mail_ settings")
    else:
        yield _good("mail", f"{where}, {'TLS' if settings.mail_starttls else 'in clear'}")
    password = settings.mail_password
    in_file = password is not None and not environment.get(f"{ENV_PREFIX}MAIL_PASSWORD")
    if password is not None and in_file and not is_sealed(password.get_secret_value()):
        yield _bad(
            "mail password",
            "stands in clear in the settings file",
            "replace it by what `turnup secrets seal mail_password` prints",
        )


# --- the database ----------------------------------------------------------------------------------------


def _database(database: Database, settings: Settings, engine: Engine) -> Iterator[Finding]:
    try:
        with database.engine.connect() as connection:
            facts = health.server(connection)
    except Exception as error:  # noqa: BLE001  whatever keeps us out is the finding
        yield _bad("database", f"does not let us in: {_first_line(error)}", "check TURNUP_DATABASE_URL")
        return
    yield from _server(facts, settings)
    if not facts.laid_out:
        yield _bad("schema", "the database is empty", "run `turnup migrate`")
        return
    checks: tuple[tuple[str, Callable[[Database], Iterable[Finding]]], ...] = (
        ("schema", _schema),
        ("workers", partial(_workers, settings=settings)),
        ("workflows", _workflows),
        ("events", _events),
        ("brake", partial(_safety, settings=settings, engine=engine)),
        ("restore", _restore),
        ("privacy", partial(_privacy, settings=settings, engine=engine)),
        ("audit", partial(_audit, settings=settings, engine=engine)),
        ("access", partial(_access, settings=settings, engine=engine)),
    )
    for name, check in checks:
        try:
            yield from check(database)
        except Exception as error:  # noqa: BLE001  one check that cannot look does not blind the others
            yield _bad(name, f"could not be examined: {_first_line(error)}", "run `turnup migrate`")


def _server(facts: health.ServerFacts, settings: Settings) -> Iterator[Finding]:
    new_enough = facts.version >= _POSTGRES_LEAST
    shown = f"PostgreSQL {facts.version // 10_000}.{facts.version % 10_000}"
    yield _judged("database", shown, "upgrade to PostgreSQL 16 or newer", ok=new_enough)
    if not facts.may_create_roles:
        yield _bad(
            "database role",
            "may not create roles; each component has one of its own",
            "ALTER ROLE … CREATEROLE, as the database's administrator",
        )
    skew_s = abs((SystemClock().now() - facts.now).total_seconds())
    yield _judged(
        "time of the database",
        f"{skew_s:.1f} s from this machine's",
        "synchronise both clocks (NTP)",
        ok=skew_s <= _CLOCK_SKEW_MAX_S,
    )
    yield from _pools(facts, settings)


def _pools(facts: health.ServerFacts, settings: Settings) -> Iterator[Finding]:
    """Server, workers and collector have a pool for units and one for reads each, a worker a third one for
    its workflows' own state."""
    pool = settings.database_pool_size
    processes = 2 + settings.workers
    needed = (2 * processes + settings.workers) * pool + 2 * processes * _OVERFLOW
    fits = needed <= facts.connections_max
    yield _judged(
        "connections",
        f"this installation opens up to {needed} of {facts.connections_max}",
        "lower TURNUP_DATABASE_POOL_SIZE or raise max_connections",
        ok=fits,
    )
    for name, threads in (
        ("http_threads", settings.http_threads),
        ("worker_concurrency", settings.worker_concurrency),
    ):
        if threads > pool + _OVERFLOW:
            yield _bad(
                "pool size",
                f"{name} is {threads}, but a process has {pool} connections: the others wait",
                f"set TURNUP_DATABASE_POOL_SIZE to {threads} or lower TURNUP_{name.upper()}",
            )


def _schema(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        present = health.revision(connection)
    yield _judged(
        "schema",
        f"at revision {present}" if present == head() else f"at revision {present}, not {head()}",
        "run `turnup migrate`",
        ok=present == head(),
    )


def _workers(database: Database, *, settings: Settings) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        found = health.workers(connection)
    alive = [worker for worker in found if worker.silent_s <= settings.lease_seconds]
    if not alive:
        yield _bad("workers", "no worker is alive: orders and events wait", "run `turnup up`")
        return
    yield _good("workers", f"{len(alive)} alive")
    versions = {worker.version for worker in alive}
    if len(versions) > 1:
        yield _bad(
            "worker versions",
            f"workers of {len(versions)} versions: none takes over what another version left",
            "restart the older workers",
        )


def _workflows(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        found = durable.stuck(connection, _STUCK)
    if not found:
        yield _good("workflows", "none without progress")
        return
    first = found[0]
    yield _bad(
        "workflows",
        f"{len(found)} without progress for {_STUCK.seconds // 60} minutes, first {first['name']} "
        f"{first['id']} ({first['status']}, {first['executor_id'] or 'no worker'})",
        "is a worker of the same version alive? see its log",
    )


def _events(database: Database) -> Iterator[Finding]:
    with database.engine.connect() as connection:
        lag = events.lag(connection)
        parked = events.parked(connection)
    late = {consumer or "sequencer": n for consumer, n in lag.items() if n > _LAG_MAX}
    yield _judged(
        "event lag",
        ", ".join(f"{name} is {n} behind" for name, n in sorted(late.items())) or "nobody is behind",
        "is a worker alive? `turnup events lag` shows whether it catches up",
        ok=not late,
    )
    yield _judged(
        "parked events",
        f"{len(parked)} wait: {parked[0]['consumer']} {parked[0]['type']}: {parked[0]['error']}"
        if parked
        else "none",
        "mend the cause, then `turnup events retry CONSUMER`",
        ok=not parked,
    )


def _restore(database: Database) -> Iterator[Finding]:
    closed_by = Gate(database.engine).closed_by()
    yield _judged(
        "restore",
        f"the books were restored to {closed_by.target_at or 'their newest state'} by "
        f"{closed_by.restored_by} at {closed_by.restored_at:%Y-%m-%d %H:%M} and are closed"
        if closed_by
        else "nothing waits for a release",
        "turnup restore compare, then turnup restore release",
        ok=closed_by is None,
    )


def _privacy(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        now = house.runtime.clock.now()
        with database.engine.connect() as connection:
            last = purges.last_finished(connection)
            since = last or privacy.since(connection)
        waiting, missing = house.rights.erasures(open_only=True), house.rights.not_applied()
    finally:
        house.close()
    yield _judged(
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
    yield _judged(
        "erasures",
        told or "none waits",
        "is a worker alive? `turnup privacy erasures` says what is in the way",
        ok=not told,
    )


def _audit(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    """The last links only: the whole chain is `turnup audit verify`'s."""
    house = assemble(settings, engine, process="doctor")
    try:
        late_before = house.runtime.clock.now() - UNSEALED_MAX
    finally:
        house.close()
    with database.engine.connect() as connection:
        late = audit_chain.unsealed_entries(connection, before=late_before)
    yield _judged(
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
    yield _judged(
        "audit chain",
        f"{first.breach.value} in link {first.link}: {first.detail}"
        if first
        else f"whole, as far as the last {found.links} links; head {found.head}",
        "somebody changed the record of changes: `turnup audit verify`, and ask who had the database",
        ok=found.ok,
    )


def _safety(_: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        brake, freezes = house.provisioning.brake(), house.configuration.freezes()
    finally:
        house.close()
    since = f" since {brake.waiting_since:%Y-%m-%d %H:%M}" if brake.waiting_since else ""
    yield _judged(
        "brake",
        f"{brake.waiting} automatic changes of {brake.waiting_services} services wait{since}"
        if brake.waiting
        else f"{brake.used} of {brake.limit} services changed by themselves within the hour",
        "look at them: `turnup brake list`; then `turnup brake release` or `refuse`",
        ok=not brake.waiting,
    )
    told = [f"by {f.frozen_by} at {f.frozen_at:%Y-%m-%d %H:%M}: {f.reason}" for f in freezes]
    yield _judged(
        "freezes",
        f"{len(told)} in force, first {told[0]}" if told else "none",
        "when it is over: `turnup freeze lift`",
        ok=not told,
    )


def _access(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        yield from _people(access_of(house), database, settings)
    except TurnupError as error:
        yield _bad("access settings", f"{error.field}: {error.message}", error.remedy or "see the settings")
    finally:
        house.close()


def _people(access: Access, database: Database, settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now()
    with database.engine.connect() as connection:
        people = [view for view in staff.everybody(connection) if view.active]
        tokens = [token for token in list_tokens(connection) if not token.revoked]
    if not people:
        yield _good(
            "staff",
            "nobody has an account: only tokens and this machine's shell open anything",
            "turnup staff create NAME --role administrator",
        )
    elif not any(opens(view.scopes(access.roles), "access:write") for view in people):
        yield _bad(
            "staff",
            "nobody may let others in",
            "turnup staff create NAME --role administrator",
        )
    else:
        yield _good("staff", f"{len(people)} may come in")
    expired = sorted(token.name for token in tokens if token.expires_at and token.expires_at <= now)
    yield _judged(
        "tokens",
        f"expired: {', '.join(expired)}; is what used them still at work?"
        if expired
        else f"{len(tokens)} in use, {sum(token.expires_at is None for token in tokens)} without an end",
        f"make a new one, then `turnup token revoke {expired[0]}`" if expired else "",
        ok=not expired,
    )
    yield from _second_persons(access, people)
    secret = settings.oidc_client_secret
    in_file = secret is not None and not os.environ.get(f"{ENV_PREFIX}{CLIENT_SECRET.upper()}")
    if secret is not None and in_file and not is_sealed(secret.get_secret_value()):
        yield _bad(
            "OpenID client secret",
            "stands in clear in the settings file",
            f"replace it by what `turnup secrets seal {CLIENT_SECRET}` prints",
        )


def _second_persons(access: Access, people: Sequence[StaffView]) -> Iterator[Finding]:
    """What needs four eyes, and has fewer: it could never be approved."""
    needed = {
        action: scope for action, scope in access.four_eyes.actions.items() if access.four_eyes.needs(action)
    }
    alone = {
        action: scope
        for action, scope in needed.items()
        if sum(opens(view.scopes(access.roles), scope) for view in people) < 2
    }
    if not needed:
        yield _good("four eyes", "nothing needs a second person", "with two staff members: TURNUP_FOUR_EYES")
        return
    yield _judged(
        "four eyes",
        f"no second person for {', '.join(alone)}" if alone else f"{', '.join(needed)} need two",
        f"let in a second one with {', '.join(sorted(set(alone.values())))}: `turnup staff create`",
        ok=not alone,
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
