"""The API process: HTTP in front of the house. Runs no workflow and handles no event."""

import socket

import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from turnup.app.access import access_of
from turnup.app.desk import desk_of
from turnup.app.engine import attach_engine
from turnup.app.house import SERVER, House, assemble
from turnup.app.migrations.runner import head
from turnup.app.native import native_router
from turnup.app.observation import observe
from turnup.console.router import console_routers, error_page
from turnup.runtime.settings import Settings
from turnup.runtime.web import make_app


def api_of(house: House) -> FastAPI:
    """The HTTP application of an assembled house."""
    routers = [router for component in house.components for router in component.routers]
    access = access_of(house)
    app = make_app(
        [*routers, native_router(house), *console_routers(desk_of(house, access))],
        house.runtime,
        revision=head(),
        access=access,
        error_page=error_page,
    )

    async def limit_threads() -> None:
        to_thread.current_default_thread_limiter().total_tokens = house.settings.http_threads

    app.router.on_startup.append(limit_threads)
    return app


def serve(settings: Settings, *, listener: socket.socket | None = None) -> None:
    """Serve until told to stop. `listener`: an already bound socket (the caller knows its port)."""
    observe(settings, SERVER)
    house = assemble(settings, attach_engine(settings), process=SERVER)
    config = uvicorn.Config(
        api_of(house),
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener] if listener else None)
    finally:
        house.close()
