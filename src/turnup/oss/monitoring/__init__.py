"""Monitoring owns what the network shows of itself: sessions and usage from accounting, health of elements
and ports, alarms, service problems and the outages they mean, octets over time.

It never changes the network, and never takes one subscriber's silence for an outage.
"""
