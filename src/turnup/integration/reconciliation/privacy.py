"""What reconciliation holds about people: mismatches of their services, quoting logins and addresses."""

from turnup.integration.reconciliation import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Holding, Privacy

PRIVACY = Privacy(
    classes={
        "finding": {
            DataClass.PSEUDONYM: "service_id service_number",
            DataClass.TEXT: "detail dismissed_reason",
            DataClass.STAFF: "repaired_by dismissed_by",
            DataClass.NONE: "finding_id kind element monthly_minor currency owner repair safe found_at"
            " seen_at repaired_at dismissed_at",
        },
    },
    holdings=(Holding(table=tables.finding, of="service_id = ANY(:services)", erase=DELETE),),
    expiries=(Expiry(table="finding", kind="operations", due="repaired_at < :before"),),
)
