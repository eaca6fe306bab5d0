"""Access over the whole house: everything that is marked dangerous, and whom the edge serves."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from turnup.app import secrets
from turnup.app.house import House
from turnup.kernel.access import own_roles
from turnup.runtime.access.edge import Access, access_by
from turnup.runtime.access.routes import staff_grant
from turnup.runtime.dangerous import Arguments, DangerousOutside
from turnup.runtime.secrets import SecretBox, unseal_text

ROTATE = "secrets.rotate"


def access_of(house: House) -> Access:
    """By the settings of the house. Raises InvalidInput where they make no sense."""
    components = [each for component in house.components for each in component.dangerous]
    rotate = DangerousOutside(
        action=ROTATE, scope="operations:write", what=_rotation_told, run=partial(_rotate, house)
    )
    grant = staff_grant(own_roles(house.settings.staff_roles))
    unseal = partial(unseal_text, SecretBox(house.settings.secret_key_path))
    return access_by(house.settings, house.runtime, [*components, rotate, grant], unseal)


def _rotate(house: House, actor: str, arguments: Arguments) -> Mapping[str, Any]:
    return asdict(secrets.rotate(house, actor, new_key=arguments["new_key"]))


def _rotation_told(arguments: Arguments) -> str:
    if arguments["new_key"]:
        return "add a key and wrap every stored secret by it"
    return "finish a rotation of the sealing key"
