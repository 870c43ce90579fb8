"""Which pages may connect: the Origin headers that an operator allows."""

from __future__ import annotations

import re

LOCAL = (
    "http://localhost:*, https://localhost:*, http://127.0.0.1:*, https://127.0.0.1:*, "
    "http://[::1]:*, https://[::1]:*"
)
"""Pages of this machine."""


def pattern(origins: str) -> re.Pattern[str]:
    """The allowed Origins as one pattern that a whole header must match.

    Args:
        origins: Comma-separated; `*` stands for any characters but `/`, alone for every page.
    """
    globs = [glob.strip() for glob in origins.split(",") if glob.strip()]
    return re.compile("|".join(".*" if glob == "*" else _translate(glob) for glob in globs))


def _translate(glob: str) -> str:
    translated = re.escape(glob).replace(r"\*", "[^/]*")
    # A browser leaves the scheme's default port out of the Origin.
    return re.sub(r":\[\^/\]\*$", r"(:[0-9]+)?", translated)
