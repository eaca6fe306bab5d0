"""Connectors: their documents, versions, credentials and schedule; who works on one now.

One at a time works on a connector: it claims it for a while and claims again as it goes. Should two ever do
(the claim of one that was stopped ran out), everything they do bears repetition.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from turnup.contracts.mediation import ConnectorView, FileServer
from turnup.contracts.unit import Unit
from turnup.integration.mediation.model import Connector
from turnup.integration.mediation.rules import documents
from turnup.integration.mediation.rules.names import next_run
from turnup.integration.mediation.store import connectors as store
from turnup.kernel.errors import Conflict, InvalidInput, NotFound
from turnup.runtime.component import Runtime
from turnup.runtime.secrets import SecretBox, key_id_of

EXCHANGE = "mediation.exchange"
_CLAIM = timedelta(minutes=5)
_REFUSED_FOR = timedelta(hours=1)
"""Until a document that cannot be read is looked at again: somebody may have put another in force."""


class Connectors:
    """Use cases over one connector at a time; `box` seals the credentials."""

    def __init__(self, runtime: Runtime, box: SecretBox) -> None:
        self._runtime = runtime
        self._box = box

    # --- documents ----------------------------------------------------------------------------------------

    def publish(self, unit: Unit, document: Mapping[str, Any]) -> tuple[str, int, bool]:
        """Put this document in force: (name, version, whether it is new). The same content again is the same
        version. Another host key is another server: credentials have to be set anew. Raises InvalidInput
        naming the field."""
        plain: Mapping[str, Any] = json.loads(json.dumps(document, default=str))
        name = documents.connector(plain, 1).name
        known = store.kept(unit.connection, name)
        if known and known[0].document == plain:
            return name, known[0].version, False
        version = known[0].version + 1 if known else 1
        connector = documents.connector(plain, version)
        before = _readable(known[0].document) if known else None
        if before is not None:
            self._refuse_other_kind(before, connector)
        store.add_version(unit.connection, name, version, plain, unit.now, unit.actor)
        at = next_run(connector.schedule, unit.now)
        store.ensure_state(unit.connection, name, at, from_now=connector.since == "now")
        unit.audit("mediation.connector_published", name, after=version)
        same_server = before is not None and before.host_key == connector.host_key
        if known and known[0].sealed_credentials and not same_server:
            # whoever may write documents must not have the password sent to a server of their own
            store.set_credentials(unit.connection, name, None)
            unit.audit("mediation.connector_credentials_dropped", name)
        return name, version, True

    @staticmethod
    def _refuse_other_kind(before: Connector, after: Connector) -> None:
        if before.kind is not after.kind:
            raise Conflict(
                f"{before.name} exchanges {before.kind}",
                field="kind",
                remedy="give another kind of records a connector of its own",
            )

    def connector(self, name: str, version: int | None = None) -> Connector:
        """In the version in force, or this one. Raises NotFound."""
        with self._runtime.snapshot("mediation") as connection:
            if version is not None:
                document = store.document(connection, name, version)
                if document is not None:
                    return documents.connector(document, version)
            else:
                for each in store.kept(connection, name):
                    return documents.connector(each.document, each.version)
        raise NotFound(f"no connector {name}", field="connector", remedy="list them: turnup connector list")

    def views(self, name: str | None = None) -> Sequence[ConnectorView]:
        with self._runtime.snapshot("mediation") as connection:
            found = store.kept(connection, name)
        return [_view(each, documents.connector(each.document, each.version)) for each in found]

    def view(self, name: str) -> ConnectorView:
        """Raises NotFound."""
        self.connector(name)
        return self.views(name)[0]

    # --- credentials --------------------------------------------------------------------------------------

    def set_credentials(
        self, unit: Unit, name: str, *, password: str = "", private_key: str | None = None
    ) -> None:
        """How to log in at its file server; kept sealed, never shown."""
        if not password and not private_key:
            raise InvalidInput("nothing to log in with", field="password", remedy="a password or a key")
        if not store.kept(unit.connection, name):
            raise NotFound(f"no connector {name}", field="connector", remedy="import its document first")
        plain = json.dumps({"password": password, "private_key": private_key})
        store.set_credentials(unit.connection, name, self._box.seal(plain, _context(name)))
        unit.audit("mediation.connector_credentials_set", name)

    def server(self, connector: Connector) -> FileServer:
        """Where its files are, and how to log in. Raises InvalidInput where nobody has said."""
        with self._runtime.snapshot("mediation") as connection:
            sealed = next((each.sealed_credentials for each in store.kept(connection, connector.name)), None)
        if sealed is None:
            raise InvalidInput(
                f"no credentials for {connector.name}",
                field="credentials",
                remedy=f"set them: turnup connector credentials {connector.name}",
            )
        plain = json.loads(self._box.open_text(sealed, _context(connector.name)))
        return FileServer(
            connector=connector.name,
            host=connector.host,
            port=connector.port,
            host_key=connector.host_key,
            username=connector.username,
            password=plain["password"],
            private_key=plain["private_key"],
        )

    def reseal(self, unit: Unit) -> int:
        """Wrap every stored secret by the key file's current key; returns how many had an older one."""
        resealed = 0
        for name, old in store.sealed_credentials(unit.connection):
            new = self._box.rewrap(old, _context(name))
            if new != old:
                resealed += store.reseal(unit.connection, name, old, new)
        if resealed:
            unit.audit("mediation.resealed", "secrets", after=resealed)
        return resealed

    def sealed_by(self) -> Counter[str]:
        """How many stored secrets each key of the key file opens, by its id."""
        with self._runtime.snapshot("mediation") as connection:
            keys = [key_id_of(sealed) for _, sealed in store.sealed_credentials(connection)]
        return Counter(key for key in keys if key is not None)

    # --- schedule and claims ------------------------------------------------------------------------------

    def start_due(self, unit: Unit) -> int:
        """Start the exchange of every connector that is due; called by the clock. One whose stored document
        today's rules refuse says so as its last error, and stops nobody else."""
        started = 0
        for name, since in store.due(unit.connection, unit.now):
            (each,) = store.kept(unit.connection, name)
            try:
                schedule = documents.connector(each.document, each.version).schedule
            except InvalidInput as refused:
                store.refused(unit.connection, name, unit.now + _REFUSED_FOR, str(refused))
                continue
            store.set_next(unit.connection, name, next_run(schedule, unit.now))
            unit.start(EXCHANGE, f"{EXCHANGE}:{name}:{since.isoformat()}", name)
            started += 1
        return started

    def claim(self, name: str, by: str) -> None:
        """Nobody else works on it for a while. Raises Conflict where somebody does already."""
        with self._runtime.unit("mediation", by) as unit:
            if not store.claim(unit.connection, name, by, unit.now + _CLAIM, unit.now):
                raise Conflict(
                    f"{name} is being run already", field="connector", remedy="wait until that is done"
                )

    def finish(self, name: str, by: str, error: str | None) -> None:
        with self._runtime.unit("mediation", by) as unit:
            store.finish(unit.connection, name, by, unit.now, error)


def _readable(document: Mapping[str, Any]) -> Connector | None:
    """A document of earlier; None where today's rules refuse it: another one may take its place."""
    try:
        return documents.connector(document, 1)
    except InvalidInput:
        return None


def _context(name: str) -> str:
    return f"connector:{name}"


def _view(each: store.Kept, connector: Connector) -> ConnectorView:
    return ConnectorView(
        name=each.name,
        version=each.version,
        direction=connector.direction.value,
        kind=connector.kind.value,
        mode=connector.mode.value,
        document=each.document,
        imported_at=each.imported_at,
        imported_by=each.imported_by,
        credentials_set=each.sealed_credentials is not None,
        next_at=each.next_at,
        last_run_at=each.last_run_at,
        last_error=each.last_error,
    )
