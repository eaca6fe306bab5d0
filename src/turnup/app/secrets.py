"""Rotation of the key that seals secrets, over every component that keeps some, and of the one derived from
it that seals the audit; and which key opens what."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

from turnup.app.house import House
from turnup.app.mail import PASSWORD
from turnup.runtime import audit_chain
from turnup.runtime.access.edge import CLIENT_SECRET
from turnup.runtime.secrets import SecretBox, key_id_of, rewrap_text


@dataclass(frozen=True, slots=True)
class Rotation:
    """`key`: the id of the key that seals now. `resealed`: stored secrets that had an older one.
    `mail_password`, `oidc_client_secret`: what to write in the settings file, where an older key sealed it
    there."""

    key: str
    resealed: int
    mail_password: str | None
    oidc_client_secret: str | None


@dataclass(frozen=True, slots=True)
class KeyUse:
    """One line of the key file, and how many secrets and links of the audit need it."""

    key: str
    secrets: int
    seals: bool


def rotate(house: House, actor: str, *, new_key: bool = True) -> Rotation:
    """Add a key (unless told not to), wrap every stored secret by it and sign the audit's links by it: their
    hashes, and anchors kept elsewhere, stay. The old keys stay in the file.
    Interrupted, it may be repeated with `new_key` False. Raises SecretUnreadable, and leaves that
    component's secrets as they were, where one does not open."""
    box = SecretBox(house.settings.secret_key_path)
    if new_key:
        box.add_key()
    key = box.key_ids()[-1]
    with house.runtime.unit("provisioning", actor) as unit:
        resealed = house.provisioning.reseal(unit, partial(rewrap_text, box))
    with house.runtime.unit("configuration", actor) as unit:
        resealed += house.configuration.reseal(unit)
    with house.runtime.unit("crm", actor) as unit:
        resealed += house.crm.reseal(unit, partial(rewrap_text, box))
    with house.runtime.unit("mediation", actor) as unit:
        resealed += house.connectors.reseal(unit)
    audit_chain.resign(house.database.engine, box)
    new = {name: rewrap_text(box, old, name) for name, old in _in_settings(house).items()}
    changed = {name: value for name, value in new.items() if value != _in_settings(house)[name]}
    return Rotation(key, resealed, changed.get(PASSWORD), changed.get(CLIENT_SECRET))


def _in_settings(house: House) -> dict[str, str]:
    """Secrets that the settings carry, sealed or not, by setting."""
    given = {PASSWORD: house.settings.mail_password, CLIENT_SECRET: house.settings.oidc_client_secret}
    return {name: value.get_secret_value() for name, value in given.items() if value is not None}


def key_uses(house: House) -> list[KeyUse]:
    """Every key of the file, the one that seals last; one that opens nothing may be taken out."""
    parts = (house.provisioning, house.configuration, house.connectors, house.crm)
    uses: Counter[str] = sum((part.sealed_by() for part in parts), Counter())
    with house.database.engine.connect() as connection:
        uses.update(audit_chain.signed_by(connection))
    uses.update(key for value in _in_settings(house).values() if (key := key_id_of(value)) is not None)
    keys = SecretBox(house.settings.secret_key_path).key_ids()
    return [KeyUse(key, uses[key], key == keys[-1]) for key in keys]
