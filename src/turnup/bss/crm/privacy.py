"""What crm holds about people, which is nearly all of who they are: classes, erasure, retention."""

from turnup.bss.crm import tables
from turnup.kernel.privacy import DataClass
from turnup.runtime.personal import DELETE, Expiry, Holding, Privacy

ERASED = "(erased)"

_MINE = "party_id = :party"
_WORDS = f"'{ERASED}'"

PRIVACY = Privacy(
    classes={
        "legal_entity": {DataClass.NONE: "legal_entity_id code name"},
        "brand": {DataClass.NONE: "brand_id code name"},
        "party": {
            DataClass.PSEUDONYM: "party_id",
            DataClass.IDENTITY: "kind name given_name family_name language",
            DataClass.NONE: "created_at erased_at",
        },
        "contact": {DataClass.PSEUDONYM: "party_id", DataClass.CONTACT: "kind value"},
        "address": {
            DataClass.PSEUDONYM: "address_id party_id",
            DataClass.CONTACT: "street postcode city country latitude longitude",
            DataClass.NONE: "created_at",
        },
        "customer": {
            DataClass.PSEUDONYM: "customer_id number party_id",
            DataClass.IDENTITY: "external_id content_hash",
            DataClass.NONE: "status legal_entity_id brand_id created_at",
        },
        "account": {
            DataClass.PSEUDONYM: "account_id number customer_id",
            DataClass.CONTRACT: "currency time_zone bill_cycle_day tax_class dunning_policy",
            DataClass.NONE: "legal_entity_id brand_id created_at",
        },
        "payment_method": {
            DataClass.PSEUDONYM: "account_id",
            DataClass.BILLING: "kind reference provider signed_on hint",
            DataClass.SECRET: "sealed",
            DataClass.NONE: "created_at",
        },
        "message": {
            DataClass.PSEUDONYM: "key customer_id",
            DataClass.CONTACT: "recipient subject body",
            DataClass.TEXT: "error",
            DataClass.NONE: "n template state attempts created_at finished_at",
        },
        "document_recipient": {
            DataClass.PSEUDONYM: "customer_id",
            DataClass.IDENTITY: "name",
            DataClass.CONTACT: "street postcode city country",
            DataClass.NONE: "keep_until",
        },
    },
    first=(
        """INSERT INTO crm.document_recipient (customer_id, name, street, postcode, city, country, keep_until)
           SELECT c.customer_id, p.name, a.street, a.postcode, a.city, a.country,
                  CAST(:documents_until AS date)
           FROM crm.customer c JOIN crm.party p USING (party_id)
           JOIN LATERAL (SELECT * FROM crm.address a WHERE a.party_id = p.party_id
                         ORDER BY created_at DESC, address_id DESC LIMIT 1) a ON true
           WHERE p.party_id = :party AND p.erased_at IS NULL AND CAST(:documents_until AS date) IS NOT NULL
           ON CONFLICT DO NOTHING""",
    ),
    holdings=(
        Holding(table=tables.contact, of=_MINE, erase=DELETE),
        Holding(
            table=tables.address,
            of=_MINE,
            erase={
                "street": _WORDS,
                "postcode": "'-'",
                "city": "'-'",
                "latitude": "CAST(NULL AS numeric)",
                "longitude": "CAST(NULL AS numeric)",
            },
        ),
        Holding(table=tables.payment_method, of="account_id = ANY(:accounts)", erase=DELETE),
        Holding(table=tables.message, of="customer_id = ANY(:customers)", erase=DELETE),
        Holding(
            table=tables.customer,
            of=_MINE,
            erase={
                "status": "'closed'",
                "external_id": "CAST(NULL AS text)",
                "content_hash": "CAST(NULL AS text)",
            },
        ),
        Holding(
            table=tables.account,
            of="customer_id = ANY(:customers)",
            erase=None,
            why="numbers on invoices that have to be kept; without a name",
        ),
        Holding(
            table=tables.document_recipient,
            of="customer_id = ANY(:customers)",
            erase=None,
            why="name and address on invoices that tax law keeps; used for nothing else",
        ),
        # last: `erased_at` says that all of the above is done
        Holding(
            table=tables.party,
            of=_MINE,
            erase={
                "name": _WORDS,
                "given_name": "CAST(NULL AS text)",
                "family_name": "CAST(NULL AS text)",
                "language": "'en'",
                "erased_at": "coalesce(erased_at, CAST(:now AS timestamptz))",
            },
        ),
    ),
    expiries=(
        Expiry(
            table="message",
            kind="messages",
            due="state <> 'queued' AND coalesce(finished_at, created_at) < :before",
        ),
        Expiry(table="document_recipient", kind="documents", due="keep_until < CAST(:now AS date)"),
    ),
)
