"""The rights of one person: export of what is held, erasure, and applying erasures again after a restore.

An export is read when it is asked for and kept nowhere: a durable workflow would store one more copy of
everything. An erasure is durable: registered on disk first, then component by component, crm last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from turnup.app.privacy import files
from turnup.app.privacy.holders import Holders, as_json, delivered_as, from_json
from turnup.contracts.privacy import Kept, Person
from turnup.contracts.unit import Unit
from turnup.kernel.clock import iso_utc
from turnup.kernel.errors import Conflict, NotFound
from turnup.kernel.ids import new_id
from turnup.kernel.privacy import keep_documents_until, retention
from turnup.runtime import erasures
from turnup.runtime.access.staff import access_unit
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Arguments, Dangerous
from turnup.runtime.durable import Run, Workflow
from turnup.runtime.erasures import Erasure, ErasureState, Registered, RegisterFiles
from turnup.runtime.privacy import KEPT, forget
from turnup.runtime.settings import Settings
from turnup.runtime.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)

ERASE = "privacy.erase"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What an erasure would do now: rows about her by component and table, what stops it, what stays."""

    party: UUID
    in_the_way: Sequence[str]
    rows: Mapping[str, Mapping[str, int]]
    files: int
    kept: Sequence[Kept]
    documents_until: date | None
    erasure: Erasure | None


class Rights:
    """Use cases for one person."""

    def __init__(self, runtime: Runtime, settings: Settings, holders: Holders) -> None:
        self._runtime = runtime
        self._settings = settings
        self._holders = holders
        self._engine = runtime.database.engine
        self._documents_days = retention(settings.retention_days)["documents"]
        self._register = RegisterFiles([settings.data_dir, settings.backup_path])

    # --- export -------------------------------------------------------------------------------------------

    def export(self, named: str, actor: str) -> Mapping[str, Any]:
        """Everything held about her, by component and table, without secrets (GDPR art. 15, 20). That it was
        taken, and by whom, is audited. Raises NotFound, Conflict."""
        person = self._holders.person(named)
        with access_unit(self._runtime, actor) as unit:
            unit.audit("privacy.exported", person.party)
            now = unit.now
        held = {name: data.held(person) for name, data in self._holders.data.items()}
        mails = {
            path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in files.mails_of(self._settings, person.messages)
        }
        return {
            "format": "turnup.person.1",
            "exportedAt": iso_utc(now),
            "person": as_json(person),
            "components": {name: tables for name, tables in held.items() if tables},
            "files": {"mail": mails},
            "elsewhere": [asdict(kept) for kept in KEPT],
        }

    # --- erasure ------------------------------------------------------------------------------------------

    def survey(self, named: str) -> Survey:
        """What an erasure would do, changing nothing. Raises NotFound, Conflict."""
        person = self._holders.person(named)
        held = {name: data.held(person) for name, data in self._holders.data.items()}
        with self._engine.connect() as connection:
            present = erasures.of_party(connection, person.party)
        until = self._documents_until(person)
        return Survey(
            party=person.party,
            in_the_way=self._holders.in_the_way(person),
            rows={n: {t: len(rows) for t, rows in tables.items()} for n, tables in held.items() if tables},
            files=len(files.mails_of(self._settings, person.messages)),
            kept=self._kept(person, until),
            documents_until=until,
            erasure=present,
        )

    def dangerous(self) -> Dangerous:
        """The action, for four eyes."""
        return Dangerous(
            action=ERASE,
            scope="privacy:write",
            component=None,
            what=lambda arguments: f"erase the person {arguments['party']} for good",
            run=self._ask,
        )

    def arguments(self, named: str) -> Arguments:
        """Of the action: an approval is kept, so it holds the id only. Raises NotFound, Conflict."""
        return {"party": str(self._holders.person(named).party)}

    def _ask(self, unit: UnitOfWork, arguments: Arguments) -> Mapping[str, Any]:
        """Into the register, and start. Raises Conflict naming all that is in the way."""
        self._runtime.gate.refuse_closed()
        party = UUID(arguments["party"])
        present = erasures.of_party(unit.connection, party, lock=True)
        if present is not None and present.state is not ErasureState.BLOCKED:
            return {"erasure": str(present.id), "state": present.state.value}
        why = self._holders.in_the_way(self._holders.person(str(party)))
        if why:
            raise Conflict(
                "; ".join(why), field="person", remedy="see: turnup privacy erase PERSON --dry-run"
            )
        if present is not None:
            self._try_again(unit, present)
            return {"erasure": str(present.id), "state": ErasureState.ASKED.value}
        entry = Registered(new_id(), party, unit.actor, unit.now)
        erasures.add(unit.connection, entry, now=unit.now)
        unit.start(ERASE, f"{ERASE}:{entry.id}:1", str(entry.id))
        unit.audit("privacy.erasure_asked", party, after={"erasure": str(entry.id)})
        return {"erasure": str(entry.id), "state": ErasureState.ASKED.value}

    def erasure(self, erasure_id: UUID) -> Erasure | None:
        with self._engine.connect() as connection:
            return erasures.find(connection, erasure_id)

    def erasures(self, *, open_only: bool = False) -> Sequence[Erasure]:
        with self._engine.connect() as connection:
            return erasures.listed(connection, open_only=open_only)

    def not_applied(self) -> Sequence[Registered]:
        """Erasures that the file knows and these books do not: they went back in time."""
        with self._engine.connect() as connection:
            known = {each.party for each in erasures.listed(connection)}
        return [entry for entry in self._register.entries() if entry.party not in known]

    def apply_again(self, actor: str = "tick:privacy.erase") -> int:
        """Begin anew what the books have forgotten, and what was blocked a day ago. Returns how many."""
        self._runtime.gate.refuse_closed()
        missing = self.not_applied()
        with access_unit(self._runtime, actor) as unit:
            begun = 0
            for entry in missing:
                if erasures.add(unit.connection, entry, now=unit.now, again=True):
                    unit.start(ERASE, f"{ERASE}:{entry.id}:1", str(entry.id))
                    unit.audit("privacy.erasure_again", entry.party, after={"erasure": str(entry.id)})
                    begun += 1
            for blocked in erasures.to_try_again(unit.connection, unit.now):
                self._try_again(unit, blocked)
                begun += 1
        return begun

    def _try_again(self, unit: UnitOfWork, erasure: Erasure) -> None:
        attempt = erasures.try_again(unit.connection, erasure.id, unit.now)
        unit.start(ERASE, f"{ERASE}:{erasure.id}:{attempt}", str(erasure.id))

    def workflow(self) -> Workflow:
        return Workflow(name=ERASE, function=partial(run_erasure, rights=self), logged=("erasure_id",))

    # --- steps, each of which may come twice --------------------------------------------------------------

    def look(self, erasure_id: str) -> Mapping[str, Any] | None:
        """Her ids and what stays; None where something is in the way, or nothing is to be done."""
        erasure = self.erasure(UUID(erasure_id))
        if erasure is None or erasure.state is not ErasureState.ASKED:
            return None
        try:
            person = self._holders.person(str(erasure.party))
        except NotFound:  # the books went back to before she came
            self._note_done(erasure, {}, (), None)
            return None
        why = self._holders.in_the_way(person)
        if why:
            with access_unit(self._runtime, f"workflow:{ERASE}") as unit:
                erasures.block(unit.connection, erasure.id, why, unit.now)
                unit.audit("privacy.erasure_blocked", erasure.party, after={"reasons": len(why)})
            log.warning("erasure_blocked", erasure=erasure_id, reasons=why)
            return None
        until = self._documents_until(person)
        return {"person": as_json(person), "until": until.isoformat() if until else None}

    def register(self, erasure_id: str) -> None:
        """On disk before the first row goes: a restore must not bring her back unseen."""
        erasure = self.erasure(UUID(erasure_id))
        if erasure is not None:
            self._register.note(Registered(erasure.id, erasure.party, erasure.asked_by, erasure.asked_at))

    def components(self) -> Sequence[str]:
        return list(self._holders.data)

    def erase_in(self, unit: Unit, component: str, seen: Mapping[str, Any]) -> dict[str, int]:
        """One component's part, in its own transaction."""
        until = date.fromisoformat(seen["until"]) if seen["until"] else None
        changed = dict(self._holders.data[component].erase(unit, from_json(seen["person"]), until))
        if changed:
            unit.audit("privacy.erased", seen["person"]["party"], after=changed)
        return changed

    def finish(
        self, erasure_id: str, seen: Mapping[str, Any], changed: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Files, events and workflows; then it is done."""
        person = from_json(seen["person"])
        until = date.fromisoformat(seen["until"]) if seen["until"] else None
        gone = files.delete(files.mails_of(self._settings, person.messages))
        with self._engine.begin() as connection:
            own = forget(connection, person, delivered_as(person))
        erasure = self.erasure(UUID(erasure_id))
        if erasure is not None:
            whole = {**changed, "runtime": own, "files": {"mail": gone} if gone else {}}
            self._note_done(erasure, whole, self._kept(person, until), until)

    def _note_done(
        self,
        erasure: Erasure,
        changed: Mapping[str, Mapping[str, int]],
        kept: Sequence[Kept],
        until: date | None,
    ) -> None:
        with access_unit(self._runtime, f"workflow:{ERASE}") as unit:
            done = erasures.finish(
                unit.connection,
                erasure.id,
                changed={name: rows for name, rows in changed.items() if rows},
                kept=[{**asdict(each), "until": each.until and each.until.isoformat()} for each in kept],
                documents_until=until,
                now=unit.now,
            )
            if done:
                unit.audit("privacy.erasure_done", erasure.party, after={"erasure": str(erasure.id)})

    def _documents_until(self, person: Person) -> date | None:
        last = self._holders.last_document(person)
        return None if last is None else keep_documents_until(last, self._documents_days)

    def _kept(self, person: Person, until: date | None) -> list[Kept]:
        dated = [
            Kept(where=kept.where, why=kept.why, until=until)
            if kept.where.startswith(("billing.", "crm.document_recipient"))
            else kept
            for kept in self._holders.kept(person)
        ]
        return [*dated, *KEPT]


def run_erasure(run: Run, erasure_id: str, *, rights: Rights) -> None:
    """Look, register, erase component by component, finish."""
    seen = run.world("look", rights.look, erasure_id)
    if seen is None:
        return
    run.world("register", rights.register, erasure_id)
    changed = {
        component: run.unit(component, f"erase {component}", rights.erase_in, component, seen)
        for component in rights.components()
    }
    run.world("finish", rights.finish, erasure_id, seen, changed)
