"""What inventory holds about people: the line and addresses of their services."""

from turnup.kernel.privacy import DataClass
from turnup.oss.inventory import tables
from turnup.runtime.personal import DELETE, Holding, Privacy

_SERVICES = "service_id = ANY(:services)"
_FREED = "no service in use can be erased; a ceased one has given it back"

PRIVACY = Privacy(
    classes={
        "site": {DataClass.NONE: "site_id code name latitude longitude reach_km"},
        "element": {DataClass.NONE: "element_id code role site_id driver management status"},
        "port": {DataClass.NONE: "port_id element_id name kind capacity first_vlan"},
        "link": {DataClass.NONE: "link_id a_port_id b_port_id"},
        "line": {DataClass.NONE: "port_id n vlan", DataClass.PSEUDONYM: "service_id"},
        "pool": {DataClass.NONE: "pool_id code kind prefixes prefix_length reserved materialised"},
        "slot": {DataClass.NONE: "pool_id n value", DataClass.PSEUDONYM: "service_id"},
        "holding": {
            DataClass.PSEUDONYM: "service_id",
            DataClass.TRAFFIC: "resources circuit_id ont_serial",
            DataClass.NONE: "status access_element_id bng_element_id servers changed_at",
        },
    },
    holdings=(
        Holding(table=tables.line, of=_SERVICES, erase=None, why=_FREED),
        Holding(table=tables.slot, of=_SERVICES, erase=None, why=_FREED),
        Holding(table=tables.holding, of=_SERVICES, erase=DELETE, only="status = 'released'"),
    ),
)
