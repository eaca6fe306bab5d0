"""A NAS that holds nothing of a subscriber by itself: it asks the AAA servers at every session.

All it needs of Turnup is in their databases; so its configuration for services is always empty, and a
catalog that gives it a fragment is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.kernel.ids import ServiceId


class RadiusDriver:
    """Implements contracts.configuration.ElementDriver for elements whose driver is `radius`."""

    needs_credentials: ClassVar[bool] = False

    def read(
        self,
        element: ElementView,
        credentials: Credentials,
        services: Sequence[ServiceId] | None,
        *,
        deadline_s: float,
    ) -> Mapping[ServiceId, Fragment]:
        """Nothing, ever."""
        return {}

    def apply(
        self, element: ElementView, credentials: Credentials, changes: Sequence[Change], *, deadline_s: float
    ) -> tuple[str, ...]:
        """There is nothing to remove; raises ElementRefused for anything to add."""
        for change in changes:
            if change.want is not None:
                raise ElementRefused(
                    f"{element.code} holds nothing of a subscriber: it is managed by RADIUS alone",
                    field="service.rfs",
                    remedy="leave its role out of the service's rfs in the catalog; `aaa` says it all",
                )
        return ()

    def running_config(self, element: ElementView, credentials: Credentials, *, deadline_s: float) -> str:
        """Empty: what its administrator configured is not read."""
        return ""

    def restore(
        self, element: ElementView, credentials: Credentials, config: str, *, deadline_s: float
    ) -> None:
        """Nothing was backed up, so nothing is put back."""
