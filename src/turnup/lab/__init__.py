"""A virtual access network on loopback that speaks real protocols and keeps state.

Devices (OLTs, a BNG), virtual CPEs, a light AAA server: SSH CLI, RADIUS with CoA, SNMP v2c, syslog. Wrong
configuration breaks service here as it does in the field, and on request the devices lie. It is an
independent peer, run as its own process (`python -m turnup.lab`): it imports nothing of Turnup, and Turnup
meets it only over its protocols. It is never a model of Turnup's data. Reference: docs/reference/lab.md.
"""
