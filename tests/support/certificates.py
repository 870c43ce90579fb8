"""A certificate for this machine."""

import subprocess
from pathlib import Path


def self_made(folder: Path) -> None:
    """A certificate for localhost, as docs/deploying.md makes one."""
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", "tls.key", "-out", "tls.crt"]
    command = [*made.split(), *names, *files]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
