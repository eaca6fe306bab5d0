"""Templates to pages: Jinja with escaping on, the words for instants, money and states, and safe headers."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from fastapi import Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from turnup.console.assets import asset_url
from turnup.console.states import badge
from turnup.console.texts import TRANSLATIONS, _
from turnup.kernel.clock import iso_utc
from turnup.kernel.money import Money
from turnup.runtime.auth import Caller

_SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # a form sent without it would have the origin `null`
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation, for whoever holds `scope`."""

    name: str
    path: str
    scope: str


PLACES = (
    Place("Fall-out", "/console/fallout", "orders:read"),
    Place("Network", "/console/noc", "resources:read"),
    Place("Reconciliation", "/console/reconciliation", "reconciliation:read"),
)
_UNCONFINED = {"/console/fallout", "/console/noc", "/console/reconciliation"}
"""Lists of everybody's, which are not told apart by legal entity or brand."""


def places(caller: Caller) -> list[Place]:
    return [
        place
        for place in PLACES
        if caller.may(place.scope) and not (caller.realm is not None and place.path in _UNCONFINED)
    ]


def show(
    request: Request, template: str, *, caller: Caller | None = None, status: int = 200, **facts: Any
) -> Response:
    """A page, or for htmx the part of it that `template` is."""
    told = {
        "caller": caller,
        "places": places(caller) if caller else [],
        "path": request.url.path,
        "q": "",
        **facts,
    }
    text = _environment.get_template(template).render(told)
    return HTMLResponse(text, status, headers=dict(_SAFE_HEADERS))


def when(instant: datetime | None) -> Markup | str:
    """An instant, to the second; the browser turns it into the reader's zone."""
    if instant is None:
        return "–"
    shown = instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(iso_utc(instant), shown)


def day(value: date | None) -> str:
    return "–" if value is None else value.isoformat()


def money(minor: int, currency: str) -> str:
    """``-12.50 EUR``."""
    return f"{Money(minor, currency).plain} {currency}"


def milliseconds(value: float) -> str:
    return f"{value:,.1f}"


def octets(value: int) -> str:
    """To three digits, in powers of 1000 as data sheets have them."""
    size, units = float(value), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.3g} {units[0]}"


def _made() -> Environment:
    made = Environment(
        loader=PackageLoader("turnup.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(TRANSLATIONS)  # type: ignore[attr-defined]
    made.filters.update(when=when, day=day, money=money, ms=milliseconds, octets=octets)
    made.globals.update(asset=asset_url, badge=badge, _=_)
    return made


_environment = _made()
