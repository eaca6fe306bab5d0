"""The staff's console: pages rendered by the server, from contracts only; no rule of the business lives here.

It shows what components tell and asks them for changes; what a page may show or do is decided by the scopes
and the realm of whoever is logged in, as for the API.
"""
