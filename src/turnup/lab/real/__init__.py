"""A network of real parts in namespaces: a Linux access gateway, Kea, a FreeRADIUS pair, subscribers.

Needs root and Debian's packages (`make peers`). Like the virtual lab it is an independent peer: it imports
nothing of Turnup, and Turnup meets it only over SSH, PostgreSQL and RADIUS. `turnup lab up --real` builds it,
`turnup lab down` removes everything it made. Reference: docs/reference/lab.md.
"""
