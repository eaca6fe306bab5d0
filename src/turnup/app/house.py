"""The house, assembled: constructor calls written out, in the order in which one component needs another."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from turnup.app.audit import audit_component
from turnup.app.engine import Engine
from turnup.app.mail import mail_gateway
from turnup.app.privacy import component as privacy_component
from turnup.app.privacy.erasing import Rights
from turnup.app.privacy.purging import Purges
from turnup.app.sessions import SessionsByDriver
from turnup.bss.billing import component as billing_component
from turnup.bss.billing.service.billing import Billing
from turnup.bss.catalog import component as catalog_component
from turnup.bss.catalog.service import CatalogService
from turnup.bss.crm import component as crm_component
from turnup.bss.crm.service import CrmService
from turnup.bss.orders import component as orders_component
from turnup.bss.orders.service import Orders
from turnup.contracts.inventory import ElementView
from turnup.gateways.aaa_database.accounting import AaaAccounting, AaaServers
from turnup.gateways.aaa_database.database import aaa_database
from turnup.gateways.aaa_database.driver import AaaDatabaseDriver
from turnup.gateways.dhcp.driver import KeaDriver
from turnup.gateways.frr.driver import FrrDriver
from turnup.gateways.linux.driver import LinuxDriver
from turnup.gateways.linux.sessions import LinuxSessions
from turnup.gateways.netconf.driver import NetconfDriver
from turnup.gateways.radius.driver import RadiusDriver
from turnup.gateways.radius.sessions import RadiusSessions
from turnup.gateways.sftp.files import SftpFiles
from turnup.gateways.snmp.probe import SnmpProbe
from turnup.gateways.tlos.driver import TlosDriver
from turnup.gateways.tlos.sessions import NasSessions
from turnup.gateways.transports.nas import NasAccess
from turnup.gateways.transports.ssh import SshPool
from turnup.integration.mediation import component as mediation_component
from turnup.integration.mediation.service.connectors import Connectors
from turnup.integration.mediation.service.files import Files
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.comparison import Comparison
from turnup.integration.mediation.workflows.exchange import Exchange
from turnup.integration.mediation.workflows.takeover import Importer
from turnup.integration.reconciliation import component as reconciliation_component
from turnup.integration.reconciliation.workflows import Reconciler
from turnup.kernel.ids import new_id
from turnup.oss.configuration import component as configuration_component
from turnup.oss.configuration.service import Configuration
from turnup.oss.configuration.workflows import ApplyPath
from turnup.oss.inventory import component as inventory_component
from turnup.oss.inventory.service import Inventory
from turnup.oss.monitoring import component as monitoring_component
from turnup.oss.monitoring.service import Monitoring
from turnup.oss.provisioning import component as provisioning_component
from turnup.oss.provisioning.service import Provisioning
from turnup.oss.provisioning.workflows import NetworkRealiser, Takeover
from turnup.runtime.clock import SharedClock
from turnup.runtime.component import Component, Runtime, Schema
from turnup.runtime.database import POOL_WAIT_S, Database
from turnup.runtime.durable import Durable, QueueSpec
from turnup.runtime.events import Consumer
from turnup.runtime.secrets import SecretBox, seal_text
from turnup.runtime.settings import Settings

SERVER = "server"
"""The process that answers the API; worker and collector are turnup.app.worker's."""

_BILLING_SHARDS_AT_ONCE = 2
"""In one worker: bounds its memory."""
_BILLING_POLL_MS = 100
"""While one shard waits for the next look, the other one works; a look costs an idle worker a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Every component, wired. `components` are the manifests; the rest are the use cases by name."""

    settings: Settings
    database: Database
    runtime: Runtime
    durable: Durable
    components: Sequence[Component]
    crm: CrmService
    catalog: CatalogService
    inventory: Inventory
    configuration: Configuration
    path: ApplyPath
    provisioning: Provisioning
    realiser: NetworkRealiser
    takeover: Takeover
    monitoring: Monitoring
    aaa_servers: AaaServers
    orders: Orders
    billing: Billing
    mediation: Mediation
    importer: Importer
    comparison: Comparison
    connectors: Connectors
    files: Files
    exchange: Exchange
    reconciler: Reconciler
    rights: Rights
    purges: Purges

    def consumers(self) -> list[Consumer]:
        """Who gets which events, in a fixed order."""
        return [self.runtime.consumer(component) for component in self.components if component.handlers]

    def close(self) -> None:
        self.database.close()


def schemas() -> list[Schema]:
    """Every component's part of the database."""
    return [
        crm_component.SCHEMA,
        catalog_component.SCHEMA,
        inventory_component.SCHEMA,
        configuration_component.SCHEMA,
        provisioning_component.SCHEMA,
        monitoring_component.SCHEMA,
        orders_component.SCHEMA,
        billing_component.SCHEMA,
        mediation_component.SCHEMA,
        reconciliation_component.SCHEMA,
    ]


def assemble(settings: Settings, engine: Engine, *, process: str) -> House:
    """Wire everything; touches neither database nor network yet."""
    database = Database(
        engine.url,
        pool_size=settings.database_pool_size,
        application_name=f"{process}-{new_id()}",
        idle_in_transaction_s=2 * settings.lease_seconds,
        # a caller of the API can come back; a workflow's step would fall out for nothing
        pool_wait_s=settings.database_pool_wait_seconds if process == SERVER else POOL_WAIT_S,
    )
    clock = SharedClock(database.engine, simulated=settings.simulated_clock)
    runtime = Runtime(database, clock, settings)
    box = SecretBox(settings.secret_key_path)
    ssh = SshPool()

    catalog = catalog_component.build(
        runtime, {**billing_component.POLICY_CHECKS, **provisioning_component.POLICY_CHECKS}
    )
    provisioning = provisioning_component.build_service(runtime, partial(seal_text, box), catalog.service)
    customers = crm_component.new_service(runtime, partial(seal_text, box))
    crm = crm_component.build(
        runtime,
        customers,
        services=provisioning,
        gateway=mail_gateway(settings, box, clock),
        language=settings.default_language,
    )
    inventory = inventory_component.build(runtime, customers)
    network: Inventory = inventory.service
    configuration, path = configuration_component.build(
        runtime,
        network,
        {
            "tlos": TlosDriver(ssh),
            "linux": LinuxDriver(ssh),
            "kea": KeaDriver(),
            "radius": RadiusDriver(),
            "aaa_database": AaaDatabaseDriver(engine.aaa_url),
            "frr": FrrDriver(ssh, clock),
            "netconf": NetconfDriver(),
        },
        box,
    )
    configured: Configuration = configuration.service

    def community_of(element: ElementView) -> str:
        return configured.credentials(element.id).snmp_community or "public"

    nas = NasAccess(network.element_by_code, configured.credentials, ssh)
    sessions = SessionsByDriver(
        network.element_by_code,
        {
            "tlos": NasSessions(nas),
            "linux": LinuxSessions(nas),
            "radius": RadiusSessions(nas),
        },
    )
    provisioning_part, realiser, takeover = provisioning_component.build(
        runtime,
        provisioning,
        intents=configured,
        intended=configured,
        path=path,
        network=network,
        aaa=sessions,
        freezes=configured,
    )
    aaa_servers = AaaServers(
        AaaAccounting(aaa_database(engine.aaa_url, max_size=2)), network.elements, configured.credentials
    )
    monitoring = monitoring_component.build(
        runtime,
        network=network,
        services=provisioning,
        probe=SnmpProbe(community_of, clock),
        accounting=aaa_servers,
        accounting_every_s=settings.session_interval_seconds,
        poll_every_s=settings.snmp_interval_seconds,
    )
    orders = orders_component.build(
        runtime,
        customers=customers,
        offers=catalog.service,
        network=network,
        network_reads=network,
        services=provisioning,
        services_reads=provisioning,
        realiser=realiser,
    )
    billing = billing_component.build(
        runtime, catalog_reads=catalog.service, crm_reads=customers, freezes=configured
    )
    mediation, mediating = mediation_component.build(
        runtime,
        customers=customers,
        customer_reads=customers,
        offers=catalog.service,
        offer_reads=catalog.service,
        network=network,
        network_reads=network,
        credentials=configured,
        services=provisioning,
        service_reads=provisioning,
        intents=realiser,
        orders=orders.service,
        order_reads=orders.service,
        bills=billing.service,
        elements=configured,
        gateway=SftpFiles(ssh),
        box=box,
        currency=settings.default_currency,
        language=settings.default_language,
    )
    reconciliation, reconciler = reconciliation_component.build(
        runtime,
        orders=orders.service,
        services=provisioning,
        service_commands=provisioning,
        network=network,
        configuration=configured,
        billing=billing.service,
        billing_commands=billing.service,
        realiser=realiser,
    )
    components = [
        crm,
        catalog,
        inventory,
        configuration,
        provisioning_part,
        monitoring,
        orders,
        billing,
        mediation,
        reconciliation,
        audit_component(runtime, box),
    ]
    privacy = privacy_component.build(
        runtime,
        settings,
        schemas(),
        box,
        crm=customers,
        provisioning=provisioning,
        billing=billing.service,
    )
    components.append(privacy.component)
    durable = Durable(
        database,
        clock,
        workflows=[workflow for component in components for workflow in component.workflows],
        queues=[
            QueueSpec(
                name="orders",
                poll_ms=settings.order_queue_poll_ms,
                worker_concurrency=settings.worker_concurrency,
            ),
            QueueSpec(name="billing", poll_ms=_BILLING_POLL_MS, worker_concurrency=_BILLING_SHARDS_AT_ONCE),
            QueueSpec(name="default", poll_ms=500, worker_concurrency=settings.worker_concurrency),
        ],
    )
    runtime.attach(durable)
    return House(
        settings=settings,
        database=database,
        runtime=runtime,
        durable=durable,
        components=components,
        crm=customers,
        catalog=catalog.service,
        inventory=network,
        configuration=configured,
        path=path,
        provisioning=provisioning,
        realiser=realiser,
        takeover=takeover,
        monitoring=monitoring.service,
        aaa_servers=aaa_servers,
        orders=orders.service,
        billing=billing.service,
        mediation=mediation.service,
        importer=mediating.importer,
        comparison=mediating.comparison,
        connectors=mediating.connectors,
        files=mediating.files,
        exchange=mediating.exchange,
        reconciler=reconciler,
        rights=privacy.rights,
        purges=privacy.purges,
    )
