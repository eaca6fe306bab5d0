"""What billing holds about people: no names, but what was billed and paid, which tax law keeps."""

from turnup.bss.billing import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Hindrance, Holding, Privacy

_MINE = "account_id = ANY(:accounts)"
_OF_SERVICE = "service_id = ANY(:services)"
_OF_INVOICE = "invoice_id IN (SELECT id FROM billing.invoice WHERE account_id = ANY(:accounts))"
_LAW = "tax and commercial law keep documents, books and what they rest on (in Germany: § 147 AO, § 257 HGB)"

# The days' sums are what invoices rest on and what a late correction is computed from; when she was online
# within the day is not needed for that.
_BY_DAY = """
    WITH day AS (
        SELECT service_id, used_on FROM billing.usage
        WHERE ended_at < :before AND used_on < CAST(:before AS date) AND key NOT LIKE 'day:%' {of}
        GROUP BY service_id, used_on LIMIT :batch
    ), gone AS (
        DELETE FROM billing.usage u USING day
        WHERE u.service_id = day.service_id AND u.used_on = day.used_on AND u.key NOT LIKE 'day:%'
        RETURNING u.service_id, u.used_on, u.octets, u.started_at
    )
    INSERT INTO billing.usage (service_id, key, started_at, ended_at, used_on, octets)
    SELECT service_id, 'day:' || used_on, date_trunc('day', min(started_at)),
           date_trunc('day', min(started_at)) + interval '1 day', used_on, sum(octets)
    FROM gone GROUP BY service_id, used_on
    ON CONFLICT (service_id, key) DO UPDATE SET octets = billing.usage.octets + excluded.octets
"""

PRIVACY = Privacy(
    classes={
        "account": {
            DataClass.PSEUDONYM: "id number customer_id",
            DataClass.BILLING: "currency zone cycle_day tax_class dunning_policy taken_over_through"
            " billed_through next_bill_date dirty_from",
            DataClass.NONE: "legal_entity_id brand_id facts_version",
        },
        "service": {DataClass.PSEUDONYM: "id account_id product_id", DataClass.BILLING: "billing_start"},
        "service_fact": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.BILLING: "kind at reason",
            DataClass.NONE: "recorded_at",
        },
        "billable_period": {
            DataClass.PSEUDONYM: "service_id account_id",
            DataClass.BILLING: "status from_at to_at from_date to_date cause",
            DataClass.NONE: "n",
        },
        "agreement": {
            DataClass.PSEUDONYM: "id account_id product_id service_id",
            DataClass.BILLING: "code name kind amount_micro currency tax_category months in_advance unit"
            " unit_octets included_octets credit_policy from_at to_at from_date to_date ends_at",
            DataClass.NONE: "revision",
        },
        "price_revision": {
            DataClass.PSEUDONYM: "product_id account_id service_id",
            DataClass.NONE: "revision effective_at",
        },
        "usage": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.TRAFFIC: "key started_at ended_at",
            DataClass.BILLING: "used_on octets",
        },
        "outage_credit": {
            DataClass.PSEUDONYM: "service_id account_id",
            DataClass.BILLING: "started_at ended_at started_on ended_on",
            DataClass.NONE: "problem_id",
        },
        "early_fact": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.TRAFFIC: "kind key started_at ended_at octets",
        },
        "bill_run": {
            DataClass.NONE: "id bill_date legal_entity_id pass state policies shards started_at ended_at"
        },
        "bill_run_shard": {
            DataClass.NONE: "run_id n state accounts invoices parked total_minor",
            DataClass.PSEUDONYM: "first_account last_account",
            DataClass.BILLING: "draft_invoices draft_lines draft_facts draft_moved",
        },
        "number_block": {DataClass.NONE: "run_id shard legal_entity_id invoices first_number"},
        "number_series": {DataClass.NONE: "legal_entity_id series last_number"},
        "parked_account": {
            DataClass.NONE: "run_id",
            DataClass.PSEUDONYM: "account_id",
            DataClass.TEXT: "reason",
        },
        "run_fact": {
            DataClass.NONE: "run_id shard key cycle_day zone months in_advance period_from period_to"
            " granularity rounding tax_point"
        },
        "invoice_number": {
            DataClass.NONE: "legal_entity_id series number issued_on",
            DataClass.PSEUDONYM: "invoice_id",
        },
        "invoice": {
            DataClass.PSEUDONYM: "id number account_id",
            DataClass.BILLING: "kind revision period_from period_to invoice_date due_date currency tax_class"
            " net_minor tax_minor total_minor open_minor",
            DataClass.NONE: "legal_entity_id brand_id run_id shard posted_month",
        },
        "invoice_line": {
            DataClass.PSEUDONYM: "invoice_id agreement_id source_id",
            DataClass.BILLING: "kind period_from period_to served_from served_to price_micro numerator"
            " denominator quantity included share_ppm owed_minor billed_before_minor net_minor tax_ppm"
            " tax_minor",
            DataClass.NONE: "n posted_month fact_key",
        },
        "ledger_entry": {
            DataClass.PSEUDONYM: "source_id account_id",
            DataClass.BILLING: "source_kind posted_on ledger_account currency amount_minor",
            DataClass.NONE: "n posted_month legal_entity_id",
        },
        "payment": {
            DataClass.PSEUDONYM: "id account_id",
            DataClass.BILLING: "amount_minor currency method received_on unallocated_minor",
            DataClass.TEXT: "reference reason source_key",
            DataClass.NONE: "legal_entity_id state",
        },
        "payment_file": {
            DataClass.NONE: "sha256 rows matched unmatched imported_at",
            DataClass.TEXT: "name",
            DataClass.STAFF: "actor",
        },
        "allocation": {
            DataClass.PSEUDONYM: "source_id invoice_id",
            DataClass.BILLING: "source_kind amount_minor at",
        },
        "dunning_case": {
            DataClass.PSEUDONYM: "id account_id",
            DataClass.BILLING: "opened_on step suspended last_step_at released_at",
        },
    },
    hindrances=(
        Hindrance(
            query="SELECT number FROM billing.invoice WHERE account_id = ANY(:accounts) AND open_minor > 0"
            " ORDER BY number",
            said="invoices are not paid: {}; take in the payment or write them off first",
        ),
        Hindrance(
            query="SELECT number FROM billing.account WHERE id = ANY(:accounts) AND (EXISTS (SELECT FROM"
            " billing.invoice i WHERE i.account_id = billing.account.id AND i.open_minor < 0)"
            " OR EXISTS (SELECT FROM billing.payment p WHERE p.account_id = billing.account.id AND"
            " p.unallocated_minor > 0))"
            " ORDER BY number",
            said="the accounts {} have a credit; pay it back first",
        ),
        Hindrance(
            query="SELECT a.number FROM billing.dunning_case d JOIN billing.account a ON a.id = d.account_id"
            " WHERE d.account_id = ANY(:accounts) AND d.released_at IS NULL ORDER BY 1",
            said="dunning of {} is under way; it ends with the debt",
        ),
    ),
    first=(
        _BY_DAY.format(of="AND service_id = ANY(:services)")
        .replace(":before", "CAST('infinity' AS timestamptz)")
        .replace("LIMIT :batch", ""),
    ),
    holdings=(
        Holding(table=tables.early_fact, of=_OF_SERVICE, erase=DELETE),
        Holding(table=tables.parked_account, of=_MINE, erase=DELETE),
        Holding(table=tables.usage, of=_OF_SERVICE, erase=None, why=f"a sum a day; {_LAW}"),
        Holding(table=tables.account, of="id = ANY(:accounts)", erase=None, why=_LAW),
        Holding(table=tables.service, of=_MINE, erase=None, why=_LAW),
        Holding(table=tables.service_fact, of=_OF_SERVICE, erase=None, why=_LAW),
        Holding(table=tables.billable_period, of=_MINE, erase=None, why=_LAW),
        Holding(table=tables.agreement, of=_MINE, erase=None, why=_LAW),
        Holding(table=tables.outage, of=_MINE, erase=None, why=_LAW),
        Holding(table=tables.invoice, of=_MINE, erase=None, why=_LAW),
        Holding(table=tables.invoice_line, of=_OF_INVOICE, erase=None, why=_LAW),
        Holding(table=tables.ledger_entry, of=_MINE, erase=None, why=_LAW),
        Holding(
            table=tables.payment,
            of=_MINE,
            erase=None,
            why=f"the payer's reference stands in the bank's voucher; {_LAW}",
        ),
        Holding(table=tables.allocation, of=_OF_INVOICE, erase=None, why=_LAW),
        Holding(table=tables.dunning_case, of=_MINE, erase=None, why=_LAW),
    ),
    expiries=(
        Expiry(
            table="usage",
            kind="traffic",
            due="ended_at < :before AND used_on < CAST(:before AS date) AND key NOT LIKE 'day:%'",
            condense=_BY_DAY.format(of=""),
        ),
        Expiry(table="early_fact", kind="traffic", due="ended_at < :before"),
    ),
    last_document="SELECT max(invoice_date) FROM billing.invoice WHERE account_id = ANY(:accounts)",
    unlinked={
        "bill_run_shard": "drafts, dropped once they are posted",
        "payment_file": "the file's name as it was called where it was uploaded",
    },
)
