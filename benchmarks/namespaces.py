"""Network namespaces of this machine that stand for machines of a network: a bridge, and a cable to each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from artdag_cli.cluster import HOME, Node

NETWORK = "10.213.77"
UNSHARED = "BENCH_CLUSTER_UNSHARED"


def enter_user_namespace() -> None:
    """Begin this program anew as root of a user namespace of its own, where it is not root and that is allowed."""
    if os.geteuid() == 0 or os.environ.get(UNSHARED) or not shutil.which("unshare"):
        return
    inside = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--"]
    # `ip netns` keeps its names below /run, which is another's.
    mount = "ip link set lo up && mount -t tmpfs tmpfs /run"
    if subprocess.run([*inside, "sh", "-c", mount], capture_output=True, check=False).returncode:
        return
    os.environ[UNSHARED] = "1"
    os.execvp("unshare", [*inside, "sh", "-c", f'{mount} && exec "$@"', "sh", sys.executable, *sys.argv])  # noqa: S606


@contextmanager
def network(names: Sequence[str]) -> Iterator[tuple[Node, list[Node], str]]:
    """Give where this program runs, a node for each name, and in words what they are."""
    mark = f"ad{os.getpid() % 100_000}"
    bridge = f"{mark}br"
    made: list[list[str]] = []
    try:
        try:
            nodes = list(_build(mark, bridge, names, made))
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            addresses = [f"127.0.0.{number}" for number in range(2, 2 + len(names))]
            said = f"addresses {addresses[0]} and up of one network: namespaces cannot be made here ({reason})"
            yield HOME, [Node(*each) for each in zip(names, addresses, strict=True)], said
        else:
            kind = "in a user namespace" if os.environ.get(UNSHARED) else "as root"
            said = f"network namespaces, {NETWORK}.0/24 behind a bridge, made {kind}"
            yield Node("home", f"{NETWORK}.1"), nodes, said
    finally:
        for command in reversed(made):
            subprocess.run(command, capture_output=True, check=False)


def _build(mark: str, bridge: str, names: Sequence[str], made: list[list[str]]) -> Iterator[Node]:
    """Make bridge and namespaces; ``made`` gets the commands that take them away."""
    _ip("link", "add", bridge, "type", "bridge")
    made.append(["ip", "link", "del", bridge])
    _ip("addr", "add", f"{NETWORK}.1/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    for number, name in enumerate(names, 2):
        space, cable = f"{mark}{name}", f"{mark}{name}v"
        _ip("netns", "add", space)
        made.append(["ip", "netns", "del", space])
        _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
        _ip("link", "set", cable, "master", bridge, "up")
        _ip("-n", space, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _ip("-n", space, "link", "set", "lo", "up")
        yield Node(name, f"{NETWORK}.{number}", ("ip", "netns", "exec", space))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)
