"""``python -m stagewire_orchestrator.http.openapi`` prints the API's OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from stagekit.admission import Admission

from stagewire_orchestrator import avatars
from stagewire_orchestrator.http.app import build_app
from stagewire_orchestrator.page import add_page
from stagewire_orchestrator.rooms import Rooms
from stagewire_orchestrator.sessions import Sessions
from stagewire_orchestrator.settings import OrchestratorSettings
from stagewire_orchestrator.stages.channels import Channels
from stagewire_orchestrator.tokens import ApiTokens


def description() -> dict[str, Any]:
    """The document, from the routes themselves; nothing is connected."""
    settings = OrchestratorSettings.model_construct()
    rooms, tokens = Rooms(settings), ApiTokens(settings.token_seconds)
    profiles = avatars.load()
    sessions = Sessions(settings, profiles, Channels(settings), Admission(1), rooms, tokens)
    app = build_app(settings, sessions, rooms, tokens)
    add_page(app, profiles)
    return app.openapi()


if __name__ == "__main__":
    print(json.dumps(description(), indent=2, ensure_ascii=False))
