"""Turnup: the open OSS/BSS for Internet Service Providers."""

__version__ = "0.1.0"
