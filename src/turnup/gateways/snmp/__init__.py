"""SNMP v2c (and ICMP where an element has no SNMP) towards network elements: is it there, what do its ports
say?"""
