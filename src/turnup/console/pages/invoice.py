"""An invoice: every line with the arithmetic behind it."""

from fastapi import APIRouter, Request, Response

from turnup.console.desk import Desk
from turnup.console.rendering import show
from turnup.console.visibility import not_here, sees
from turnup.runtime.auth import authorise


def router(desk: Desk) -> APIRouter:
    routes = APIRouter(prefix="/console", include_in_schema=False)

    @routes.get("/invoices/{number}")
    def invoice(request: Request, number: str) -> Response:
        caller = authorise(request, "billing:read", heeds_realm=True)
        found = desk.money.invoice_by_number(number)
        account = None if found is None else desk.customers.account(found.account_id)
        if found is None or not sees(caller, account):
            raise not_here("invoice", number)
        customer = desk.customers.customer(account.customer_id) if account else None
        return show(
            request,
            "invoice.html",
            caller=caller,
            invoice=found,
            account=account,
            customer=customer if caller.may("crm:read") else None,
            pdf=None if caller.realm else f"/turnup/v1/invoices/{number}.pdf",
        )

    return routes
