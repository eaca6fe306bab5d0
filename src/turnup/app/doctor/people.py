"""Who may come in: staff, tokens, second persons."""

import os
from collections.abc import Iterator, Sequence

from turnup.app.access import access_of
from turnup.app.doctor.finding import Finding, bad, good, judged
from turnup.app.engine import Engine
from turnup.app.house import assemble
from turnup.kernel.access import opens
from turnup.kernel.clock import SystemClock
from turnup.kernel.errors import TurnupError
from turnup.runtime.access import staff
from turnup.runtime.access.edge import CLIENT_SECRET, Access
from turnup.runtime.access.staff import StaffView
from turnup.runtime.auth import list_tokens
from turnup.runtime.database import Database
from turnup.runtime.secrets import is_sealed
from turnup.runtime.settings import ENV_PREFIX, Settings


def access(database: Database, *, settings: Settings, engine: Engine) -> Iterator[Finding]:
    house = assemble(settings, engine, process="doctor")
    try:
        yield from _people(access_of(house), database, settings)
    except TurnupError as error:
        yield bad("access settings", f"{error.field}: {error.message}", error.remedy or "see the settings")
    finally:
        house.close()


def _people(access: Access, database: Database, settings: Settings) -> Iterator[Finding]:
    now = SystemClock().now()
    with database.engine.connect() as connection:
        people = [view for view in staff.everybody(connection) if view.active]
        tokens = [token for token in list_tokens(connection) if not token.revoked]
    if not people:
        yield good(
            "staff",
            "nobody has an account: only tokens and this machine's shell open anything",
            "turnup staff create NAME --role administrator",
        )
    elif not any(opens(view.scopes(access.roles), "access:write") for view in people):
        yield bad(
            "staff",
            "nobody may let others in",
            "turnup staff create NAME --role administrator",
        )
    else:
        yield good("staff", f"{len(people)} may come in")
    expired = sorted(token.name for token in tokens if token.expires_at and token.expires_at <= now)
    yield judged(
        "tokens",
        f"expired: {', '.join(expired)}; is what used them still at work?"
        if expired
        else f"{len(tokens)} in use, {sum(token.expires_at is None for token in tokens)} without an end",
        f"make a new one, then `turnup token revoke {expired[0]}`" if expired else "",
        ok=not expired,
    )
    yield from _second_persons(access, people)
    secret = settings.oidc_client_secret
    in_file = secret is not None and not os.environ.get(f"{ENV_PREFIX}{CLIENT_SECRET.upper()}")
    if secret is not None and in_file and not is_sealed(secret.get_secret_value()):
        yield bad(
            "OpenID client secret",
            "stands in clear in the settings file",
            f"replace it by what `turnup secrets seal {CLIENT_SECRET}` prints",
        )


def _second_persons(access: Access, people: Sequence[StaffView]) -> Iterator[Finding]:
    """What needs four eyes, and has fewer: it could never be approved."""
    needed = {
        action: scope for action, scope in access.four_eyes.actions.items() if access.four_eyes.needs(action)
    }
    alone = {
        action: scope
        for action, scope in needed.items()
        if sum(opens(view.scopes(access.roles), scope) for view in people) < 2
    }
    if not needed:
        yield good("four eyes", "nothing needs a second person", "with two staff members: TURNUP_FOUR_EYES")
        return
    yield judged(
        "four eyes",
        f"no second person for {', '.join(alone)}" if alone else f"{', '.join(needed)} need two",
        f"let in a second one with {', '.join(sorted(set(alone.values())))}: `turnup staff create`",
        ok=not alone,
    )
