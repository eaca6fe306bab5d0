"""The runtime's own tables, and DBOS's: their classes, what an erasure takes out of them, what is purged.

Events, audit and workflows hold ids; their traffic data (sessions, usage) and what a failed delivery quoted
are the exceptions, and go.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from turnup.contracts.privacy import Kept, Person
from turnup.kernel.privacy import Classes, DataClass
from turnup.runtime.personal import Expiry

TRAFFIC_EVENTS = ("monitoring.SessionStarted", "monitoring.SessionEnded", "monitoring.UsageMeasured")
_TRAFFIC = ", ".join(f"'{name}'" for name in TRAFFIC_EVENTS)
_CONSUMED = (
    "position <= (SELECT coalesce(min(c.position), 0) FROM runtime.consumer c)"
    " AND NOT EXISTS (SELECT FROM runtime.parked p WHERE p.position = runtime.event.position)"
)
"""Every consumer is past it, and none keeps it to try again."""

_OVER = "status IN ('SUCCESS', 'ERROR', 'CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')"
_STEPS = ("operation_outputs", "workflow_input", "workflow_output")
_WORKFLOWS_GO = """
    WITH old AS (SELECT workflow_uuid FROM dbos.workflow_status WHERE {which}), {steps},
    written AS (DELETE FROM dbos.datasource_outputs WHERE workflow_id IN (SELECT workflow_uuid FROM old))
    DELETE FROM dbos.workflow_status WHERE workflow_uuid IN (SELECT workflow_uuid FROM old)
"""
_EACH_STEP = ", ".join(
    f"{table} AS (DELETE FROM dbos.{table} WHERE workflow_uuid IN (SELECT workflow_uuid FROM old))"
    for table in _STEPS
)
_OLD = f"{_OVER} AND updated_at < extract(epoch FROM CAST(:before AS timestamptz)) * 1000"

CLASSES: Classes = {
    "event": {
        DataClass.PSEUDONYM: "aggregate_id",
        DataClass.TRAFFIC: "payload",
        DataClass.STAFF: "actor",
        DataClass.NONE: "event_id position type schema_version aggregate_version occurred_at traceparent",
    },
    "aggregate": {DataClass.PSEUDONYM: "aggregate_id", DataClass.NONE: "version"},
    "sequencer": {DataClass.NONE: "id last_position"},
    "consumer": {DataClass.NONE: "name position"},
    "parked": {
        DataClass.PSEUDONYM: "aggregate_id",
        DataClass.TEXT: "error",
        DataClass.NONE: "consumer position parked_at",
    },
    "worker": {DataClass.NONE: "worker_id version started_at heartbeat_at taken_over_by stopped_at"},
    "audit": {
        DataClass.PSEUDONYM: "subject",
        DataClass.STAFF: "actor before after",
        DataClass.NONE: "audit_id at component action link",
    },
    "audit_link": {
        DataClass.NONE: "n previous sealed_at audit_ids digests hash key_id mac",
    },
    "audit_checkpoint": {DataClass.NONE: "n hash key_id mac taken_at entries"},
    "api_token": {
        DataClass.NONE: "token_id name scopes legal_entity_id brand_id created_at expires_at revoked",
        DataClass.SECRET: "secret_hash",
        DataClass.STAFF: "owner",
    },
    "staff": {
        DataClass.STAFF: "name roles oidc_identity oidc_subject last_login_at",
        DataClass.SECRET: "password_hash",
        DataClass.NONE: "legal_entity_id brand_id created_at disabled_at",
    },
    "staff_session": {
        DataClass.STAFF: "name way address seen_at",
        DataClass.SECRET: "secret_hash",
        DataClass.NONE: "session_id created_at expires_at ended_at",
    },
    "login_attempt": {DataClass.STAFF: "key", DataClass.NONE: "failures last_at locked_until"},
    "oidc_login": {DataClass.SECRET: "state_hash nonce verifier", DataClass.NONE: "expires_at"},
    "approval": {
        DataClass.STAFF: "what arguments asked_by actor decided_by reason result",
        DataClass.NONE: "approval_id action asked_at expires_at state decided_at",
    },
    "rate_window": {DataClass.STAFF: "key", DataClass.NONE: "hits ends_at"},
    "clock": {DataClass.NONE: "id offset_s"},
    "restored": {
        DataClass.STAFF: "restored_by released_by release_reason",
        DataClass.PSEUDONYM: "lost decisions",
        DataClass.NONE: "restored_id target_at reached_at restored_at backup replaced freeze_id released_at",
    },
    "erasure": {
        DataClass.PSEUDONYM: "party_id",
        DataClass.STAFF: "asked_by",
        DataClass.NONE: "erasure_id asked_at attempt tried_at state in_the_way documents_until changed kept"
        " done_at again",
    },
    "purge": {DataClass.NONE: "purge_id started_at finished_at", DataClass.STAFF: "actor"},
    "purged": {DataClass.NONE: "purge_id what before rows"},
}

ENGINE_CLASSES: Mapping[str, DataClass] = {
    "workflow_status": DataClass.PSEUDONYM,
    "workflow_input": DataClass.PSEUDONYM,
    "workflow_output": DataClass.PSEUDONYM,
    "operation_outputs": DataClass.TEXT,
    "datasource_outputs": DataClass.PSEUDONYM,
    "notifications": DataClass.NONE,
    "workflow_events": DataClass.NONE,
    "workflow_events_history": DataClass.NONE,
    "streams": DataClass.NONE,
    "queues": DataClass.NONE,
    "workflow_schedules": DataClass.NONE,
    "application_versions": DataClass.NONE,
    "event_dispatch_kv": DataClass.NONE,
    "dbos_migrations": DataClass.NONE,
    "dbos_datasource_migrations": DataClass.NONE,
}
"""DBOS's tables as a whole: they are not ours to describe by column, and its next version has others. Our
workflows take and return ids; a step that failed may quote a mail address."""

EXPIRIES: Sequence[Expiry] = (
    Expiry(
        table="event", kind="traffic", due=f"occurred_at < :before AND type IN ({_TRAFFIC}) AND {_CONSUMED}"
    ),
    Expiry(
        table="event",
        kind="events",
        due=f"occurred_at < :before AND type NOT IN ({_TRAFFIC}) AND {_CONSUMED}",
    ),
    Expiry(table="staff_session", kind="logins", due="coalesce(ended_at, expires_at) < :before"),
    Expiry(table="login_attempt", kind="logins", due="last_at < :before AND locked_until < :before"),
    Expiry(table="oidc_login", kind="logins", due="expires_at < :before"),
    Expiry(table="rate_window", kind="logins", due="ends_at < :before"),
    Expiry(
        table="approval",
        kind="operations",
        due="coalesce(decided_at, expires_at) < :before AND state <> 'started'",
    ),
    Expiry(table="worker", kind="workflows", due="heartbeat_at < :before"),
)
ENGINE_EXPIRIES: Sequence[Expiry] = (
    Expiry(
        table="workflow_status",
        kind="workflows",
        due=_OLD,
        condense=_WORKFLOWS_GO.format(which=f"{_OLD} LIMIT :batch", steps=_EACH_STEP),
    ),
)

_FORGET_TRAFFIC = text(
    f"DELETE FROM runtime.event WHERE aggregate_id = ANY(:services) AND type IN ({_TRAFFIC}) AND {_CONSUMED}"
)
_FORGET_WORKFLOWS = text(
    _WORKFLOWS_GO.format(which=f"{_OVER} AND workflow_uuid = ANY(:keys)", steps=_EACH_STEP)
)


def forget(connection: Connection, person: Person, delivered_as: Sequence[str]) -> Mapping[str, int]:
    """Take what leads beyond an id out of the runtime's tables; as the connecting role. `delivered_as`: keys
    of the workflows that brought her messages. Returns rows by table."""
    done = {
        "event": connection.execute(_FORGET_TRAFFIC, {"services": list(person.services)}).rowcount,
        "workflow_status": connection.execute(_FORGET_WORKFLOWS, {"keys": list(delivered_as)}).rowcount,
    }
    return {table: rows for table, rows in done.items() if rows}


KEPT: Sequence[Kept] = (
    Kept(where="runtime.audit", why="who of staff changed what: ids of the person, never who she is"),
    Kept(where="runtime.event", why="what happened, by ids; no name, address or mail is in events"),
    Kept(
        where="backups",
        why="they age out (backup_keep), data put aside by a restore goes with `turnup restore discard`; "
        "after a restore the erasure is applied again",
    ),
)
"""What the runtime keeps of everybody."""


def since(connection: Connection) -> datetime | None:
    """When work began here: the first worker's start."""
    found: datetime | None = connection.scalar(text("SELECT min(started_at) FROM runtime.worker"))
    return found
