"""The machine and its files: settings, directory, disk, engine, backups, key, clock, mail."""

import os
import shutil
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from turnup.app.doctor.finding import Finding, bad, good, judged
from turnup.app.mail import smtp_gateway
from turnup.app.restoration.backups import archive_state, store_of
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import TurnupError
from turnup.runtime.embedded import attach, state
from turnup.runtime.secrets import SecretBox, is_sealed
from turnup.runtime.settings import ENV_PREFIX, Settings, unknown_variables

_DISK_FREE_MIN = 1 << 30
_MAIL_TIMEOUT_S = 5.0


def variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    unknown = unknown_variables(environment)
    if not unknown:
        yield good("settings", "every TURNUP_ variable is known")
    for name, near in sorted(unknown.items()):
        remedy = f"did you mean {near}?" if near else "unset it; docs/reference/settings.md lists all"
        yield bad("settings", f"{name} means nothing", remedy)


def zones(settings: Settings) -> Finding:
    try:
        ZoneInfo(settings.default_time_zone)
        ZoneInfo("Pacific/Auckland")
    except ZoneInfoNotFoundError as error:
        return bad("time zones", f"no time zone data: {error}", "install the package tzdata")
    return good("time zones", f"business dates are {settings.default_time_zone}'s")


def data_dir(settings: Settings) -> Iterator[Finding]:
    directory = settings.data_dir
    if not directory.is_dir():
        yield bad("data directory", f"{directory} does not exist", "run `turnup up`, or set TURNUP_DATA_DIR")
        return
    writable = os.access(directory, os.W_OK | os.X_OK)
    yield judged(
        "data directory",
        str(directory.resolve()) if writable else f"{directory} cannot be written",
        "give this account the directory (chown)",
        ok=writable,
    )
    free = shutil.disk_usage(directory).free
    enough = free >= _DISK_FREE_MIN
    yield judged(
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
        return bad("embedded PostgreSQL", "was never started here", "run `turnup up`")
    if not found.answers:
        return bad("embedded PostgreSQL", found.reason or "does not answer", "run `turnup up`")
    if found.supervisor_pid is None:
        return bad(
            "embedded PostgreSQL",
            "answers, but nobody supervises it: nobody would bring it back",
            "run `turnup up`",
        )
    return good("embedded PostgreSQL", f"{found.cluster_major}, kept by {found.supervisor_pid}")


def backups(settings: Settings) -> Iterator[Finding]:
    """Of embedded PostgreSQL; another one's are its administrator's."""
    if settings.database_url is not None:
        yield good("backups", "the database administrator's: this installation has a PostgreSQL of its own")
        return
    if not state(settings.data_dir).answers:
        return  # said above
    kept = store_of(settings).backups()
    if not kept:
        yield bad("backups", "there is none", "run `turnup backup`, and have it run every night")
        return
    last = kept[-1].usable_from
    age_h = (SystemClock().now() - last).total_seconds() / 3600
    yield judged(
        "backups",
        f"{len(kept)}, the last {age_h:.0f} h old",
        f"run `turnup backup`; {settings.backup_age_hours_max:g} hours are allowed (backup_age_hours_max)",
        ok=age_h <= settings.backup_age_hours_max,
    )
    archive = archive_state(settings, attach(settings.data_dir))
    elsewhere = archive.pointed_at != store_of(settings).wal
    told = f"last WAL archived {archive.last_archived_at or 'not since the start'}"
    yield judged(
        "archive",
        f"goes to {archive.pointed_at}"
        if elsewhere
        else f"{told}, failing since {archive.last_failed_at}"
        if archive.failing
        else told,
        "is the disk of the backups full or gone? see PostgreSQL's log; then run `turnup backup`",
        ok=not (archive.failing or elsewhere),
    )


def key_file(settings: Settings) -> Finding:
    path = settings.secret_key_path
    if not path.exists():
        return good("secret key", f"{path} is made with the first secret")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        return bad("secret key", f"{path} has mode {mode:03o}", f"chmod 600 {path}")
    return good("secret key", f"{path}, mode {mode:03o}; keep a copy apart from the database's")


def clock(settings: Settings) -> Finding:
    if settings.simulated_clock:
        return good(
            "clock",
            "simulated: for demo, training and rehearsal",
            "unset TURNUP_SIMULATED_CLOCK before real customers",
        )
    return good("clock", "the machine's")


def mail(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    if settings.mail_host is None:
        yield good(
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
        yield bad("mail", f"{where}: {error.message}", error.remedy or "see the mail_ settings")
    else:
        yield good("mail", f"{where}, {'TLS' if settings.mail_starttls else 'in clear'}")
    password = settings.mail_password
    in_file = password is not None and not environment.get(f"{ENV_PREFIX}MAIL_PASSWORD")
    if password is not None and in_file and not is_sealed(password.get_secret_value()):
        yield bad(
            "mail password",
            "stands in clear in the settings file",
            "replace it by what `turnup secrets seal mail_password` prints",
        )
