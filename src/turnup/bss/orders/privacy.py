"""What orders holds about people: what they ordered and have, with what was said of it."""

from turnup.bss.orders import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Hindrance, Holding, Privacy

_MINE = "account_id = ANY(:accounts)"
_OF_ORDER = "order_id IN (SELECT order_id FROM orders.product_order WHERE account_id = ANY(:accounts))"
_NOTHING = "CAST('{}' AS jsonb)"
_NO_TEXT = "CAST(NULL AS text)"
_OPEN = "state NOT IN ('rejected', 'cancelled', 'completed', 'failed', 'partial')"

PRIVACY = Privacy(
    classes={
        "product_order": {
            DataClass.PSEUDONYM: "order_id number customer_id account_id address_id",
            DataClass.IDENTITY: "external_id idempotency_key content_hash",
            DataClass.CONTRACT: "state site requested_start created_at completed_at",
            DataClass.TEXT: "reason error",
            DataClass.NONE: "legal_entity_id brand_id origin attempt running cancel_requested skipped",
        },
        "cancellation": {
            DataClass.PSEUDONYM: "order_id",
            DataClass.TEXT: "reason",
            DataClass.NONE: "cancellation_id created_at",
        },
        "item": {
            DataClass.PSEUDONYM: "item_id order_id product_id service_id",
            DataClass.CONTRACT: "action offering_id offering_code characteristics before",
            DataClass.NONE: "n target_status state",
        },
        "step": {
            DataClass.PSEUDONYM: "order_id",
            DataClass.TEXT: "detail",
            DataClass.NONE: "step_id attempt name started_at ms device_ms ok",
        },
        "product": {
            DataClass.PSEUDONYM: "product_id service_id customer_id account_id address_id",
            DataClass.CONTRACT: "site offering_id offering_code name status characteristics start_at end_at",
            DataClass.NONE: "revision",
        },
        "parked": {
            DataClass.PSEUDONYM: "order_id",
            DataClass.TEXT: "detail",
            DataClass.NONE: "n attempt why since",
        },
        "task": {
            DataClass.PSEUDONYM: "order_id item_id",
            DataClass.TEXT: "facts",
            DataClass.NONE: "task_id code name blocks state done_at",
        },
        "fallout": {
            DataClass.PSEUDONYM: "order_id",
            DataClass.TEXT: "reason why",
            DataClass.STAFF: "resolved_by",
            DataClass.NONE: "step since resolved_at choice",
        },
    },
    hindrances=(
        Hindrance(
            query=f"SELECT number FROM orders.product_order WHERE account_id = ANY(:accounts) AND {_OPEN}"
            " ORDER BY number",
            said="orders are open: {}; complete or cancel them first",
        ),
    ),
    holdings=(
        Holding(table=tables.cancellation, of=_OF_ORDER, erase={"reason": "'(erased)'"}),
        Holding(table=tables.step, of=_OF_ORDER, erase={"detail": "''"}),
        Holding(
            table=tables.item,
            of=_OF_ORDER,
            erase={"characteristics": _NOTHING, "before": "CAST(NULL AS jsonb)"},
        ),
        Holding(table=tables.task, of=_OF_ORDER, erase={"facts": _NOTHING}),
        Holding(table=tables.parked, of=_OF_ORDER, erase=DELETE),
        Holding(table=tables.fallout, of=_OF_ORDER, erase={"reason": "'(erased)'", "why": _NO_TEXT}),
        Holding(
            table=tables.product_order,
            of=_MINE,
            erase={
                "external_id": _NO_TEXT,
                "idempotency_key": _NO_TEXT,
                "content_hash": "'erased'",
                "reason": _NO_TEXT,
                "error": _NO_TEXT,
            },
        ),
        Holding(table=tables.product, of=_MINE, erase={"characteristics": _NOTHING}),
    ),
    expiries=(Expiry(table="fallout", kind="operations", due="resolved_at < :before"),),
)
