"""Mediation owns what comes in from other systems: imports, the crosswalk of external ids, the quarantine.

It maps and hands over; it keeps no personal data (a quarantined record is named by file and row).
"""
