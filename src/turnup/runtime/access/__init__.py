"""Access of people: staff and their passwords, lock-out, sessions, OpenID login, four eyes, rate limits.

Tokens and the check of every request are turnup.runtime.auth; the decisions are turnup.kernel.access. Knows
no business: what four eyes guard is named by the components' manifests.
"""
