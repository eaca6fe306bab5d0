"""Login at an OpenID provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636, RFC 9700).

The provider says who somebody is; whether she may come in, and what she may, says our staff list: nobody
gets an account by logging in. Signatures and claims are joserfc's work; what is ours are two requests.
"""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import delete, insert, select, update

from turnup.kernel.access import staff_actor
from turnup.kernel.errors import InvalidInput, Unauthenticated, Unavailable
from turnup.runtime.access import staff
from turnup.runtime.access.sessions import Logins, OpenedSession
from turnup.runtime.auth import digest
from turnup.runtime.component import Runtime
from turnup.runtime.tables import oidc_login
from turnup.runtime.tables import staff as staff_table

LASTS = timedelta(minutes=10)
"""How long somebody may take to log in at the provider."""
_TIMEOUT_S = 5.0
_LEEWAY_S = 60
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Public keys only: never `none`, never an HMAC that the key's owner could make too."""
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class LoginRefused(Unauthenticated):
    """The OpenID login did not lead to a staff member who may come in."""

    code: ClassVar[str] = "login_refused"


@dataclass(frozen=True, slots=True)
class Provider:
    """`claim`: which claim of the ID token is a staff member's `oidc_identity` (sub, email,
    preferred_username). `redirect_uri`: where the provider sends the browser back."""

    issuer: str
    client_id: str
    client_secret: str | None
    redirect_uri: str
    claim: str = "sub"


class OpenIdLogin:
    """Two steps: `start` gives where to send the browser and what its cookie keeps; `finish` takes both."""

    def __init__(self, runtime: Runtime, logins: Logins, provider: Provider) -> None:
        if (
            urlsplit(provider.issuer).scheme != "https"
            and urlsplit(provider.issuer).hostname not in _LOOPBACK
        ):
            raise InvalidInput("an OpenID provider is reached by https", field="oidc_issuer")
        self._runtime = runtime
        self._logins = logins
        self._provider = provider

    def start(self) -> tuple[str, str]:
        """(URL of the provider, state). Raises Unavailable."""
        where = self._discover()["authorization_endpoint"]
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        now = self._runtime.clock.now()
        with self._runtime.database.engine.begin() as connection:
            connection.execute(delete(oidc_login).where(oidc_login.c.expires_at <= now))
            row = {
                "state_hash": digest(state),
                "nonce": nonce,
                "verifier": verifier,
                "expires_at": now + LASTS,
            }
            connection.execute(insert(oidc_login).values(row))
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": self._provider.redirect_uri,
            "scope": "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(query)}", state

    def finish(
        self, *, state: str, cookie: str, code: str, issuer: str | None, address: str
    ) -> OpenedSession:
        """A session. `issuer`: the parameter `iss` of the answer (RFC 9207), where the provider sends it.
        Raises LoginRefused, Unavailable. Audited, refusals too."""
        try:
            claims = self._claims(state, cookie, code, issuer)
            name = self._name_of(claims)
        except LoginRefused as refusal:
            with staff.access_unit(self._runtime, "nobody") as unit:
                unit.audit("login.refused", "oidc", after={"address": address, "why": refusal.message})
            raise
        with staff.access_unit(self._runtime, staff_actor(name)) as unit:
            pinned = update(staff_table).where(staff_table.c.name == name).values(oidc_subject=claims["sub"])
            unit.connection.execute(pinned)
            return self._logins.open(unit, name, "oidc", address)

    def _claims(self, state: str, cookie: str, code: str, issuer: str | None) -> dict[str, Any]:
        if not state or not secrets.compare_digest(state.encode(), cookie.encode()):
            raise _refused("this login was not started in this browser")
        if issuer is not None and issuer != self._provider.issuer:
            raise _refused("the answer comes from another provider")
        now = self._runtime.clock.now()
        taken = delete(oidc_login).where(
            oidc_login.c.state_hash == digest(state), oidc_login.c.expires_at > now
        )
        with self._runtime.database.engine.begin() as connection:
            begun = connection.execute(
                taken.returning(oidc_login.c.nonce, oidc_login.c.verifier)
            ).one_or_none()
        if begun is None:
            raise _refused("this login took too long, or was finished already")
        document = self._discover()
        id_token = self._exchange(document["token_endpoint"], code, begun.verifier)
        return self._verified(id_token, self._json(document["jwks_uri"]), begun.nonce)

    def _verified(self, id_token: str, keys: dict[str, Any], nonce: str) -> dict[str, Any]:
        provider = self._provider
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.client_id},
            sub={"essential": True},
            exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            token = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
            rules.validate(token.claims)
        except (JoseError, ValueError) as error:
            raise _refused(f"the provider's ID token does not hold: {type(error).__name__}") from error
        claims: dict[str, Any] = token.claims
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", provider.client_id) != provider.client_id or (several and "azp" not in claims):
            raise _refused("the provider's ID token was made for another application")
        return claims

    def _name_of(self, claims: dict[str, Any]) -> str:
        """Whose identity it is. The provider's `sub` is kept at the first login: an address or user name that
        is given to somebody else later opens nothing."""
        claim = self._provider.claim
        if claim == "email" and claims.get("email_verified") is not True:
            raise _refused("the provider has not verified that address")
        identity = claims.get(claim)
        if not isinstance(identity, str) or not identity:
            raise _refused(f"the provider's ID token has no {claim}")
        with self._runtime.database.engine.connect() as connection:
            row = connection.execute(
                select(staff_table).where(
                    staff_table.c.oidc_identity == identity, staff_table.c.disabled_at.is_(None)
                )
            ).one_or_none()
        if row is None:
            raise _refused("nobody here has this identity")
        if row.oidc_subject not in (None, claims["sub"]):
            raise _refused("this identity is another person's now")
        return str(row.name)

    # --- the provider -------------------------------------------------------------------------------------

    def _discover(self) -> dict[str, Any]:
        document = self._json(self._provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != self._provider.issuer:
            raise Unavailable(
                "the OpenID provider calls itself otherwise",
                field="oidc_issuer",
                remedy="write it as it does",
            )
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            where = urlsplit(str(document.get(name, "")))
            if where.scheme != "https" and where.hostname not in _LOOPBACK:
                raise Unavailable(f"the OpenID provider's {name} is not https", field="oidc_issuer")
        return document

    def _exchange(self, where: str, code: str, verifier: str) -> str:
        provider = self._provider
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": provider.redirect_uri,
            "code_verifier": verifier,
            "client_id": provider.client_id,
        }
        secret = provider.client_secret
        auth = None if secret is None else httpx.BasicAuth(provider.client_id, secret)
        try:
            answer = httpx.post(where, data=form, auth=auth, timeout=_TIMEOUT_S)
            token = answer.json().get("id_token") if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError, AttributeError) as error:
            raise _silent(error) from error
        if not isinstance(token, str):
            raise _refused(f"the provider did not take the code ({answer.status_code})")
        return token

    def _json(self, where: str) -> dict[str, Any]:
        try:
            answer = httpx.get(where, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise _silent(error) from error
        if not isinstance(document, dict):
            raise Unavailable("the OpenID provider answers nonsense", field="oidc_issuer")
        return document


def _refused(why: str) -> LoginRefused:
    return LoginRefused(why, field="oidc", remedy="start again: GET /turnup/v1/login/oidc")


def _silent(error: Exception) -> Unavailable:
    return Unavailable(
        f"the OpenID provider does not answer: {type(error).__name__}",
        field="oidc_issuer",
        remedy="try again; a staff member with a password can log in by it",
    )
