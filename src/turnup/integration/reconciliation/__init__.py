"""Reconciliation owns the findings of the standing comparison: sold, desired, actual, live and billed.

It decides nothing that was not decided elsewhere: it repairs by applying again what orders and provisioning
agree on, and by telling billing what the network proves. It never suspends, ceases or removes anything.
"""
