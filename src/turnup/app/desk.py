"""The console's desk in an assembled house: which use cases stand behind which contract."""

from turnup.app.house import House
from turnup.console.desk import Desk
from turnup.runtime.access.edge import Access


def desk_of(house: House, access: Access) -> Desk:
    return Desk(
        runtime=house.runtime,
        access=access,
        customers=house.crm,
        orders=house.orders,
        money=house.billing,
        services=house.provisioning,
        network=house.inventory,
        watch=house.monitoring,
        rejections=house.aaa_servers,
        configuration=house.configuration,
        path=house.path,
        findings=house.reconciler.findings,
        repairs=house.reconciler,
    )
