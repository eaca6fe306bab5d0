"""The figures Turnup counts, as Prometheus sees them. Only the objects; `observability` shows them.

Names end in their unit. Labels are few and bounded: never an id.
"""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

requests = Counter("turnup_http_requests", "HTTP requests answered", ["method", "route", "status"])
request_seconds = Histogram(
    "turnup_http_request_seconds", "Time to answer an HTTP request", ["method", "route"], buckets=_FAST
)
units = Counter("turnup_units_committed", "Units of work written", ["component"])
events = Counter("turnup_events_emitted", "Events written to the log", ["type"])
parked = Counter("turnup_events_parked", "Events that could not be handled and were parked", ["consumer"])
element_apply_seconds = Histogram(
    "turnup_element_apply_seconds",
    "Time to apply and verify a change on a network element",
    ["driver", "outcome"],
    buckets=(*_FAST, 30.0, 60.0),
)
orders_completed = Counter("turnup_orders_completed", "Orders that reached their end", ["state"])
invoices_posted = Counter("turnup_invoices_posted", "Invoices posted", [])
brake_changes = Counter(
    "turnup_brake_changes", "Automatic changes of services, as the brake decided", ["cause", "decision"]
)
brake_waiting = Gauge("turnup_brake_waiting", "Automatic changes that wait for a person's release")
freezes = Gauge("turnup_freezes", "Freezes of network elements that are in force")
audit_sealed = Counter("turnup_audit_sealed", "Audit entries sealed into the hash chain", [])
purged = Counter("turnup_purged_rows", "Rows and files taken away by age", ["what"])
