"""As whom Postgres runs, which refuses to run as root."""

from __future__ import annotations

import os
import subprocess

from artdag_cli.backing.launch import guarded

NOBODY = "nobody"


def ordinary_identity() -> str:
    """Return the identity under which Postgres, which refuses to run as root, can run here (see :mod:`guard`)."""
    if os.geteuid() != 0:
        return "same"
    probe = subprocess.run([*guarded("namespace"), "/bin/true"], capture_output=True, check=False)
    return "namespace" if probe.returncode == 0 else NOBODY
