"""The purge: what retention has made due goes, table by table, as a durable workflow once a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from turnup.app.privacy import files
from turnup.kernel.errors import Conflict
from turnup.kernel.privacy import horizon, retention
from turnup.runtime import audit_chain, purges
from turnup.runtime.access.staff import access_unit
from turnup.runtime.component import Runtime, Schema
from turnup.runtime.durable import Run, Workflow
from turnup.runtime.embedded.layout import Layout
from turnup.runtime.personal import Expiry
from turnup.runtime.privacy import ENGINE_EXPIRIES, EXPIRIES
from turnup.runtime.purges import PurgeView
from turnup.runtime.secrets import SecretBox
from turnup.runtime.settings import Settings

PURGE = "privacy.purge"
EVERY = timedelta(days=1)
_AUDIT, _MAILS, _LOGS = "runtime.audit audit", "files mail messages", "files log logs"


@dataclass(frozen=True, slots=True)
class Due:
    """What a purge would take now. `before`: what was over by then; None: kept for ever."""

    what: str
    kind: str
    days: int
    before: datetime | None
    rows: int


class Purges:
    """Use cases of retention."""

    def __init__(
        self, runtime: Runtime, settings: Settings, schemas: Sequence[Schema], box: SecretBox
    ) -> None:
        self._runtime = runtime
        self._settings = settings
        self._box = box
        self._engine = runtime.database.engine
        self._days = retention(settings.retention_days)
        self._tables: Sequence[tuple[str, Expiry]] = [
            *((schema.name, expiry) for schema in schemas for expiry in schema.privacy.expiries),
            *(("runtime", expiry) for expiry in EXPIRIES),
            *(("dbos", expiry) for expiry in ENGINE_EXPIRIES),
        ]
        layout = Layout.of(settings.data_dir)
        self._log_dirs = (settings.data_dir / "log", layout.logs)

    @property
    def days(self) -> Mapping[str, int]:
        """Days that each kind of data is kept; 0: for ever."""
        return self._days

    def due(self) -> list[Due]:
        """What a purge would take now, changing nothing."""
        now = self._runtime.clock.now()
        found = []
        for schema, expiry in self._tables:
            before = horizon(self._days[expiry.kind], now)
            rows = 0
            if before is not None:
                rows = purges.due_in(self._engine, schema, expiry, before, now)
            name = f"{schema}.{expiry.table} {expiry.kind}"
            found.append(Due(name, expiry.kind, self._days[expiry.kind], before, rows))
        for what, kind, count in (
            (_AUDIT, "audit", self._audit_due),
            (_MAILS, "messages", self._mails_due),
            (_LOGS, "logs", self._logs_due),
        ):
            before = horizon(self._days[kind], now)
            found.append(Due(what, kind, self._days[kind], before, count(before) if before else 0))
        return found

    def begin(self, actor: str, *, purge_id: str | None = None) -> str:
        """Start a purge on the workers; its id. Raises Conflict where one is under way."""
        self._runtime.gate.refuse_closed()
        with access_unit(self._runtime, actor) as unit:
            running = [view for view in purges.last(unit.connection) if view.finished_at is None]
            if running:
                raise Conflict(
                    f"the purge of {running[0].started_at:%Y-%m-%d %H:%M} is under way",
                    field="purge",
                    remedy="wait for it: turnup privacy purge --status",
                )
            purge_id = purge_id or unit.now.isoformat(timespec="microseconds")
            if purges.begin(unit.connection, purge_id, actor, unit.now):
                unit.start(PURGE, f"{PURGE}:{purge_id}", purge_id, unit.now.isoformat())
                unit.audit("privacy.purge_started", purge_id)
        return purge_id

    def begin_if_due(self) -> None:
        """The standing purge, once a day."""
        now = self._runtime.clock.now()
        with self._engine.connect() as connection:
            newest = next(iter(purges.last(connection, 1)), None)
        if newest is None or (newest.finished_at is not None and newest.started_at <= now - EVERY):
            self.begin("tick:privacy.purge")

    def last(self, limit: int = 10) -> Sequence[PurgeView]:
        with self._engine.connect() as connection:
            return purges.last(connection, limit)

    def workflow(self) -> Workflow:
        return Workflow(name=PURGE, function=partial(run_purge, purges=self), logged=("purge_id",))

    # --- steps, each of which may come twice --------------------------------------------------------------

    def steps(self) -> Sequence[str]:
        """In the order in which they are taken."""
        return [*(str(n) for n in range(len(self._tables))), _AUDIT, _MAILS, _LOGS]

    def take(self, step: str, purge_id: str, started: str) -> int:
        """One table, the audit, mails or logs. `started`: all steps of a purge look from the same instant."""
        now = datetime.fromisoformat(started)
        if step.isdecimal():
            schema, expiry = self._tables[int(step)]
            before = horizon(self._days[expiry.kind], now)
            if before is None:
                return 0
            return purges.purge_table(self._engine, schema, expiry, purge_id=purge_id, before=before, now=now)
        takers = {_AUDIT: ("audit", self._take_audit), _MAILS: ("messages", self._take_mails)}
        kind, take = takers.get(step, ("logs", self._take_logs))
        before = horizon(self._days[kind], now)
        return 0 if before is None else take(step, purge_id, before, now)

    def finish(self, purge_id: str) -> None:
        with access_unit(self._runtime, f"workflow:{PURGE}") as unit:
            if purges.finish(unit.connection, purge_id, unit.now):
                view = purges.view(unit.connection, purge_id)
                unit.audit("privacy.purged", purge_id, after=dict(view.rows) if view else None)

    def _take_audit(self, what: str, purge_id: str, before: datetime, now: datetime) -> int:
        done = 0
        while True:
            with self._engine.begin() as connection:
                rows = audit_chain.take_away(connection, self._box, before, now)
                if not rows:
                    return done
                purges.count(connection, purge_id, what, before, rows)
            done += rows

    def _take_mails(self, what: str, purge_id: str, before: datetime, _: datetime) -> int:
        return self._took(what, purge_id, before, files.delete(files.mails_before(self._settings, before)))

    def _take_logs(self, what: str, purge_id: str, before: datetime, _: datetime) -> int:
        return self._took(what, purge_id, before, files.delete(files.logs_before(self._log_dirs, before)))

    def _took(self, what: str, purge_id: str, before: datetime, gone: int) -> int:
        if gone:
            with self._engine.begin() as connection:
                purges.count(connection, purge_id, what, before, gone)
        return gone

    def _audit_due(self, before: datetime) -> int:
        with self._engine.connect() as connection:
            return audit_chain.entries_before(connection, before)

    def _mails_due(self, before: datetime) -> int:
        return len(files.mails_before(self._settings, before))

    def _logs_due(self, before: datetime) -> int:
        return len(files.logs_before(self._log_dirs, before))


def run_purge(run: Run, purge_id: str, started: str, *, purges: Purges) -> None:
    """Step by step; a worker that dies leaves the rest to another."""
    for step in purges.steps():
        run.world(f"take {step}", purges.take, step, purge_id, started)
    run.world("finish", purges.finish, purge_id)
