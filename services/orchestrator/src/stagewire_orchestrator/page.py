"""The page: its files, the avatars that it offers, and what it is told. One origin with the API."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field

from stagewire_orchestrator.avatars import Avatar

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src {connects}; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}
_TYPES = {".glb": "model/gltf-binary", ".js": "text/javascript; charset=utf-8"}
_LEAST_BYTES_TO_COMPRESS = 1024


class ShownAvatar(BaseModel):
    """An avatar as a client offers it."""

    avatar_id: str
    name: str
    language: str = Field(description="BCP 47.")
    look: str = Field(description="Which head the page shows: /head/LOOK.glb.")


class ShownAvatars(BaseModel):
    """The avatars, the default first."""

    avatars: list[ShownAvatar]


class PageSettings(BaseModel):
    """What the page is told about its deployment."""

    trace_url: str = Field(
        default="", description="A session's trace, with {trace_id} in it; empty: none."
    )
    key_required: bool = Field(default=False, description="Whether the session API asks for a key.")
    sessions_url: str = Field(
        default="", description="Who creates the page's sessions; empty: this orchestrator."
    )

    connects: list[str] = Field(
        default=["ws:", "wss:"],
        exclude=True,
        description="Where its policy lets it connect, beside its own origin and that of "
        "sessions_url.",
    )

    @property
    def headers(self) -> dict[str, str]:
        """What every file of the page is served with."""
        url = urlsplit(self.sessions_url)
        sessions = [f"{url.scheme}://{url.netloc}"] if url.netloc else []
        policy = _POLICY.format(connects=" ".join(["'self'", *self.connects, *sessions]))
        return {"Content-Security-Policy": policy, **_SECURITY_HEADERS}


class _File:
    """A file held in memory, also compressed."""

    def __init__(self, name: str, content: bytes) -> None:
        suffix = name[name.rfind(".") :]
        self.type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
        self.content = content
        # Time 0: the same bytes have the same compressed bytes.
        self.compressed = gzip.compress(content, 6, mtime=0)
        self.etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    def answer(self, request: Request, common: Mapping[str, str]) -> Response:
        headers = {**common, "ETag": self.etag, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        headers["X-File-Bytes"] = str(len(self.content))
        body = self.content
        accepts = "gzip" in request.headers.get("accept-encoding", "")
        if accepts and len(body) >= _LEAST_BYTES_TO_COMPRESS:
            headers["Content-Encoding"] = "gzip"
            body = self.compressed
        return Response(body, media_type=self.type, headers=headers)


def add_page(
    app: FastAPI,
    avatars: Mapping[str, Avatar],
    settings: PageSettings | None = None,
    folder: Traversable | None = None,
) -> None:
    """Adds the page at ``/``, its files, ``GET /v1/avatars`` and ``GET /page.json``.

    Args:
        app: The HTTP side; its other routes keep their names.
        avatars: Profiles by avatar id, the default first.
        settings: What the page is told; by default the session API is open, and no trace is shown.
        folder: The built page; the packaged one by default.

    Raises:
        SystemExit: When the package was made without the page; says what to do.
    """
    told = settings or PageSettings()
    headers = told.headers
    root = folder or files("stagewire_orchestrator").joinpath("static")
    found = dict(_walk(root)) if root.is_dir() else {}
    if "index.html" not in found or "app.js" not in found:
        raise SystemExit(
            f"{root}: the page is not built. In a checkout: `make page` (needs Node); a wheel "
            "without it was made from an incomplete checkout"
        )

    @app.get("/v1/avatars")
    async def list_avatars() -> ShownAvatars:
        return ShownAvatars(
            avatars=[
                ShownAvatar(
                    avatar_id=avatar_id,
                    name=avatar.name,
                    language=avatar.language,
                    look=avatar.look,
                )
                for avatar_id, avatar in avatars.items()
            ]
        )

    @app.get("/page.json", include_in_schema=False)
    async def page_settings() -> PageSettings:
        return told

    def serve(path: str, file: _File) -> None:
        async def answer(request: Request) -> Response:
            return file.answer(request, headers)

        app.add_api_route(path, answer, include_in_schema=False)

    serve("/", found["index.html"])
    # A route for each file: nothing else of the disk can be asked for.
    for name, file in found.items():
        serve(f"/{name}", file)


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, _File]]:
    entries: list[tuple[str, _File]] = []
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            entries += _walk(entry, f"{name}/")
        else:
            entries.append((name, _File(name, entry.read_bytes())))
    return entries
