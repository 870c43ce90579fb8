"""W3C Trace Context values (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def new_traceparent() -> str:
    """A sampled traceparent with a new trace id and a new parent id."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id_of(traceparent: str) -> str:
    """The 32 hexadecimal digits of the trace id; empty when ``traceparent`` is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match.group(1) if match else ""
