"""Configuration owns, per element, the one intended configuration, its lock, its credentials and backups.

It is the only apply path. What should be in it is decided elsewhere (provisioning); how an element is spoken
to is a driver's matter (gateways).
"""
