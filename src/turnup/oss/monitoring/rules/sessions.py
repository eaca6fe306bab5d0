"""From RADIUS accounting to sessions and usage, whatever order and number the packets come in.

Counters are cumulative per session, so the highest ones seen are the truth: a duplicate or a late packet adds
nothing, a lost one is made good by the next. RFC 2866 promises neither order nor delivery.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from turnup.contracts.monitoring import AccountingRecord, SessionEnded, SessionStarted, UsageMeasured
from turnup.kernel.ids import ServiceId
from turnup.oss.monitoring.model import Session, SessionKey

NAS_RESTARTED = "NAS-Reboot"
SUPERSEDED = "Superseded"
_NAS_WIDE = ("accounting_on", "accounting_off")


class Sessions:
    """The sessions a batch of records is about, by key; `changed` are those that are different afterwards."""

    def __init__(self, sessions: Mapping[SessionKey, Session], now: datetime) -> None:
        self._known = dict(sessions)
        self._now = now
        self.changed: dict[SessionKey, Session] = {}

    def absorb(self, record: AccountingRecord, service_id: ServiceId | None) -> None:
        """Take one record in. The caller loaded the record's session, the user's live sessions and, for
        Accounting-On and -Off, the NAS's live ones."""
        if record.status in _NAS_WIDE:
            self._close_all(record)
            return
        known = self._known.get((record.nas, record.session_id))
        fresh = known is None
        session = opened(record, service_id, self._now) if known is None else known
        if session.service_id is None and service_id is not None:
            session = replace(session, service_id=service_id)
        session = advanced(session, record, self._now)
        self._put(session)
        if fresh and session.live:
            self._one_session_a_user(session)

    def _one_session_a_user(self, newest: Session) -> None:
        """A subscriber has one session: a new one ends the older, whose Stop was lost. A record that comes
        late is the older one itself."""
        others = [
            other
            for other in self._known.values()
            if other.live and other.username == newest.username and other.key != newest.key
        ]
        for other in others:
            older, newer = sorted((newest, other), key=lambda session: session.started_at)
            self._put(ended(older, older.last_seen_at, SUPERSEDED, dead_by=newer.started_at))

    def _close_all(self, record: AccountingRecord) -> None:
        """The NAS started or went down: none of its earlier sessions lives. After a power cut nobody knows
        when they ended; the last sign of life is what is proved. Usage counted so far is kept."""
        orderly = record.status == "accounting_off"
        for session in list(self._known.values()):
            # NAS clocks tell seconds: one that started in the second of Accounting-On came after it
            before = session.started_at < record.event_at or (
                orderly and session.started_at == record.event_at
            )
            if session.nas == record.nas and session.live and before:
                at = record.event_at if orderly else session.last_seen_at
                self._put(ended(session, at, NAS_RESTARTED, dead_by=record.event_at))

    def _put(self, session: Session) -> None:
        if self._known.get(session.key) != session:
            self.changed[session.key] = session
        self._known[session.key] = session


def opened(record: AccountingRecord, service_id: ServiceId | None, now: datetime) -> Session:
    """A session first heard of by this record, which need not be its Start."""
    started_at = record.event_at - timedelta(seconds=record.session_time_s)
    return Session(
        nas=record.nas,
        session_id=record.session_id,
        username=record.username,
        service_id=service_id,
        started_at=started_at,
        last_seen_at=started_at,
        heard_at=now,
    )


def advanced(session: Session, record: AccountingRecord, now: datetime) -> Session:
    """The session after one more record of its own."""
    session = replace(
        session,
        last_seen_at=max(session.last_seen_at, record.event_at),
        heard_at=now if record.event_at > session.last_seen_at else session.heard_at,
        upload=max(session.upload, record.input_octets),
        download=max(session.download, record.output_octets),
        framed_ipv4=record.framed_ipv4 or session.framed_ipv4,
        circuit_id=record.circuit_id or session.circuit_id,
    )
    if record.status == "stop":
        return replace(session, ended_at=record.event_at, cause=record.cause, dead_by=None)
    if session.dead_by is None or session.ended_at is None:
        return session
    if record.event_at > session.dead_by:  # we believed it over, and it speaks: it lives
        return replace(
            session, ended_at=None, cause=None, dead_by=None, told_end=False, told_start=not session.told_end
        )
    return replace(session, ended_at=max(session.ended_at, record.event_at))  # a late word of before


def ended(session: Session, at: datetime, cause: str, *, dead_by: datetime) -> Session:
    return replace(session, ended_at=max(at, session.started_at), cause=cause, dead_by=dead_by)


def told(session: Session) -> tuple[Session, tuple[SessionStarted | UsageMeasured | SessionEnded, ...]]:
    """What others have not heard of this session yet, and the session once they have. Nothing is told before
    its service is known; usage that grew nothing is not told."""
    if session.service_id is None:
        return session, ()
    events: list[SessionStarted | UsageMeasured | SessionEnded] = []
    if not session.told_start:
        events.append(
            SessionStarted(
                service_id=session.service_id,
                nas=session.nas,
                session_id=session.session_id,
                at=session.started_at,
            )
        )
    up, down = session.upload - session.told_upload, session.download - session.told_download
    if up or down:
        events.append(
            UsageMeasured(
                service_id=session.service_id,
                # counters only grow, so these name the interval's end for ever
                key=f"{session.nas}:{session.session_id}:{session.upload}:{session.download}",
                started_at=session.told_until or session.started_at,
                ended_at=session.last_seen_at,
                upload_octets=up,
                download_octets=down,
            )
        )
    if session.ended_at is not None and not session.told_end:
        events.append(
            SessionEnded(
                service_id=session.service_id,
                nas=session.nas,
                session_id=session.session_id,
                at=session.ended_at,
                cause=session.cause,
            )
        )
    after = replace(
        session,
        told_start=True,
        told_end=session.ended_at is not None,
        told_upload=session.upload,
        told_download=session.download,
        told_until=session.last_seen_at if up or down else session.told_until,
    )
    return after, tuple(events)
