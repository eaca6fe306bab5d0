"""The console's own style and scripts, and the few of others that lie beside them; no build, no CDN."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from turnup.kernel.errors import NotFound

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_NAMES = (
    "vendor/tabler.min.css",
    "vendor/htmx.min.js",
    "console.css",
    "console.js",
    "theme.js",
    "turnup.svg",
)
_A_YEAR = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    packed: bytes
    content_type: str
    digest: str


@cache
def asset(name: str) -> Asset:
    """Raises NotFound for what is not one of ours."""
    if name not in _NAMES:
        raise NotFound(f"there is no file {name}", field="path", remedy="reload the page")
    content = (files(__package__) / "assets" / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content, gzip.compress(content, 9, mtime=0), _TYPES[name.rsplit(".", 1)[1]], digest)


def asset_url(name: str) -> str:
    """Names the content, too: a browser may keep it for ever."""
    return f"/console/assets/{name}?v={asset(name).digest}"


def asset_router() -> APIRouter:
    router = APIRouter(prefix="/console/assets", include_in_schema=False)

    @router.get("/{name:path}")
    def show(request: Request, name: str) -> Response:
        found = asset(name)
        fresh = request.query_params.get("v") == found.digest
        headers = {"Cache-Control": _A_YEAR if fresh else "no-cache", "Vary": "Accept-Encoding"}
        headers["X-Content-Type-Options"] = "nosniff"
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(found.packed, media_type=found.content_type, headers=headers)
        return Response(found.content, media_type=found.content_type, headers=headers)

    return router
