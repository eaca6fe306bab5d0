"""The AAA server's own PostgreSQL: subscribers written by provisioning, accounting read by monitoring.

The server (FreeRADIUS with rlm_sql, or the lab's) lives on when Turnup is down; the database
is the server's, not ours.
"""
