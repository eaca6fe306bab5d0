"""The outside world: a folder per kind of system, each filling a port of contracts.

A gateway knows contracts, kernel and runtime, never a component. Its public calls are synchronous, take a
deadline in seconds, refuse to run inside a transaction (law 6), and are safe to repeat.
"""
