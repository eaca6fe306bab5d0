"""`turnup staff` and `turnup approve`: who may come in, and what needs a second pair of eyes."""

from typing import Annotated
from uuid import UUID

import typer

from turnup.app.access import access_of
from turnup.app.cli.installation import known
from turnup.app.cli.output import AsJson, console, print_json, print_table, tell
from turnup.app.cli.session import acting, actor, ask_secret, house
from turnup.kernel.access import own_roles
from turnup.kernel.errors import InvalidInput
from turnup.runtime.access import staff
from turnup.runtime.access.four_eyes import approval_body
from turnup.runtime.access.staff import access_unit

staff_app = typer.Typer(help="Staff: who may come in, with which roles.", no_args_is_help=True)
approve_app = typer.Typer(help="What waits for a second person.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Staff name.")]
Roles = Annotated[list[str], typer.Option("--role", help="A role; may be repeated. `turnup staff roles`.")]
LegalEntity = Annotated[str | None, typer.Option(help="Code of the legal entity she is confined to.")]
Brand = Annotated[str | None, typer.Option(help="Code of the brand she is confined to.")]
OpenId = Annotated[str | None, typer.Option(help="Who she is at the OpenID provider (setting `oidc_claim`).")]
Me = Annotated[str, typer.Option("--as", metavar="NAME", help="Your staff name; asks for its password.")]
Request = Annotated[str, typer.Argument(help="Id from `turnup approve list`.")]


def register(parent: typer.Typer) -> None:
    parent.add_typer(staff_app, name="staff")
    parent.add_typer(approve_app, name="approve")


# --- staff -----------------------------------------------------------------------------------------------


@staff_app.command("create")
def create(
    name: Name,
    role: Roles,
    oidc_identity: OpenId = None,
    legal_entity: LegalEntity = None,
    brand: Brand = None,
    password: Annotated[
        bool, typer.Option("--password/--no-password", help="Without: she logs in at the OpenID provider.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Let somebody in. Asks for her password (or reads a line of standard input): at least 12 characters.

    The name is never given to anybody else. Again with other roles: changes them.
    """
    if not password and oidc_identity is None:
        raise InvalidInput(
            "without a password she needs an OpenID identity", field="oidc_identity", remedy="--oidc-identity"
        )
    _grant(name, role, oidc_identity, legal_entity, brand, password=password, as_json=as_json)


@staff_app.command("roles-of")
def change_roles(
    name: Name,
    role: Roles,
    legal_entity: LegalEntity = None,
    brand: Brand = None,
    as_json: AsJson = False,
) -> None:
    """Give a staff member exactly these roles and confines, and let her in again if she was disabled."""
    with house() as assembled, assembled.database.engine.connect() as connection:
        staff.existing(connection, name)
    _grant(name, role, None, legal_entity, brand, password=False, as_json=as_json)


def _grant(
    name: str,
    roles: list[str],
    oidc_identity: str | None,
    legal_entity: str | None,
    brand: str | None,
    *,
    password: bool,
    as_json: bool,
) -> None:
    with house() as assembled:
        entity_id = known("legal_entity", legal_entity, assembled.crm.legal_entity)
        brand_id = known("brand", brand, assembled.crm.brand)
        with access_unit(assembled.runtime, actor()) as unit:
            staff.grant(
                unit,
                name,
                roles,
                known=own_roles(assembled.settings.staff_roles),
                legal_entity_id=entity_id,
                brand_id=brand_id,
                oidc_identity=oidc_identity,
            )
            if password:
                staff.set_password(unit, name, ask_secret(f"Password for {name}", twice=True))
    given = sorted(set(roles))
    tell(f"{name}: {', '.join(given)}", {"name": name, "roles": given}, as_json=as_json)


@staff_app.command("list")
def listed(as_json: AsJson = False) -> None:
    """Who may come in, with which roles."""
    with house() as assembled, assembled.database.engine.connect() as connection:
        views = staff.everybody(connection)
    if as_json:
        print_json(views)
        return
    rows = [
        (
            v.name,
            " ".join(v.roles),
            "confined" if v.legal_entity_id or v.brand_id else "all",
            " ".join(
                way for way, has in (("password", v.has_password), ("OpenID", bool(v.oidc_identity))) if has
            ),
            v.last_login_at or "never",
            "disabled" if v.disabled_at else "",
        )
        for v in views
    ]
    print_table("Staff", ["name", "roles", "realm", "logs in by", "last login", "state"], rows)


@staff_app.command("roles")
def roles(as_json: AsJson = False) -> None:
    """The roles there are and what each opens; your own are the setting `staff_roles`."""
    with house() as assembled:
        found = {name: sorted(s) for name, s in own_roles(assembled.settings.staff_roles).items()}
    if as_json:
        print_json(found)
        return
    print_table("Roles", ["role", "opens"], [(name, " ".join(scopes)) for name, scopes in found.items()])


@staff_app.command("password")
def set_password(name: Name, as_json: AsJson = False) -> None:
    """Set somebody's password; every session of hers ends. Asks, or reads a line of standard input."""
    with house() as assembled:
        secret = ask_secret(f"New password for {name}", twice=True)
        with access_unit(assembled.runtime, actor()) as unit:
            staff.set_password(unit, name, secret)
    tell(
        f"password of {name} set; her sessions have ended", {"name": name, "password": "set"}, as_json=as_json
    )


@staff_app.command("disable")
def disable(name: Name, as_json: AsJson = False) -> None:
    """Somebody gets in no more: her sessions and tokens end (other processes: within five seconds)."""
    with house() as assembled, access_unit(assembled.runtime, actor()) as unit:
        staff.disable(unit, name)
    tell(f"{name} gets in no more", {"name": name, "disabled": True}, as_json=as_json)


@staff_app.command("unlock")
def unlock(name: Name, as_json: AsJson = False) -> None:
    """Forget somebody's failed logins, so that she may try at once."""
    with house() as assembled, access_unit(assembled.runtime, actor()) as unit:
        staff.unlock(unit, name)
    tell(f"{name} may try again", {"name": name, "unlocked": True}, as_json=as_json)


@staff_app.command("sessions")
def sessions(name: Name, as_json: AsJson = False) -> None:
    """Somebody's sessions, the latest first."""
    with house() as assembled:
        views = access_of(assembled).logins.sessions(name)
    if as_json:
        print_json(views)
        return
    rows = [(v.session_id, v.way, v.address, v.created_at, v.seen_at, v.ended_at) for v in views]
    print_table("Sessions", ["session", "by", "address", "since", "last used", "ended"], rows)


@staff_app.command("logout")
def logout(name: Name, as_json: AsJson = False) -> None:
    """End all of somebody's sessions."""
    with house() as assembled, access_unit(assembled.runtime, actor()) as unit:
        ended = staff.end_sessions(unit, name)
    tell(f"{ended} sessions ended", {"name": name, "sessions_ended": ended}, as_json=as_json)


# --- approve ---------------------------------------------------------------------------------------------


@approve_app.command("list")
def approvals(
    decided: Annotated[bool, typer.Option("--decided", help="Those decided and expired, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits for a second person, who asked and until when."""
    with house() as assembled:
        found = access_of(assembled).four_eyes.approvals(waiting_only=not decided)
    if as_json:
        print_json([approval_body(each) for each in found])
        return
    rows = [
        (a.id, a.action, a.what, a.asked_by, a.expires_at, a.state.value, a.decided_by, a.reason)
        for a in found
    ]
    columns = ["approval", "action", "what", "asked by", "until", "state", "by", "reason"]
    print_table("Approvals", columns, rows)


@approve_app.command("yes")
def approve(approval: Request, me: Me, as_json: AsJson = False) -> None:
    """Let it happen, now and once. You are another person than the one who asked, and hold its scope."""
    with house() as assembled:
        access = access_of(assembled)
        done = access.four_eyes.approve(_id(approval), acting(assembled, me))
    if as_json:
        print_json(approval_body(done))
    else:
        console.print(f"{done.state.value}: {done.what}")


@approve_app.command("no")
def refuse(
    approval: Request,
    me: Me,
    reason: Annotated[str, typer.Option(help="Why; kept with your name.")],
    as_json: AsJson = False,
) -> None:
    """It does not happen. Whoever asked may say so, too."""
    with house() as assembled:
        access = access_of(assembled)
        done = access.four_eyes.refuse(_id(approval), acting(assembled, me), reason)
    if as_json:
        print_json(approval_body(done))
    else:
        console.print(f"{done.state.value}: {done.what}")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no approval", field="approval", remedy="copy it from `turnup approve list`"
        ) from error
