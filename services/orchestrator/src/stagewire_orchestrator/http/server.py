"""Serving an app in a loop that somebody else runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI


class HttpServer(uvicorn.Server):
    """Serves ``app`` in the running loop; signals stay with the service."""

    def __init__(self, app: FastAPI) -> None:
        """Give ``serve`` the listening socket."""
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                lifespan="off",
                # Those who watch events would hold the process up: their streams are cut.
                timeout_graceful_shutdown=1,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves the signal handlers alone."""
        yield
