"""Switches and other elements that speak NETCONF (RFC 6241) and the standard interface model (RFC 8343)."""
