"""What monitoring holds about people: their sessions, which are traffic data, and their outages."""

from turnup.kernel.privacy import DataClass
from turnup.oss.monitoring import tables
from turnup.runtime.personal import DELETE, Expiry, Hindrance, Holding, Privacy

_OF_SERVICE = "service_id = ANY(:services)"

PRIVACY = Privacy(
    classes={
        "accounting_cursor": {DataClass.NONE: "source position heard_until"},
        "session": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.IDENTITY: "username",
            DataClass.TRAFFIC: "nas session_id started_at last_seen_at ended_at cause upload download"
            " framed_ipv4 circuit_id",
            DataClass.NONE: "heard_at dead_by told_start told_end told_upload told_download told_until",
        },
        "health": {
            DataClass.NONE: "element_id reachable since checked_at failures failed_since round_trip_ms"
            " uptime_s"
        },
        "port_state": {DataClass.NONE: "element_id port up since was_up"},
        "alarm": {
            DataClass.NONE: "id element_id port kind raised_at cleared_at occurrences cause_id",
        },
        "problem": {DataClass.NONE: "id alarm_id cause opened_at cleared_at"},
        "outage": {DataClass.PSEUDONYM: "service_id", DataClass.NONE: "problem_id started_at ended_at"},
        "octets": {DataClass.NONE: "element_id port hour offsets_s received sent"},
    },
    hindrances=(
        Hindrance(
            query="SELECT username FROM monitoring.session WHERE service_id = ANY(:services)"
            " AND ended_at IS NULL ORDER BY username",
            said="sessions are still open: {}; they end with the service, or by their silence",
        ),
    ),
    holdings=(
        Holding(table=tables.session, of=_OF_SERVICE, erase=DELETE, only="ended_at IS NOT NULL"),
        Holding(table=tables.outage, of=_OF_SERVICE, erase=DELETE, only="ended_at IS NOT NULL"),
    ),
    expiries=(
        Expiry(table="session", kind="traffic", due="ended_at < :before"),
        Expiry(table="octets", kind="measurements", due="hour < :before"),
        Expiry(table="outage", kind="operations", due="ended_at < :before"),
        # a problem goes after its last outage, an alarm after its last problem
        Expiry(
            table="problem",
            kind="operations",
            due="cleared_at < :before AND NOT EXISTS (SELECT FROM monitoring.outage o"
            " WHERE o.problem_id = monitoring.problem.id)",
        ),
        Expiry(
            table="alarm",
            kind="operations",
            due="cleared_at < :before AND NOT EXISTS (SELECT FROM monitoring.problem p"
            " WHERE p.alarm_id = monitoring.alarm.id)",
        ),
    ),
)
