"""What orders sell and provisioning renders in tests: internet access on an access device, a BNG and AAA."""

from turnup.contracts.catalog import ResourceSpec, RfsSpec, ServiceSpec


def internet_access(resources: tuple[ResourceSpec, ...] = ()) -> ServiceSpec:
    """Three fragments, one per role; `resources` is what orders have to reserve for it."""
    line = {"port": "res:access_port", "vlan": "res:vlan", "ont_serial": "res:ont_serial"}
    login = {"username": "char:login", "ipv4": "res:ipv4", "down_kbps": "char:down_kbps"}
    return ServiceSpec(
        code="internet",
        name="Internet access",
        rfs=(
            RfsSpec(name="line", element_role="access", attributes=line),
            RfsSpec(name="subscriber", element_role="bng", attributes=login),
            RfsSpec(name="aaa", element_role="aaa", attributes={**login, "up_kbps": "const:20000"}),
        ),
        resources=resources,
    )
