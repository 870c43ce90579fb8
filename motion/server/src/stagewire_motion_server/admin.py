"""The admin calls: what runs, and failures on demand while it runs. Loopback only, JSON.

A page in a browser must not reach them: the Host must be loopback's (DNS rebinding), and a body
must be declared as JSON, which a foreign page cannot do without a permission that nobody gives.
"""

from __future__ import annotations

from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stagewire_motion_server.faults import Blow, Faults
from stagewire_motion_server.server import MotionServer

Body = TypeVar("Body", bound=BaseModel)

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class End(Blow):
    """Ends running sessions now."""

    connection_id: str | None = Field(default=None, description="only this one (default: all)")

    @model_validator(mode="after")
    def _does_something(self) -> End:
        if not self.ends():
            raise ValueError("say how: close_code or drop")
        return self


class Credits(BaseModel):
    """What is left on the account."""

    model_config = ConfigDict(extra="forbid")

    credits: float | None = Field(ge=0)


def admin_app(server: MotionServer) -> web.Application:
    """The admin routes of a server."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(_state(server))

    async def put_faults(request: web.Request) -> web.Response:
        server.faults.replace(await _read(request, Faults))
        return await show(request)

    async def delete_faults(request: web.Request) -> web.Response:
        server.faults.replace(Faults())
        return await show(request)

    async def put_credits(request: web.Request) -> web.Response:
        server.credits = (await _read(request, Credits)).credits
        return await show(request)

    async def end_sessions(request: web.Request) -> web.Response:
        end = await _read(request, End)
        hit = [s for s in server.sessions if end.connection_id in (None, s.connection_id)]
        if end.connection_id is not None and not hit:
            raise web.HTTPNotFound(text=f"no session {end.connection_id}\n")
        for session in hit:
            session.end(end.ending())
        return web.json_response({"ended": [session.connection_id for session in hit]})

    app = web.Application(middlewares=[_loopback], client_max_size=1 << 16)
    app.router.add_get("/", show)
    app.router.add_put("/faults", put_faults)
    app.router.add_delete("/faults", delete_faults)
    app.router.add_put("/credits", put_credits)
    app.router.add_post("/sessions/end", end_sessions)
    return app


def _state(server: MotionServer) -> dict[str, Any]:
    first, following = server.options.windows()
    return {
        "sessions": [session.status() for session in server.sessions],
        "max_sessions": server.options.max_sessions,
        "tokens": len(server.tokens),
        "credits": server.credits,
        "windows_seconds": [first, following],
        "faults": server.faults.current.model_dump(exclude_defaults=True),
        "struck": server.faults.struck,
    }


@web.middleware
async def _loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.url.host not in _LOOPBACK:
        raise web.HTTPForbidden(text="call this by 127.0.0.1 or localhost\n")
    return await handler(request)


async def _read(request: web.Request, body: type[Body]) -> Body:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="send JSON, with Content-Type: application/json\n")
    try:
        return body.model_validate_json(await request.read())
    except ValidationError as error:
        raise web.HTTPUnprocessableEntity(text=explain(error) + "\n") from None


def explain(error: ValidationError) -> str:
    """What is wrong, a line each, without the values."""
    return "\n".join(
        ": ".join(filter(None, [".".join(map(str, problem["loc"])), problem["msg"]]))
        for problem in error.errors()
    )
