"""What the console holds of the house: contracts, and the machinery of access and transactions."""

from dataclasses import dataclass
from typing import Protocol

from turnup.contracts import (
    billing,
    configuration,
    crm,
    inventory,
    monitoring,
    orders,
    provisioning,
    reconciliation,
)
from turnup.runtime.access.edge import Access
from turnup.runtime.component import Runtime


class OrderDesk(orders.Reads, orders.Commands, Protocol):
    """Orders, read and resolved."""


class ServiceDesk(provisioning.Reads, provisioning.Commands, Protocol):
    """Services, and what the brake holds."""


class NetworkDesk(configuration.Freezes, configuration.Commands, Protocol):
    """What may be written to, and what not."""


class FindingDesk(reconciliation.Reads, reconciliation.Commands, Protocol):
    """Findings, read and dismissed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    runtime: Runtime
    access: Access
    customers: crm.Reads
    orders: OrderDesk
    money: billing.Reads
    services: ServiceDesk
    network: inventory.Reads
    watch: monitoring.Reads
    rejections: monitoring.Rejections
    path: configuration.Apply
    configuration: NetworkDesk
    findings: FindingDesk
    repairs: reconciliation.Repairs
