"""A Linux access gateway (IPoE): nftables, HTB and routes, managed over SSH."""
