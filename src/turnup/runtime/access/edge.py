"""Whom the HTTP edge serves, by the settings: authenticator, rate, four eyes, ways to log in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from turnup.kernel.access import ROLES, Roles, own_roles
from turnup.runtime.access.four_eyes import FourEyes
from turnup.runtime.access.oidc import OpenIdLogin, Provider
from turnup.runtime.access.rate import RequestRate
from turnup.runtime.access.sessions import Logins
from turnup.runtime.auth import Authenticator
from turnup.runtime.component import Runtime
from turnup.runtime.dangerous import Dangerous, DangerousOutside
from turnup.runtime.settings import Settings

CALLBACK = "/turnup/v1/login/oidc/callback"
CLIENT_SECRET = "oidc_client_secret"
"""The setting, and the context its value is sealed for."""


@dataclass(frozen=True, slots=True)
class Access:
    """`public_url`: under which browsers reach us; None: as they called."""

    authenticator: Authenticator
    rate: RequestRate
    four_eyes: FourEyes
    logins: Logins
    oidc: OpenIdLogin | None
    roles: Roles
    public_url: str | None
    body_bytes_max: int

    @property
    def public_host(self) -> str | None:
        return urlsplit(self.public_url).netloc if self.public_url else None


def access_by_default(runtime: Runtime, dangerous: Sequence[Dangerous | DangerousOutside] = ()) -> Access:
    """As with no setting made: no OpenID, nothing that needs four eyes."""
    engine, clock = runtime.database.engine, runtime.clock
    return Access(
        authenticator=Authenticator(engine, clock),
        rate=RequestRate(engine, 0),
        four_eyes=FourEyes(runtime, dangerous),
        logins=Logins(runtime, lasting=timedelta(hours=12)),
        oidc=None,
        roles=ROLES,
        public_url=None,
        body_bytes_max=16 << 20,
    )


def access_by(
    settings: Settings,
    runtime: Runtime,
    dangerous: Sequence[Dangerous | DangerousOutside],
    unseal: Callable[[str, str], str],
) -> Access:
    """As the settings say. `unseal` opens a sealed setting: (value, name of the setting) -> text. Raises
    InvalidInput for a role or action that makes no sense."""
    roles = own_roles(settings.staff_roles)
    engine, clock = runtime.database.engine, runtime.clock
    public_url = str(settings.public_url).rstrip("/") if settings.public_url else None
    logins = Logins(
        runtime, lasting=timedelta(hours=settings.session_hours), by_password=settings.password_login
    )
    oidc = None
    if settings.oidc_issuer is not None:
        given = settings.oidc_client_secret
        oidc = OpenIdLogin(
            runtime,
            logins,
            Provider(
                issuer=settings.oidc_issuer,
                client_id=settings.oidc_client_id or "",
                client_secret=unseal(given.get_secret_value(), CLIENT_SECRET) if given else None,
                redirect_uri=f"{public_url}{CALLBACK}",
                claim=settings.oidc_claim,
            ),
        )
    return Access(
        authenticator=Authenticator(
            engine, clock, roles=roles, idle=timedelta(minutes=settings.session_idle_minutes)
        ),
        rate=RequestRate(engine, settings.requests_per_minute),
        four_eyes=FourEyes(
            runtime,
            dangerous,
            required=settings.four_eyes,
            roles=roles,
            lasting=timedelta(hours=settings.four_eyes_hours),
        ),
        logins=logins,
        oidc=oidc,
        roles=roles,
        public_url=public_url,
        body_bytes_max=settings.http_body_bytes_max,
    )
