"""``artdag top`` against a running system."""

from __future__ import annotations

from artdag_cli.system import SERVICES, System
from tests.e2e.test_cli import Cli, cli  # noqa: F401  (the fixture)


async def test_without_a_terminal_everything_is_printed_once(live: System, cli: Cli) -> None:  # noqa: F811
    shown = await cli("top", "--state", live.state)
    assert shown.code == 0
    assert "steps/s" in shown.out
    assert all(service in shown.out for service in SERVICES)
    assert "\x1b" not in shown.out
    document = (await cli("top", "--state", live.state, "--json")).document
    assert [each["service"] for each in document["services"]] == ["auth", "cache", "planner", "executor", "gateway"]
    assert (await cli("top", "--state", live.state, "--sort", "colour")).code == 2
