"""Kea DHCP servers, provisioned through their reservations database."""
