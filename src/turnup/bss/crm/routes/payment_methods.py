"""Ways to pay of a billing account, native: what there is, never the IBAN or token itself."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from turnup.bss.crm.service import CrmService
from turnup.kernel.errors import NotFound
from turnup.kernel.ids import AccountId
from turnup.runtime.auth import authorise


def payment_methods_router(service: CrmService) -> APIRouter:
    router = APIRouter(prefix="/turnup/v1", tags=["crm"])

    @router.get("/accounts/{account_id}/payment-methods")
    def listed(request: Request, account_id: UUID) -> list[dict[str, Any]]:
        """Mandates and tokens; `hint` is the last four characters."""
        authorise(request, "crm:read")
        if service.account(AccountId(account_id)) is None:
            raise NotFound(f"no account {account_id}", field="account_id")
        return [
            {
                "kind": view.kind,
                "reference": view.reference,
                "provider": view.provider,
                "signedOn": view.signed_on.isoformat() if view.signed_on else None,
                "hint": view.hint,
            }
            for view in service.payment_methods(AccountId(account_id))
        ]

    return router
