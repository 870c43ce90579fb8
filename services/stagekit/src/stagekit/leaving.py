"""The end of a process that has native threads."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def leave(status: int = 0) -> NoReturn:
    """Ends the process at once; call it when everything is closed.

    LiveKit's threads call into Python for as long as the process lives, to log. One that meets an
    interpreter that is being taken down aborts the process. So it is not taken down: no ``atexit``
    and no destructors.

    Args:
        status: The process's.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
