"""CRM over HTTP: TMF632 individual and organization, TMF629 customer, TMF666 billingAccount, TMF673
addresses."""

from fastapi import APIRouter

from turnup.bss.crm.routes.addresses import address_resources
from turnup.bss.crm.routes.customers import customer_resources
from turnup.bss.crm.routes.parties import party_resources
from turnup.bss.crm.service import CrmService
from turnup.runtime.component import Runtime
from turnup.runtime.tmf import router


def build_router(service: CrmService, runtime: Runtime, language: str = "en") -> APIRouter:
    resources = [
        *party_resources(service, language),
        *customer_resources(service, language),
        *address_resources(service),
    ]
    return router(resources, runtime)
