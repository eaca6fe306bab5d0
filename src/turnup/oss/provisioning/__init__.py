"""Provisioning owns, for every service, what the network should hold and what of it is proved.

It never speaks to an element itself (configuration has the one apply path) and knows no price.
"""
