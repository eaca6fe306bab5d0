"""Machinery that knows no business: settings, engines, transactions, events, durable work, the web.

Everything an ISP would recognise (an order, a service, a bill) lives elsewhere; nothing here may name it.
"""
