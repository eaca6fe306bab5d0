"""Files of connectors and their rows: captured raw, settled one by one, made and numbered, sent."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from turnup.contracts.mediation import MadeFile, QuarantinedRow, RemoteFile, TakenFile
from turnup.contracts.unit import Unit
from turnup.integration.mediation.model import (
    Connector,
    Fact,
    FileState,
    Mode,
    Outcome,
    RawRow,
    Record,
    RecordKind,
    RowState,
)
from turnup.integration.mediation.rules import rows as rules
from turnup.integration.mediation.rules import writing
from turnup.integration.mediation.store import incoming, outgoing
from turnup.kernel.actors import require_person, require_reason
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.kernel.ids import derived_id
from turnup.runtime.component import Runtime

FACTS_MAX = 20_000
"""In one outgoing file; more make more files. (Of invoices a fact is a shard: see Records.)"""


class Files:
    """Use cases over files; touches no other system."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    # --- in -----------------------------------------------------------------------------------------------

    def seen(self, connector: str) -> Mapping[str, tuple[int, int, datetime]]:
        with self._runtime.snapshot("mediation") as connection:
            return incoming.seen_files(connection, connector)

    def note_seen(self, unit: Unit, connector: str, files: Sequence[RemoteFile]) -> None:
        incoming.note_seen(unit.connection, connector, files, unit.now)

    def capture(self, unit: Unit, connector: Connector, name: str, content: bytes) -> UUID:
        """Keep the file's rows as they came, all of them or none; the same file again changes nothing. A file
        that cannot be used as a whole is kept as refused, with its reason."""
        sha256 = hashlib.sha256(content).hexdigest()
        file_id = derived_id("connector_file", connector.name, name, sha256, connector.mode)
        rows: Sequence[RawRow] = ()
        reason = None
        try:
            rows = rules.read_rows(content, connector.columns, connector.format)
        except InvalidInput as error:
            reason = str(error)
        state = FileState.CAPTURED if reason is None else FileState.REFUSED
        incoming.add_file(
            unit.connection,
            {
                "file_id": file_id,
                "connector": connector.name,
                "version": connector.version,
                "name": name,
                "sha256": sha256,
                "mode": connector.mode.value,
                "state": state.value,
                "reason": reason,
                "rows_read": len(rows),
                "taken_at": unit.now,
            },
            rows,
        )
        return file_id

    def file(self, file_id: UUID) -> TakenFile:
        with self._runtime.snapshot("mediation") as connection:
            found = incoming.file(connection, file_id)
        if found is None:
            raise NotFound(f"no file {file_id}", field="file")
        return found

    def taken(self, connector: str | None = None, limit: int = 50) -> Sequence[TakenFile]:
        """The latest first."""
        with self._runtime.snapshot("mediation") as connection:
            return incoming.files(connection, connector, limit)

    def unfinished(self, connector: str) -> Sequence[TakenFile]:
        with self._runtime.snapshot("mediation") as connection:
            return incoming.unfinished(connection, connector)

    def waiting_rows(self, file_id: UUID, limit: int) -> Sequence[tuple[int, RawRow]]:
        with self._runtime.snapshot("mediation") as connection:
            return incoming.waiting_rows(connection, file_id, limit)

    def is_known(self, connector: Connector, record: Record, file: str) -> str | None:
        """The digest under which this key was applied, if it was."""
        with self._runtime.snapshot("mediation") as connection:
            return incoming.applied_hash(connection, *self._applied_as(connector, record.key, file))

    def settle(
        self,
        unit: Unit,
        connector: Connector,
        file: str,
        row_id: int,
        outcome: Outcome,
        *,
        expected: RowState,
        record: Record | None = None,
        owner: UUID | None = None,
    ) -> bool:
        """Note what became of a row that is still as expected; remembers what was applied, in live mode."""
        if not incoming.lock_row(unit.connection, row_id, expected):
            return False
        done = outcome.state in (RowState.APPLIED, RowState.UNCHANGED)
        if done and record is not None and connector.mode is Mode.LIVE:
            names = self._applied_as(connector, record.key, file)
            incoming.set_applied(unit.connection, *names, record.digest, unit.now)
        incoming.settle_row(unit.connection, row_id, outcome, owner, unit.now)
        if expected is RowState.QUARANTINED:
            unit.audit("mediation.row_replayed", str(row_id), after=outcome.state.value)
            if outcome.state is not RowState.QUARANTINED:  # its counts changed: they hear of it
                incoming.acknowledge_again(unit.connection, row_id)
        if connector.mode is Mode.SHADOW:
            incoming.set_raw(unit.connection, row_id, {})  # it can never be replayed: no reason to keep it
        return True

    @staticmethod
    def _applied_as(connector: Connector, key: str, file: str) -> tuple[str, str, str]:
        """(system, kind, key) under which a row is remembered. A customer may change with every file; an
        order is placed once, by this connector, or by this file where keys begin anew in each."""
        if connector.kind is RecordKind.CUSTOMERS:
            return connector.system, "connector:customers", key
        within = f"{file}/" if connector.key_within == "file" else ""
        return connector.system, f"connector:{connector.name}", within + key

    def applied_whole(self, unit: Unit, file_id: UUID) -> None:
        incoming.set_file(unit.connection, file_id, state=FileState.APPLIED.value)

    def acknowledgement(self, connector: Connector, file: TakenFile) -> bytes:
        with self._runtime.snapshot("mediation") as connection:
            rejected = incoming.rejected(connection, file.id)
        counts = None if file.state == FileState.REFUSED.value else file.counts
        return writing.acknowledgement(connector, file.name, file.sha256, counts, rejected, file.reason)

    def acknowledged(self, unit: Unit, file: TakenFile) -> None:
        """They have the counts of `file`; where those changed meanwhile, they get the new ones next."""
        incoming.lock_file(unit.connection, file.id)
        present = incoming.file(unit.connection, file.id)
        if present is not None and present.counts == file.counts:
            incoming.set_file(unit.connection, file.id, acknowledged_at=unit.now)

    def filed(self, unit: Unit, file_id: UUID) -> None:
        incoming.set_file(unit.connection, file_id, filed_at=unit.now)

    def differences(self, file_id: UUID) -> Sequence[tuple[int, str]]:
        with self._runtime.snapshot("mediation") as connection:
            return incoming.differences(connection, file_id)

    # --- quarantine ---------------------------------------------------------------------------------------

    def quarantined(self, connector: str | None = None) -> Sequence[QuarantinedRow]:
        with self._runtime.snapshot("mediation") as connection:
            return incoming.quarantined(connection, connector)

    def waiting(self) -> Mapping[str, int]:
        """How many rows wait for a person, by connector."""
        with self._runtime.snapshot("mediation") as connection:
            return incoming.waiting(connection)

    def quarantined_row(self, row_id: int) -> tuple[TakenFile, RawRow]:
        """Raises NotFound for a row that waits for nobody."""
        with self._runtime.snapshot("mediation") as connection:
            source = incoming.row_source(connection, row_id)
            if source is None or not incoming.quarantined(connection, row_id=row_id):
                raise NotFound(
                    f"no row {row_id} in quarantine",
                    field="row",
                    remedy="list them: turnup connector quarantine list",
                )
            file = incoming.file(connection, source[0])
        assert file is not None  # a row is a file's: the database keeps it so
        return file, source[1]

    def correct(self, unit: Unit, row_id: int, raw: Mapping[str, str], columns: Sequence[str]) -> None:
        """A person mends these columns of a row; who and which is audited, the values are not."""
        require_person(unit.actor, "correct a row")
        if not incoming.lock_row(unit.connection, row_id, RowState.QUARANTINED):
            raise Conflict("the row waits no more", field="row", remedy="list those that do")
        incoming.set_raw(unit.connection, row_id, raw)
        unit.audit("mediation.row_corrected", str(row_id), after=sorted(columns))

    def discard(self, unit: Unit, row_id: int, reason: str) -> None:
        """A named person says that this row is never applied, and why."""
        require_person(unit.actor, "discard a row")
        require_reason(reason)
        found = incoming.quarantined(unit.connection, row_id=row_id)
        if not found or not incoming.lock_row(unit.connection, row_id, RowState.QUARANTINED):
            raise NotFound(f"no row {row_id} in quarantine", field="row", remedy="list those that wait")
        outcome = Outcome(
            state=RowState.DISCARDED, key=found[0].key, field=found[0].field, reason=f"discarded: {reason}"
        )
        incoming.settle_row(unit.connection, row_id, outcome, None, unit.now)
        incoming.acknowledge_again(unit.connection, row_id)
        unit.audit("mediation.row_discarded", str(row_id), after=reason)

    # --- out ----------------------------------------------------------------------------------------------

    def note_facts(self, unit: Unit, kind: RecordKind, facts: Sequence[outgoing.NewFact]) -> None:
        if facts:
            outgoing.add_facts(unit.connection, kind, facts)

    def next_facts(self, connector: Connector) -> tuple[int, int, Sequence[Fact]]:
        """(cursor, number of the last file, facts after it)."""
        with self._runtime.snapshot("mediation") as connection:
            position, number = outgoing.cursor(connection, connector.name)
            facts = outgoing.facts_after(connection, connector.kind, position, FACTS_MAX)
        return position, number, facts

    def make(
        self,
        unit: Unit,
        connector: Connector,
        position: int,
        facts: Sequence[Fact],
        records: Sequence[Mapping[str, str]],
    ) -> int:
        """Number and keep the next file, and move the cursor past its facts, in one transaction. Raises
        Conflict where the cursor is not there any more."""
        present, number = outgoing.cursor(unit.connection, connector.name, lock=True)
        if present != position:
            raise Conflict(
                "somebody made a file meanwhile", field="connector", remedy="run the connector again"
            )
        number += 1
        content, total = writing.outgoing(connector, number, records, unit.now)
        outgoing.add_made(
            unit.connection,
            {
                "connector": connector.name,
                "number": number,
                "version": connector.version,
                "name": connector.file_name.format(number=number),
                "mode": connector.mode.value,
                "rows": len(records),
                "control_sum": total,
                "sha256": hashlib.sha256(content).hexdigest(),
                "content": content,
                "first_position": facts[0].position,
                "last_position": facts[-1].position,
                "made_at": unit.now,
            },
        )
        return number

    def given_away(self) -> Mapping[str, tuple[int, int]]:
        """How far the outgoing files have come: (last number, last fact), by connector."""
        with self._runtime.snapshot("mediation") as connection:
            return outgoing.cursors(connection)

    def skip_given_away(self, unit: Unit, connector: str, number: int, position: int) -> bool:
        """After the books went back in time: numbers up to this one are given away and never come again, and
        facts that went into files then do not go into one more. False where nothing was to be skipped."""
        skipped = outgoing.skip(unit.connection, connector, number, position)
        if skipped:
            unit.audit("mediation.file_numbers_skipped", connector, after=number)
        return skipped

    def unsent(self, connector: str) -> Sequence[int]:
        with self._runtime.snapshot("mediation") as connection:
            return outgoing.unsent(connection, connector)

    def made(self, connector: str | None = None, limit: int = 50) -> Sequence[MadeFile]:
        """The latest first."""
        with self._runtime.snapshot("mediation") as connection:
            return outgoing.made(connection, connector, limit)

    def content(self, connector: str, number: int) -> tuple[MadeFile, bytes]:
        """A file as it was made, byte for byte. Raises NotFound."""
        with self._runtime.snapshot("mediation") as connection:
            found = outgoing.content(connection, connector, number)
        if found is None:
            raise NotFound(
                f"{connector} has made no file {number}",
                field="number",
                remedy=f"list them: turnup connector files {connector}",
            )
        return found

    def sent(self, unit: Unit, connector: str, number: int) -> None:
        outgoing.set_sent(unit.connection, connector, number, unit.now)

    def sent_again(self, unit: Unit, connector: str, number: int) -> None:
        self.sent(unit, connector, number)
        unit.audit("mediation.file_sent_again", connector, after=number)
