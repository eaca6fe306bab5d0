"""Imports: documents a person wrote (catalog, policies, network) and running customers with their services.

An import is idempotent: a row that was applied and did not change is counted `unchanged`; one that fails is
quarantined with its reason and applied by the next run after the fix. read == applied + unchanged +
quarantined, always. Taking over running services touches no device, sends no message and bills no past.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from turnup.contracts import catalog, configuration, crm, inventory, orders, provisioning
from turnup.contracts.catalog import resources_needed
from turnup.contracts.configuration import Credentials
from turnup.contracts.crm import NewAddress, NewCustomer
from turnup.contracts.inventory import ReserveRequest, ResourceNeed
from turnup.contracts.mediation import ImportReport, Quarantined
from turnup.contracts.orders import AdoptedProduct, ProductStatus
from turnup.contracts.provisioning import Admission, Management, ServiceRequest
from turnup.integration.mediation.model import RunningCustomer
from turnup.integration.mediation.rules import takeover as rules
from turnup.integration.mediation.service.mediation import Mediation
from turnup.integration.mediation.workflows.rehearsal import unit_of
from turnup.kernel.errors import Conflict, InvalidInput, TurnupError
from turnup.kernel.ids import AccountId, AddressId, CustomerId, ElementId, ProductId, ServiceId, derived_id
from turnup.runtime.component import Runtime
from turnup.runtime.unit_of_work import UnitOfWork
from turnup.runtime.yaml_text import load_yaml

_CHUNK = 50
_KIND = "customer"

Progress = Callable[[int, int], None]
"""(done, of)"""


@dataclass(slots=True)
class _Row:
    """One row on its way through the components."""

    n: int
    raw: str
    digest: str
    record: RunningCustomer
    customer_id: CustomerId | None = None
    account_id: AccountId | None = None
    address_id: AddressId | None = None
    failed: Quarantined | None = None

    def service_id(self, system: str) -> ServiceId:
        if self.record.element_key:
            return ServiceId(UUID(self.record.element_key))
        return ServiceId(derived_id("service", system, self.record.external_id))

    def product_id(self, system: str) -> ProductId:
        return ProductId(derived_id("product", system, self.record.external_id))


class Importer:
    """Runs imports; holds the Commands of the components it fills."""

    def __init__(
        self,
        runtime: Runtime,
        mediation: Mediation,
        *,
        customers: crm.Commands,
        offers: catalog.Commands,
        offer_reads: catalog.Reads,
        network: inventory.Commands,
        network_reads: inventory.Reads,
        credentials: configuration.Commands,
        services: provisioning.Commands,
        intents: provisioning.Adopt,
        orders: orders.Commands,
        currency: str,
        language: str = "en",
    ) -> None:
        self._runtime = runtime
        self._mediation = mediation
        self._customers = customers
        self._offers = offers
        self._offer_reads = offer_reads
        self._network = network
        self._network_reads = network_reads
        self._credentials = credentials
        self._services = services
        self._intents = intents
        self._orders = orders
        self._currency = currency
        self._language = language
        self._offerings: Mapping[str, catalog.OfferingView] = {}
        self._access_ports: set[str] = set()

    # --- documents ----------------------------------------------------------------------------------------

    def load_catalog(self, path: Path, *, dry_run: bool = False) -> ImportReport:
        def apply(unit: UnitOfWork, document: Mapping[str, Any]) -> int:
            return len(self._offers.publish(unit, document))

        return self._document(path, "catalog", apply, dry_run=dry_run)

    def load_policies(self, path: Path, *, dry_run: bool = False) -> ImportReport:
        return self._document(path, "catalog", self._offers.publish_policies, dry_run=dry_run)

    def load_network(self, path: Path, *, dry_run: bool = False) -> ImportReport:
        report = self._document(path, "inventory", self._network.load_network, dry_run=dry_run)
        if not dry_run:
            self._set_credentials(_load_yaml(path))
        return report

    def _document(
        self,
        path: Path,
        component: str,
        apply: Callable[[UnitOfWork, Mapping[str, Any]], int],
        *,
        dry_run: bool,
    ) -> ImportReport:
        """All or nothing, in one unit; a dry run does the same and rolls back."""
        document = _load_yaml(path)
        with unit_of(self._runtime, component, f"import:{path.name}", rehearse=dry_run) as unit:
            changed = apply(unit, document)
        return ImportReport(
            source=path.name,
            dry_run=dry_run,
            read=1,
            applied=1 if changed else 0,
            unchanged=0 if changed else 1,
            quarantined=(),
        )

    def _set_credentials(self, document: Mapping[str, Any]) -> None:
        """Credentials stand beside the elements in the file and go, sealed, to configuration only."""
        for row in document.get("elements", []):
            given = row.get("credentials")
            if not given:
                continue
            element_id = ElementId(derived_id("element", row["code"]))
            with self._runtime.unit("configuration", "import:network") as unit:
                self._credentials.set_credentials(
                    unit, element_id, Credentials(**{key: str(value) for key, value in given.items()})
                )

    # --- running customers --------------------------------------------------------------------------------

    def take_over_customers(
        self, path: Path, *, system: str = "import", dry_run: bool = False, progress: Progress | None = None
    ) -> ImportReport:
        """Take over customers with their running services from a CSV file."""
        self._look_up()
        known = self._mediation.applied_hashes(system, _KIND)
        rows, quarantined, unchanged, read = self._read_rows(path, known)
        applied = 0
        for chunk in _chunks(rows, _CHUNK):
            self._check(chunk, path.name)
            if not dry_run:
                self._take_over([row for row in chunk if row.failed is None], system, path.name)
            quarantined.extend(row.failed for row in chunk if row.failed is not None)
            applied += sum(row.failed is None for row in chunk)
            if progress is not None:
                progress(applied + unchanged + len(quarantined), read)
        quarantined.sort(key=lambda record: record.row)
        if not dry_run:
            with self._runtime.unit("mediation", f"import:{path.name}") as unit:
                self._mediation.keep_quarantine(unit, path.name, system, quarantined)
        return ImportReport(
            source=path.name,
            dry_run=dry_run,
            read=read,
            applied=applied,
            unchanged=unchanged,
            quarantined=tuple(quarantined),
        )

    def _look_up(self) -> None:
        """What every row refers to, read once per file."""
        now = self._runtime.clock.now()
        self._offerings = {offering.code: offering for offering in self._offer_reads.offerings(now)}
        self._access_ports = {
            f"{element.code}/{port.name}"
            for element in self._network_reads.elements("access")
            for port in self._network_reads.ports(element.id)
        }

    def _read_rows(
        self, path: Path, known: Mapping[str, str]
    ) -> tuple[list[_Row], list[Quarantined], int, int]:
        rows: list[_Row] = []
        quarantined: list[Quarantined] = []
        unchanged = read = 0
        seen: dict[str, int] = {}
        with _opened(path) as reader:
            rules.check_header(list(reader.fieldnames or []))
            for n, raw in enumerate(reader, start=2):
                read += 1
                values = {key: value or "" for key, value in raw.items() if key is not None}
                text = ",".join(values.values())
                digest = rules.row_hash(values)
                try:
                    if None in raw:
                        raise InvalidInput("more values than columns", remedy="quote values with commas")
                    if None in raw.values():
                        raise InvalidInput("fewer values than columns", remedy="write empty ones as well")
                    record = rules.running_customer(values, self._currency, self._language)
                    if record.external_id in seen:
                        raise Conflict(
                            f"row {seen[record.external_id]} has the same external_id", field="external_id"
                        )
                    seen[record.external_id] = n
                    if known.get(record.external_id) == digest:
                        unchanged += 1
                        continue
                    if record.external_id in known:
                        raise Conflict(
                            "this customer was taken over before, and the row has changed since",
                            field="external_id",
                            remedy="change the customer in Turnup, or restore the row",
                        )
                except TurnupError as error:
                    external_id = values.get("external_id", "").strip()
                    quarantined.append(_quarantined(path.name, n, text, error, external_id))
                    continue
                rows.append(_Row(n=n, raw=text, digest=digest, record=record))
        return rows, quarantined, unchanged, read

    def _check(self, rows: Sequence[_Row], source: str) -> None:
        """What can be known before anything is written; a dry run ends here."""
        for row in rows:
            try:
                self._offering(row.record)
                if row.record.access_port not in self._access_ports:
                    raise InvalidInput(
                        f"no port {row.record.access_port!r}",
                        field="access_port",
                        remedy="write ELEMENT/PORT as in the network document",
                    )
            except TurnupError as error:
                row.failed = _quarantined(source, row.n, row.raw, error, row.record.external_id)

    def _take_over(self, rows: Sequence[_Row], system: str, source: str) -> None:
        """Component by component, a chunk at a time; a row that fails in one is not taken further. Every step
        is idempotent, so a run that died half-way is simply run again."""
        steps: tuple[tuple[str, Callable[[UnitOfWork, _Row, str], None]], ...] = (
            ("crm", self._open_customer),
            ("inventory", self._reserve),
            ("provisioning", self._adopt_service),
            ("configuration", self._adopt_intents),
            ("orders", self._adopt_product),
            ("mediation", self._note),
        )
        for component, step in steps:
            with self._runtime.unit(component, f"import:{source}") as unit:
                for row in rows:
                    if row.failed is not None:
                        continue
                    try:
                        with unit.attempt():
                            step(unit, row, system)
                    except TurnupError as error:
                        row.failed = _quarantined(source, row.n, row.raw, error, row.record.external_id)

    def _open_customer(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        record = row.record
        opened = self._customers.open_customer(
            unit,
            NewCustomer(
                name=record.name,
                kind=record.kind,
                email=record.email,
                phone=record.phone,
                language=record.language,
                address=NewAddress(
                    street=record.street,
                    postcode=record.postcode,
                    city=record.city,
                    country=record.country,
                    latitude=record.latitude,
                    longitude=record.longitude,
                ),
                currency=self._currency,
                bill_cycle_day=record.bill_cycle_day,
                external_id=f"{system}:{record.external_id}",
                opening_balance_minor=record.balance_minor,
                billed_through=record.billed_through,
                next_bill_date=record.next_bill_date,
                payment_methods=record.payment_methods,
            ),
        )
        row.customer_id, row.account_id = opened.customer_id, opened.account_id
        row.address_id = opened.address_id

    def _reserve(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        record = row.record
        offering = self._offering(record)
        wanted = {"access_port": record.access_port, "vlan": str(record.vlan)}
        for kind, value in (
            ("ipv4", record.ipv4),
            ("ipv6_wan", record.ipv6_wan),
            ("ipv6_pd", record.ipv6_pd),
            ("ont_serial", record.ont_serial),
        ):
            if value is not None:
                wanted[kind] = value
        needs = tuple(
            ResourceNeed(kind=spec.kind, pool=spec.pool, prefix_length=spec.prefix_length)
            for spec in resources_needed(offering.service, record.characteristics)
        )
        service_id = row.service_id(system)
        self._network.reserve(
            unit,
            ReserveRequest(
                service_id=service_id,
                address_id=row.address_id,
                site=None,
                needs=needs,
                wanted=wanted,
            ),
        )
        self._network.assign(unit, service_id)

    def _adopt_service(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        record, service_id = row.record, row.service_id(system)
        reservation = self._network_reads.reservation(service_id)
        if reservation is None or row.customer_id is None or row.account_id is None:
            raise Conflict("the resources of this row vanished", remedy="run the import again")
        fixed = {
            spec.name: _text(spec.default)
            for spec in self._offering(record).characteristics
            if spec.default is not None
        }
        self._services.adopt(
            unit,
            ServiceRequest(
                service_id=service_id,
                product_id=row.product_id(system),
                customer_id=row.customer_id,
                account_id=row.account_id,
                address_id=row.address_id,
                spec=self._offering(record).service,
                characteristics={**fixed, **record.characteristics},
                admission=Admission.WALLED if record.status == "suspended" else Admission.FULL,
                management=Management(record.management),
                login=record.login,
                secret=record.secret,
            ),
            reservation,
            record.started_at,
        )

    def _adopt_intents(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        self._intents.adopt_intents(unit, row.service_id(system))

    def _adopt_product(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        record = row.record
        assert row.account_id is not None
        self._orders.adopt(
            unit,
            AdoptedProduct(
                account_id=row.account_id,
                address_id=row.address_id,
                offering=record.offering,
                characteristics=record.characteristics,
                service_id=row.service_id(system),
                product_id=row.product_id(system),
                started_at=record.started_at,
                status=ProductStatus.SUSPENDED if record.status == "suspended" else ProductStatus.ACTIVE,
                promotion=record.promotion,
            ),
        )

    def _note(self, unit: UnitOfWork, row: _Row, system: str) -> None:
        assert row.customer_id is not None
        external_id = row.record.external_id
        self._mediation.link(unit, system, "customer", external_id, row.customer_id)
        self._mediation.link(unit, system, "service", external_id, row.service_id(system))
        self._mediation.link(unit, system, "product", external_id, row.product_id(system))
        self._mediation.note_taken_over(
            unit, system, external_id, row.service_id(system), row.record.monthly_net_minor
        )
        self._mediation.note_applied(unit, system, _KIND, [(external_id, row.digest)])

    def _offering(self, record: RunningCustomer) -> catalog.OfferingView:
        offering = self._offerings.get(record.offering)
        if offering is None:
            raise InvalidInput(
                f"no offering {record.offering!r}",
                field="offering",
                remedy="import the catalog first, or correct the code",
            )
        return offering


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quarantined(source: str, n: int, raw: str, error: TurnupError, external_id: str) -> Quarantined:
    return Quarantined(
        source=source,
        row=n,
        field=error.field,
        reason=error.message,
        remedy=error.remedy,
        raw=raw,
        external_id=external_id or None,
    )


def _chunks(rows: Sequence[_Row], size: int) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@contextmanager
def _opened(path: Path) -> Iterator["csv.DictReader[str]"]:
    """Raises InvalidInput for a file that cannot be read as CSV in UTF-8, at whatever line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield csv.DictReader(file)
    except OSError as error:
        raise InvalidInput(f"cannot read {path.name}: {error.strerror}", field="file") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path.name} is not UTF-8", field="file", remedy="convert it: iconv -f cp1252 -t utf-8"
        ) from error
    except csv.Error as error:
        raise InvalidInput(
            f"{path.name} is no CSV: {error}", field="file", remedy="quote values as RFC 4180 says"
        ) from error


def _load_yaml(path: Path) -> Mapping[str, Any]:
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"cannot read {path.name}: {error.strerror}", field="file") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path.name} is not YAML: {error}", field="file") from error
    if not isinstance(document, Mapping):
        raise InvalidInput(f"{path.name} must be a mapping", field="file", remedy="see examples/isp")
    return document
