"""What mediation holds about people: their ids in former systems, and rows that could not be applied."""

from turnup.integration.mediation import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Holding, Privacy

_KNOWN = "(system || ':' || external_id) = ANY(:externals)"
_LINKED = f"({_KNOWN} OR internal_id = ANY(:customers) OR internal_id = ANY(:services))"

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
    },
    holdings=(
        Holding(table=tables.quarantine, of=_KNOWN, erase=DELETE),
        # what stays of it keeps the same old file from bringing an erased person back
        Holding(table=tables.applied, of=_KNOWN, erase={"row_hash": "'erased'"}),
        Holding(table=tables.crosswalk, of=_LINKED, erase=DELETE),
    ),
    expiries=(Expiry(table="quarantine", kind="imports", due="since < :before"),),
)
