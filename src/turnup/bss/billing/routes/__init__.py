"""Billing over HTTP: TMF678 bills and their rates, TMF676 payments; what TM Forum lacks is native."""

from collections.abc import Sequence

from fastapi import APIRouter

from turnup.bss.billing.routes.bills import bill_resources
from turnup.bss.billing.routes.native import native_router
from turnup.bss.billing.routes.payments import payment_resources
from turnup.bss.billing.service.billing import Billing
from turnup.runtime import tmf
from turnup.runtime.component import Runtime


def routers(billing: Billing, runtime: Runtime) -> Sequence[APIRouter]:
    resources = [*bill_resources(billing), *payment_resources(billing)]
    return [tmf.router(resources, runtime), native_router(billing, runtime)]
