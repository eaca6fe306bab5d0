"""A NAS that RADIUS alone manages holds nothing, and a catalog that says otherwise is told so."""

import pytest

from turnup.contracts.configuration import Change, Credentials, ElementRefused, Fragment
from turnup.contracts.inventory import ElementView
from turnup.gateways.radius.driver import RadiusDriver
from turnup.kernel.ids import ElementId, ServiceId, SiteId, new_id

BNG = ElementView(
    id=ElementId(new_id()), code="bng1", role="bng", site_id=SiteId(new_id()), driver="radius",
    management={"host": "198.18.0.6"}, status="in_service",
)  # fmt: skip
NOBODY = Credentials(username="")
SERVICE = ServiceId(new_id())
FRAGMENT = Fragment(service_id=SERVICE, kind="subscriber", attributes={}, generation=1)


def change(want):
    return Change(service_id=SERVICE, kind="subscriber", want=want, generation=1)


def test_it_holds_nothing_and_what_is_withdrawn_was_never_there():
    driver = RadiusDriver()
    assert driver.read(BNG, NOBODY, [SERVICE], deadline_s=1.0) == {}
    assert driver.apply(BNG, NOBODY, [change(None)], deadline_s=1.0) == ()


def test_a_fragment_for_it_is_refused_with_the_remedy():
    with pytest.raises(ElementRefused, match=r"RADIUS alone.*out of the service's rfs"):
        RadiusDriver().apply(BNG, NOBODY, [change(FRAGMENT)], deadline_s=1.0)
