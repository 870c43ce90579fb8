"""A server that listens, inside any process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from stagewire_motion_server.admin import admin_app
from stagewire_motion_server.faces import Faces
from stagewire_motion_server.options import Options
from stagewire_motion_server.server import CONSOLE, INGRESS, MotionServer


@dataclass(frozen=True)
class Running:
    """Where a server listens.

    Attributes:
        server: The server.
        host: Where clients on this machine reach it.
        port: Its port.
        admin_port: That of the admin calls, on 127.0.0.1.
    """

    server: MotionServer
    host: str
    port: int
    admin_port: int

    @property
    def console(self) -> str:
        """The SDK's ``console_endpoint_url``."""
        return f"http://{self.host}:{self.port}{CONSOLE}"

    @property
    def ingress(self) -> str:
        """The SDK's ``ingress_endpoint_url``."""
        return f"ws://{self.host}:{self.port}{INGRESS}"

    @property
    def admin(self) -> str:
        """The address of the admin calls."""
        return f"http://127.0.0.1:{self.admin_port}"


@asynccontextmanager
async def serving(options: Options, now: Callable[[], float] = time.time) -> AsyncIterator[Running]:
    """Serves while the block runs, then closes every session with 1012.

    Raises:
        ValueError: ``options.fault`` is not valid.
        OSError: A port is taken.
        SystemExit: The lip-sync engine's model is not here and cannot be had.
    """
    faces = await asyncio.to_thread(Faces, options.loudness_only, options.seed)
    server = MotionServer(options, faces, now)
    public = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    admin = web.AppRunner(admin_app(server), access_log=None, shutdown_timeout=1.0)
    try:
        port = await _listen(public, options.host, options.port)
        admin_port = await _listen(admin, "127.0.0.1", options.admin_port)
        host = "127.0.0.1" if options.host in ("0.0.0.0", "::", "") else options.host
        # Not in a TaskGroup: it would wrap the block's own errors.
        spending = asyncio.create_task(server.spend())
        try:
            yield Running(server, host, port, admin_port)
        finally:
            spending.cancel()
            await server.stop()
    finally:
        await public.cleanup()
        await admin.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return int(runner.addresses[0][1])
