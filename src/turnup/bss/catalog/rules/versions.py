"""What becomes a new version, and from when it holds."""

from dataclasses import replace
from datetime import datetime

from turnup.bss.catalog.model import OfferingDraft, PolicyDraft, PolicyVersion, PriceDraft
from turnup.contracts.catalog import OfferingView, PriceView
from turnup.kernel.ids import OfferingId, PriceId, derived_id


def next_version(draft: OfferingDraft, latest: OfferingView | None, now: datetime) -> OfferingView | None:
    """The version to add, None when the latest says the same. The first holds from where the document says,
    even in the past; a change never reaches back: it holds from `valid_from` or now, whichever is later."""
    if latest is None:
        return _versioned(draft, 1, draft.valid_from or now)
    if _versioned(draft, latest.version, latest.valid_from) == replace(latest, valid_to=None):
        return None
    since = max(draft.valid_from or now, now, latest.valid_from)
    return _versioned(draft, latest.version + 1, since)


def next_policy(
    draft: PolicyDraft, latest: PolicyVersion | None, now: datetime, author: str
) -> PolicyVersion | None:
    """The same for a policy."""
    if latest is not None and latest.document == draft.document:
        return None
    since = draft.valid_from or now
    return PolicyVersion(
        kind=draft.kind,
        code=draft.code,
        version=1 if latest is None else latest.version + 1,
        valid_from=since if latest is None else max(since, now, latest.valid_from),
        document=draft.document,
        author=author,
    )


def _versioned(draft: OfferingDraft, version: int, valid_from: datetime) -> OfferingView:
    return OfferingView(
        id=OfferingId(derived_id("offering", draft.code, version)),
        code=draft.code,
        version=version,
        name=draft.name,
        description=draft.description,
        status=draft.status,
        valid_from=valid_from,
        valid_to=None,
        characteristics=draft.characteristics,
        prices=tuple(_priced(price, draft.code, version) for price in draft.prices),
        service=draft.service,
        tasks=draft.tasks,
        billing_start=draft.billing_start,
        credit_policy=draft.credit_policy,
        brand=draft.brand,
    )


def _priced(price: PriceDraft, offering: str, version: int) -> PriceView:
    return PriceView(
        id=PriceId(derived_id("price", offering, version, price.code)),
        code=price.code,
        name=price.name,
        kind=price.kind,
        amount=price.amount,
        currency=price.currency,
        tax_category=price.tax_category,
        period_months=price.period_months,
        in_advance=price.in_advance,
        unit=price.unit,
        included=price.included,
        option=price.option,
    )
