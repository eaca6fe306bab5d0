"""TM Forum resources by declaration: a component lists what it offers, the toolkit makes the endpoints.

It knows the guidelines (TMF630: paging, filtering, `fields`, patches, error bodies), no business and no SQL.
"""

from turnup.runtime.tmf.attributes import Attribute, Kind
from turnup.runtime.tmf.body import problem, stamped
from turnup.runtime.tmf.identity import uuid_of, uuid_or_none
from turnup.runtime.tmf.paths import base_path
from turnup.runtime.tmf.query import Page, Query
from turnup.runtime.tmf.resource import Reply, Resource
from turnup.runtime.tmf.routing import TmfRouter, router

__all__ = [
    "Attribute",
    "Kind",
    "Page",
    "Query",
    "Reply",
    "Resource",
    "TmfRouter",
    "base_path",
    "problem",
    "router",
    "stamped",
    "uuid_of",
    "uuid_or_none",
]
