"""Runs a connector: takes files in, applies their rows, acknowledges, files them away; makes files and sends.

Everything is kept where it stands, step by step, so that a run which died anywhere is simply run again: a
file is known by its content, a row by its state, an outgoing file by its number.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from turnup.contracts.mediation import (
    FileGateway,
    FileServer,
    FilesRefused,
    MadeFile,
    Quarantined,
    RemoteFile,
    RunReport,
    TakenFile,
    TestReport,
)
from turnup.integration.mediation.model import (
    Connector,
    Direction,
    FileState,
    Mode,
    Outcome,
    RawRow,
    Record,
    RecordKind,
    RowState,
)
from turnup.integration.mediation.rules import rows as row_rules
from turnup.integration.mediation.rules import writing
from turnup.integration.mediation.rules.names import below, is_complete, sort_out
from turnup.integration.mediation.service.connectors import EXCHANGE, Connectors
from turnup.integration.mediation.service.files import Files
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.applying import Applied, Applier
from turnup.integration.mediation.workflows.records import Records
from turnup.kernel.errors import Conflict, InvalidInput, TurnupError
from turnup.kernel.ids import new_id
from turnup.runtime import faultpoint
from turnup.runtime.component import Runtime
from turnup.runtime.durable import Run, Workflow

log = structlog.get_logger(__name__)

_DEADLINE_S = 30.0
_FILE_DEADLINE_S = 300.0
_ROWS_AT_ONCE = 200
_FILES_AT_ONCE = 50


class Exchange:
    """Runs, tests and repairs the exchange of files; holds the gateway."""

    def __init__(
        self,
        runtime: Runtime,
        mediation: Mediation,
        connectors: Connectors,
        files: Files,
        applier: Applier,
        records: Records,
        gateway: FileGateway,
    ) -> None:
        self._runtime = runtime
        self._mediation = mediation
        self._connectors = connectors
        self._files = files
        self._applier = applier
        self._records = records
        self._gateway = gateway

    def run(self, name: str, by: str) -> RunReport:
        """Exchange what there is to exchange now. `by` names this run: the same again goes on. Raises
        Conflict while another works on this connector, Unavailable, FilesRefused."""
        connector = self._connectors.connector(name)
        self._connectors.claim(name, by)
        error: str | None = None
        try:
            server = self._connectors.server(connector)
            take = self._take if connector.direction is Direction.IN else self._give
            return take(connector, server, by)
        except TurnupError as failed:
            error = str(failed)
            raise
        except Exception as failed:  # not foreseen: shown as well, its words may hold what rows say
            error = f"failed unexpectedly ({type(failed).__name__}); see the log"
            raise
        finally:
            self._connectors.finish(name, by, error)

    # --- in -----------------------------------------------------------------------------------------------

    def _take(self, connector: Connector, server: FileServer, by: str) -> RunReport:
        listed = self._gateway.listed(server, connector.folder, deadline_s=_DEADLINE_S)
        names = {file.name: file for file in listed}
        meant, refused = sort_out(listed, connector.pattern, connector.ready)
        done, problems = self._go_on_with_all(connector, server, names, by)
        before = self._files.seen(connector.name)
        now = self._runtime.clock.now()
        with self._runtime.unit("mediation", by) as unit:
            self._files.note_seen(unit, connector.name, meant)
        complete = [file for file in meant if is_complete(file, names.keys(), before, connector.ready, now)]
        waiting = [file.name for file in meant if file not in complete]
        for remote in self._not_rehearsed(connector, complete, before)[:_FILES_AT_ONCE]:
            try:
                taken = self._one(connector, server, remote, names, by)
            except FilesRefused as error:  # too large, unreadable: the others go on
                problems.append(error)
                continue
            if taken is None:
                waiting.append(remote.name)
            else:
                done[taken.id] = taken
        if problems:
            raise problems[0]
        return RunReport(
            connector=connector.name,
            mode=connector.mode.value,
            files=tuple(done.values()),
            waiting=tuple(waiting),
            refused_names=tuple(refused),
        )

    def _not_rehearsed(
        self,
        connector: Connector,
        files: Sequence[RemoteFile],
        before: Mapping[str, tuple[int, int, datetime]],
    ) -> list[RemoteFile]:
        """In shadow mode files stay where they are: leave out those that were counted as they are now."""
        if connector.mode is Mode.LIVE:
            return list(files)
        counted = {
            file.name: file.taken_at
            for file in reversed(self._files.taken(connector.name, 1000))
            if file.mode == Mode.SHADOW.value
        }

        def was_counted(file: RemoteFile) -> bool:
            seen = before.get(file.name)
            if seen is None or file.name not in counted:
                return False
            return seen[:2] == (file.size, file.changed_at) and counted[file.name] >= seen[2]

        return [file for file in files if not was_counted(file)]

    def _one(
        self,
        connector: Connector,
        server: FileServer,
        remote: RemoteFile,
        names: Mapping[str, RemoteFile],
        by: str,
    ) -> TakenFile | None:
        """Take one complete file; None when it turns out not to be complete, or is gone."""
        self._connectors.claim(connector.name, by)
        content = self._gateway.fetch(
            server,
            connector.folder,
            remote.name,
            bytes_max=connector.bytes_max,
            deadline_s=_FILE_DEADLINE_S,
        )
        if content is None or len(content) != remote.size:
            return None
        faultpoint.reach("mediation.file.fetched")
        with self._runtime.unit("mediation", by) as unit:
            file_id = self._files.capture(unit, connector, remote.name, content)
        faultpoint.reach("mediation.file.captured")
        self._apply_rows(connector, file_id, by)
        if connector.mode is Mode.LIVE:
            self._acknowledge(connector, server, file_id, by)
            self._file_away(connector, server, remote, names, file_id, by)
        return self._files.file(file_id)

    def _go_on_with_all(
        self, connector: Connector, server: FileServer, names: Mapping[str, RemoteFile], by: str
    ) -> tuple[dict[UUID, TakenFile], list[FilesRefused]]:
        """What earlier runs left, the oldest first and before anything newer: the newest rows apply last.
        In shadow mode what was taken live waits."""
        done: dict[UUID, TakenFile] = {}
        problems: list[FilesRefused] = []
        for file in self._files.unfinished(connector.name):
            if connector.mode is Mode.SHADOW and file.mode == Mode.LIVE.value:
                continue
            try:
                done[file.id] = self._go_on(connector, server, file, names, by)
            except FilesRefused as error:
                problems.append(error)
        return done, problems

    def _go_on(
        self,
        connector: Connector,
        server: FileServer,
        file: TakenFile,
        names: Mapping[str, RemoteFile],
        by: str,
    ) -> TakenFile:
        """A file that was not finished: its rows, by the document it was read by; its acknowledgement, which
        goes where the present one says. One of its name that lies there still is filed away in its turn."""
        read_by = self._connectors.connector(connector.name, file.version)
        self._apply_rows(replace(read_by, mode=Mode(file.mode)), file.id, by)
        if file.mode == Mode.LIVE.value:
            self._acknowledge(connector, server, file.id, by)
            if file.name not in names:
                self._file_marker_away(connector, server, file, names)
                with self._runtime.unit("mediation", by) as unit:
                    self._files.filed(unit, file.id)
        return self._files.file(file.id)

    def _file_marker_away(
        self, connector: Connector, server: FileServer, file: TakenFile, names: Mapping[str, RemoteFile]
    ) -> None:
        """We died after moving the file and before its marker, which would call the next upload complete."""
        marker = names.get(file.name + connector.ready.suffix)
        if connector.ready.by == "marker" and marker is not None and file.filed_at is None:
            self._move(connector, server, marker, file)

    def _move(self, connector: Connector, server: FileServer, remote: RemoteFile, file: TakenFile) -> None:
        """To done, or to failed where the file was refused as a whole."""
        folder = connector.failed if file.state == FileState.REFUSED.value else connector.done
        self._gateway.move(
            server,
            connector.folder,
            remote,
            below(connector.folder, folder),
            f"{remote.name}.{file.sha256[:8]}",
            deadline_s=_DEADLINE_S,
        )

    def _apply_rows(self, connector: Connector, file_id: UUID, by: str) -> None:
        file = self._files.file(file_id)
        if file.state != FileState.CAPTURED.value:
            return
        while rows := self._files.waiting_rows(file_id, _ROWS_AT_ONCE):
            self._connectors.claim(connector.name, by)
            for row_id, row in rows:
                self._apply_row(connector, file.name, row_id, row, RowState.CAPTURED, by)
        with self._runtime.unit("mediation", by) as unit:
            self._files.applied_whole(unit, file_id)
        faultpoint.reach("mediation.file.applied")

    def _apply_row(
        self, connector: Connector, file: str, row_id: int, row: RawRow, expected: RowState, by: str
    ) -> Outcome:
        """Apply one row in its component, then note what became of it. Died in between? The row is applied
        again, which changes nothing, and counted then."""
        record: Record | None = None
        done: Applied | None = None
        try:
            record = row_rules.record_of(row, connector)
            outcome, done = self._outcome(connector, file, record, rehearse=connector.mode is Mode.SHADOW)
        except TurnupError as error:
            outcome = _refusal(record, error)
        known = self._owner(connector, record)
        faultpoint.reach("mediation.row.applied")
        settle = partial(self._files.settle, connector=connector, file=file, row_id=row_id, expected=expected)
        with self._runtime.unit("mediation", by) as unit:
            try:
                with unit.attempt():
                    for kind, external_id, internal_id in done.links if done else ():
                        if connector.mode is Mode.LIVE:
                            self._mediation.link(unit, connector.system, kind, external_id, internal_id)
                    owner = done.owner if done else known
                    settle(unit, outcome=outcome, record=record, owner=owner)
            except Conflict as error:
                outcome = _refusal(record, error)
                settle(unit, outcome=outcome, owner=known)
        return outcome

    def _outcome(
        self, connector: Connector, file: str, record: Record, *, rehearse: bool
    ) -> tuple[Outcome, Applied | None]:
        """Raises what the component says against it; a component that does not answer ends the run."""
        if self._files.is_known(connector, record, file) == record.digest:
            return Outcome(state=RowState.UNCHANGED, key=record.key), None
        done = self._applier.apply(connector, record, file, rehearse=rehearse)
        state = RowState.APPLIED if done.difference else RowState.UNCHANGED
        return Outcome(state=state, key=record.key, difference=done.difference or None), done

    def _owner(self, connector: Connector, record: Record | None) -> UUID | None:
        """Whose the row is, where its customer is known."""
        if record is None:
            return None
        column = "external_id" if connector.kind is RecordKind.CUSTOMERS else "customer"
        external_id = record.values.get(column)
        if external_id is None:
            return None
        return self._mediation.internal_id(connector.system, "customer", external_id)

    def _acknowledge(self, connector: Connector, server: FileServer, file_id: UUID, by: str) -> None:
        file = self._files.file(file_id)
        again = file.filed_at is not None  # they sent it a second time, and hear a second time
        if file.acknowledged_at is not None and not again:
            return
        if connector.ack is not None:
            content = self._files.acknowledgement(connector, file)
            name = f"{file.name}.ack.csv"
            self._gateway.put(server, connector.ack, name, content, deadline_s=_FILE_DEADLINE_S)
            faultpoint.reach("mediation.file.acknowledged")
        with self._runtime.unit("mediation", by) as unit:
            self._files.acknowledged(unit, file)

    def _file_away(
        self,
        connector: Connector,
        server: FileServer,
        remote: RemoteFile,
        names: Mapping[str, RemoteFile],
        file_id: UUID,
        by: str,
    ) -> None:
        """With its marker. What was replaced meanwhile stays and is another file."""
        file = self._files.file(file_id)
        moved = [remote]
        if connector.ready.by == "marker" and (marker := names.get(remote.name + connector.ready.suffix)):
            moved.append(marker)
        for each in moved:
            self._move(connector, server, each, file)
            faultpoint.reach("mediation.one.moved")
        faultpoint.reach("mediation.file.moved")
        with self._runtime.unit("mediation", by) as unit:
            self._files.filed(unit, file_id)

    # --- quarantine ---------------------------------------------------------------------------------------

    def replay(self, row_id: int, by: str, corrected: Mapping[str, str] | None = None) -> Outcome:
        """Apply a row of the quarantine by the document now in force, with columns corrected by a person.
        Raises NotFound for a row that does not wait, InvalidInput for a column that it does not have."""
        file, row = self._files.quarantined_row(row_id)
        connector = self._connectors.connector(file.connector)
        if corrected:
            row = RawRow(row.n, _corrected(row, corrected))
            with self._runtime.unit("mediation", by) as unit:
                self._files.correct(unit, row_id, row.raw, list(corrected))
        live = replace(connector, mode=Mode.LIVE)  # it was taken in live mode, and counts there
        return self._apply_row(live, file.name, row_id, row, RowState.QUARANTINED, by)

    # --- out ----------------------------------------------------------------------------------------------

    def _give(self, connector: Connector, server: FileServer, by: str) -> RunReport:
        if connector.mode is Mode.SHADOW:
            would = self._would_make(connector)
            return RunReport(
                connector=connector.name, mode=connector.mode.value, made=(would[0],) if would else ()
            )
        while self._make(connector, by):
            faultpoint.reach("mediation.file.made")
        sent = [self._send(connector, server, number, by) for number in self._files.unsent(connector.name)]
        return RunReport(connector=connector.name, mode=connector.mode.value, made=tuple(sent))

    def _make(self, connector: Connector, by: str) -> bool:
        """One more file, if there is something to write."""
        position, _, facts = self._files.next_facts(connector)
        if not facts:
            return False
        self._connectors.claim(connector.name, by)
        facts, records = self._records.of(connector, facts)
        with self._runtime.unit("mediation", by) as unit:
            self._files.make(unit, connector, position, facts, records)
        return True

    def _would_make(self, connector: Connector) -> tuple[MadeFile, bytes] | None:
        """The next file and its bytes, without making it."""
        _, number, facts = self._files.next_facts(connector)
        if not facts:
            return None
        _, records = self._records.of(connector, facts)
        at = self._runtime.clock.now()
        content, total = writing.outgoing(connector, number + 1, records, at)
        made = MadeFile(
            connector=connector.name,
            number=number + 1,
            name=connector.file_name.format(number=number + 1),
            rows=len(records),
            control_sum=total,
            sha256=hashlib.sha256(content).hexdigest(),
            mode=Mode.SHADOW.value,
            made_at=at,
            sent_at=None,
        )
        return made, content

    def _send(self, connector: Connector, server: FileServer, number: int, by: str) -> MadeFile:
        """Under a temporary name, then renamed: died in between, the same bytes go again."""
        self._connectors.claim(connector.name, by)
        made, content = self._files.content(connector.name, number)
        self._gateway.put(server, connector.folder, made.name, content, deadline_s=_FILE_DEADLINE_S)
        faultpoint.reach("mediation.file.put")
        with self._runtime.unit("mediation", by) as unit:
            self._files.sent(unit, connector.name, number)
        return self._files.content(connector.name, number)[0]

    def send_again(self, name: str, number: int, by: str) -> MadeFile:
        """The same file once more, byte for byte. Raises NotFound, Unavailable, FilesRefused."""
        connector = self._connectors.connector(name)
        made, content = self._files.content(name, number)
        server = self._connectors.server(connector)
        self._gateway.put(server, connector.folder, made.name, content, deadline_s=_FILE_DEADLINE_S)
        with self._runtime.unit("mediation", by) as unit:
            self._files.sent_again(unit, name, number)
        return self._files.content(name, number)[0]

    # --- tests --------------------------------------------------------------------------------------------

    def test(self, name: str, file: str, content: bytes) -> TestReport:
        """What this file would do (in), or how the next file would differ from it (out: rows of ours that it
        lacks, and of it that we would not write). Changes nothing, asks nobody."""
        connector = self._connectors.connector(name)
        if connector.direction is Direction.OUT:
            return self._compare(connector, file, content)
        rows = row_rules.read_rows(content, connector.columns, connector.format)
        counted = {RowState.APPLIED: 0, RowState.UNCHANGED: 0}
        quarantined: list[Quarantined] = []
        differences: list[tuple[int, str]] = []
        for row in rows:
            try:
                record = row_rules.record_of(row, connector)
                outcome, _ = self._outcome(connector, file, record, rehearse=True)
                counted[outcome.state] += 1
                if outcome.difference:
                    differences.append((row.n, outcome.difference))
            except TurnupError as error:
                if error.status >= 500:
                    raise
                quarantined.append(
                    Quarantined(
                        source=file,
                        row=row.n,
                        field=error.field,
                        reason=error.message,
                        remedy=error.remedy,
                        raw="",
                    )
                )
        return TestReport(
            connector=name,
            file=file,
            read=len(rows),
            applied=counted[RowState.APPLIED],
            unchanged=counted[RowState.UNCHANGED],
            quarantined=tuple(quarantined),
            differences=tuple(differences),
        )

    def _compare(self, connector: Connector, file: str, content: bytes) -> TestReport:
        would = self._would_make(connector)
        ours = _data_lines(would[1], connector) if would else []
        theirs = _data_lines(content, connector)
        missing, extra = set(ours) - set(theirs), set(theirs) - set(ours)
        differences = [(n, "only ours") for n, line in enumerate(ours, start=3) if line in missing]
        differences += [(n, "only theirs") for n, line in enumerate(theirs, start=3) if line in extra]
        return TestReport(
            connector=connector.name,
            file=file,
            read=len(theirs),
            applied=len(extra),
            unchanged=len(theirs) - len(extra),
            quarantined=(),
            differences=tuple(differences),
        )


def workflows(exchange: Exchange) -> Sequence[Workflow]:
    def work(run: Run, name: str) -> None:
        run.world("exchange", _quietly, exchange.run, name, f"workflow:{run.id}")

    return [Workflow(name=EXCHANGE, function=work, logged=("connector",))]


def _quietly(run: Callable[[str, str], RunReport], name: str, by: str) -> None:
    """What goes wrong is kept with the connector, shown and tried again at the next date."""
    try:
        run(name, by)
    except TurnupError as error:
        log.warning("exchange_failed", connector=name, error=str(error))


def actor_of_run(by: str) -> str:
    """Names one run that a person started: two of hers are two."""
    return f"{by}#{new_id().hex[-8:]}"


def _refusal(record: Record | None, error: TurnupError) -> Outcome:
    if error.status >= 500:
        raise error
    return Outcome(
        state=RowState.QUARANTINED,
        key=None if record is None else record.key,
        field=error.field,
        reason=error.message,
        remedy=error.remedy,
    )


def _corrected(row: RawRow, corrected: Mapping[str, str]) -> dict[str, str]:
    for name in corrected:
        if name not in row.raw:
            raise InvalidInput(
                f"the row has no column {name!r}", field=name, remedy=f"one of: {', '.join(row.raw)}"
            )
    return {**row.raw, **corrected}


def _data_lines(content: bytes, connector: Connector) -> list[str]:
    """The lines between the names of the columns and the trailer."""
    text = content.decode(connector.format.encoding, errors="replace")
    return [line for line in text.splitlines()[2:-1] if line]
