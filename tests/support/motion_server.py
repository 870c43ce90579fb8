"""The local Motion Server as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from support.processes import free_port


class MotionServer:
    """``python -m stagewire_motion_server`` on ports that stay the same over its restarts."""

    def __init__(self, log: Path) -> None:
        self._log, self._port, self._admin = log, free_port(), free_port()
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        base = f"127.0.0.1:{self._port}"
        return {
            "SPATIUS_API_KEY": "local",
            "SPATIUS_APP_ID": "local",
            "SPATIUS_AVATAR_ID": "local",
            "SPATIUS_CONSOLE_ENDPOINT": f"http://{base}/v1/console",
            "SPATIUS_INGRESS_ENDPOINT": f"ws://{base}/v2/driveningress",
        }

    def faults(self, **faults: Any) -> None:
        """What goes wrong from now on."""
        url = f"http://127.0.0.1:{self._admin}/faults"
        httpx.put(url, json=faults, trust_env=False).raise_for_status()

    def start(self) -> None:
        ports = ["--port", str(self._port), "--admin-port", str(self._admin)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stagewire_motion_server", *ports], stdout=log, stderr=log
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
