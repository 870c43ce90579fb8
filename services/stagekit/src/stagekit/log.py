"""Logs that name the session and the trace, and never what was said.

``session_id`` and ``trace_id`` are context variables: set once where a stream opens, they are on
every line that its tasks log.
"""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar

session_id: ContextVar[str] = ContextVar("session_id", default="")
trace_id: ContextVar[str] = ContextVar("trace_id", default="")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        session, trace = session_id.get(), trace_id.get()
        return f"{line} session={session} trace={trace}" if session or trace else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "session.id": session_id.get(),
            "trace_id": trace_id.get(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in fields.items() if value})


class _PeerLeft(logging.Filter):
    """Leaves out what grpc logs, with a traceback, when a peer cancels in the middle of a send."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or kind.__name__ != "ExecuteBatchError"


def configure(level: str, form: str) -> None:
    """Sends logs to standard error, as ``text`` or ``json`` lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Json() if form == "json" else _Text("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    handler.addFilter(_PeerLeft())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
