"""What configuration holds about people: what elements shall have for their services; old configurations."""

from turnup.kernel.privacy import DataClass
from turnup.oss.configuration import tables
from turnup.runtime.personal import Expiry, Holding, Privacy

PRIVACY = Privacy(
    classes={
        "intent": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.TRAFFIC: "attributes",
            DataClass.NONE: "element_id kind generation",
        },
        "element_state": {DataClass.NONE: "element_id holder token expires_at changed_at backed_up_at"},
        "credential": {DataClass.NONE: "element_id changed_at", DataClass.SECRET: "sealed"},
        "backup": {DataClass.NONE: "element_id revision taken_at sha256 cause", DataClass.TEXT: "text"},
        "freeze": {
            DataClass.NONE: "freeze_id scope target_id code frozen_at lifted_at",
            DataClass.STAFF: "frozen_by lifted_by",
            DataClass.TEXT: "reason lift_reason",
        },
    },
    holdings=(
        # the row stays: its generation is the fence that keeps late commands of before from coming through
        Holding(
            table=tables.intent,
            of="service_id = ANY(:services)",
            erase={"attributes": "CAST(NULL AS jsonb)"},
        ),
    ),
    expiries=(
        Expiry(
            table="backup",
            kind="element_backups",
            due="taken_at < :before AND revision < (SELECT max(newer.revision)"
            " FROM configuration.backup newer WHERE newer.element_id = configuration.backup.element_id)",
        ),
        Expiry(table="freeze", kind="operations", due="lifted_at < :before"),
    ),
    unlinked={
        "backup": "an element's whole configuration as it was: logins and addresses of its services at that "
        "time. It cannot be taken apart; it goes by age (element_backups)",
        "freeze": "reasons by staff about the network",
    },
)
