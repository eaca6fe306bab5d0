"""Billing owns what is owed and why: price agreements, billable time, invoices, ledger, payments, dunning.

It knows products and services by id only, and keeps its own record of billable time from service events,
usage and outages. It never sees orders, never reads another component's tables, and never touches the
network: what dunning decides is an event that others act on.
"""
