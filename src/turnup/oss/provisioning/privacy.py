"""What provisioning holds about people: their services, with login and addresses."""

from turnup.kernel.privacy import DataClass
from turnup.oss.provisioning import tables
from turnup.runtime.personal import DELETE, Expiry, Hindrance, Holding, Privacy

_OF_SERVICE = "service_id = ANY(:services)"

PRIVACY = Privacy(
    classes={
        "service": {
            DataClass.PSEUDONYM: "service_id number product_id customer_id account_id address_id",
            DataClass.IDENTITY: "login",
            DataClass.SECRET: "secret_sealed",
            DataClass.CONTRACT: "spec characteristics speed_down_kbps speed_up_kbps configured_at "
            "first_online_at accepted_at created_at state admission management",
            DataClass.TRAFFIC: "resources online online_changed_at traffic_seen_at",
            DataClass.TEXT: "reason",
            DataClass.NONE: "generation verified_generation elements configuration_present"
            " configuration_read_at",
        },
        "brake": {DataClass.NONE: "scope latest_at"},
        "brake_pass": {DataClass.NONE: "request at released", DataClass.PSEUDONYM: "service_id"},
        "brake_hold": {
            DataClass.PSEUDONYM: "services",
            DataClass.TRAFFIC: "facts",
            DataClass.TEXT: "what decision_reason",
            DataClass.STAFF: "actor decided_by",
            DataClass.NONE: "hold_id n request kind cause held_at state decided_at",
        },
        "waiting": {DataClass.PSEUDONYM: "service_id", DataClass.NONE: "since"},
    },
    hindrances=(
        Hindrance(
            query="SELECT number FROM provisioning.service WHERE account_id = ANY(:accounts)"
            " AND state <> 'ceased' ORDER BY number",
            said="services are not ceased: {}; order their deletion first",
        ),
    ),
    holdings=(
        Holding(
            table=tables.service,
            of=_OF_SERVICE,
            only="state = 'ceased'",
            erase={
                "login": "'erased-' || service_id",
                "secret_sealed": "'erased'",
                "characteristics": "CAST('{}' AS jsonb)",
                "resources": "CAST('{}' AS jsonb)",
                "reason": "CAST(NULL AS text)",
                "online": "CAST(NULL AS boolean)",
                "online_changed_at": "CAST(NULL AS timestamptz)",
                "traffic_seen_at": "CAST(NULL AS timestamptz)",
            },
        ),
        Holding(table=tables.waiting, of=_OF_SERVICE, erase=DELETE),
        Holding(table=tables.brake_pass, of=_OF_SERVICE, erase=DELETE),
        Holding(
            table=tables.brake_hold,
            of="services ?| CAST(CAST(:services AS uuid[]) AS text[])",
            erase={"facts": "CAST('{}' AS jsonb)", "decision_reason": "CAST(NULL AS text)"},
            only="state <> 'held'",
        ),
    ),
    expiries=(
        Expiry(table="brake_pass", kind="operations", due="at < :before"),
        Expiry(table="brake_hold", kind="operations", due="decided_at < :before AND state <> 'held'"),
    ),
)
