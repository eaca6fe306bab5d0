"""What mediation holds about people: their ids in former systems, and rows that could not be applied."""

from turnup.integration.mediation import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Holding, Privacy

_KNOWN = "(system || ':' || external_id) = ANY(:externals)"
_LINKED = f"({_KNOWN} OR internal_id = ANY(:customers) OR internal_id = ANY(:services))"
_EMPTIED = {
    "raw": "CAST(NULL AS json)",
    "broken": "CAST(NULL AS text)",
    "reason": "CAST(NULL AS text)",
    "remedy": "CAST(NULL AS text)",
    "key": "CAST(NULL AS text)",
    "state": "CASE WHEN state = 'quarantined' THEN 'discarded' ELSE state END",
}
_WAITED = "state = 'quarantined' AND changed_at < :before"
_EMPTY = f"""
    UPDATE mediation.raw_row SET {", ".join(f"{column} = {value}" for column, value in _EMPTIED.items())}
    WHERE row_id IN (SELECT row_id FROM mediation.raw_row WHERE {_WAITED} ORDER BY row_id LIMIT :batch)
    RETURNING row_id"""
"""A row that nobody has mended for so long is discarded, and what it said is gone."""

PRIVACY = Privacy(
    classes={
        "crosswalk": {DataClass.NONE: "system kind", DataClass.IDENTITY: "external_id internal_id"},
        "applied": {
            DataClass.NONE: "system kind applied_at",
            DataClass.IDENTITY: "external_id row_hash",
        },
        "quarantine": {
            DataClass.NONE: "source row field since system remedy",
            DataClass.IDENTITY: "external_id",
            DataClass.TEXT: "reason",
        },
        "taken_over": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.IDENTITY: "external_id",
            DataClass.BILLING: "monthly_net_minor",
            DataClass.NONE: "system at",
        },
        "connector": {DataClass.NONE: "name version document imported_at", DataClass.STAFF: "imported_by"},
        "connector_state": {
            DataClass.NONE: "name next_at claimed_by claimed_until last_run_at fact_position file_number",
            DataClass.TEXT: "last_error",
            DataClass.SECRET: "sealed_credentials",
        },
        "seen_file": {DataClass.NONE: "connector name size changed_at since"},
        "taken_file": {
            DataClass.NONE: "file_id connector version name sha256 mode state rows_read taken_at"
            " acknowledged_at filed_at",
            DataClass.TEXT: "reason",
        },
        "raw_row": {
            DataClass.PSEUDONYM: "owner",
            DataClass.IDENTITY: "key",
            DataClass.TEXT: "raw broken reason remedy",
            DataClass.NONE: "row_id file_id n state field difference changed_at",
        },
        "fact": {DataClass.PSEUDONYM: "key", DataClass.BILLING: "facts", DataClass.NONE: "position kind at"},
        "made_file": {
            DataClass.BILLING: "content control_sum",
            DataClass.NONE: "connector number version name mode rows sha256 first_position last_position"
            " made_at sent_at",
        },
    },
    holdings=(
        Holding(table=tables.quarantine, of=_KNOWN, erase=DELETE),
        # what stays of it keeps the same old file from bringing an erased person back
        Holding(table=tables.applied, of=_KNOWN, erase={"row_hash": "'erased'"}),
        Holding(table=tables.taken_over, of="service_id = ANY(:services)", erase=DELETE),
        # the row itself stays, so that the counts of its file go on adding up
        Holding(table=tables.raw_row, of="owner = ANY(:customers)", erase=_EMPTIED),
        Holding(table=tables.crosswalk, of=_LINKED, erase=DELETE),
    ),
    expiries=(
        Expiry(table="quarantine", kind="imports", due="since < :before"),
        Expiry(table="raw_row", kind="imports", due=_WAITED, condense=_EMPTY),
        Expiry(
            table="fact",
            kind="operations",
            due="at < :before AND NOT EXISTS (SELECT 1 FROM mediation.connector_state s"
            " JOIN mediation.connector c USING (name)"
            " WHERE c.document ->> 'kind' = fact.kind AND s.fact_position < fact.position)",
        ),
        Expiry(table="made_file", kind="operations", due="sent_at < :before"),
    ),
    unlinked={
        "connector_state": "what was wrong with a file server; replaced by the next run",
        "taken_file": "why a file as a whole was refused: names of columns and counts, no rows",
        "fact": "numbers and amounts for files, by account number; who that is, only crm knows",
        "made_file": "what was sent, by account number; who that is, only crm knows",
    },
)
