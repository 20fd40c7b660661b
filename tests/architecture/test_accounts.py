"""The tables of permissions, compared with what the services' code does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from artdag_common.commands import COMMANDS, Command
from artdag_common.domain.aggregate import AGGREGATES
from artdag_common.eventstore import roles
from artdag_common.eventstore.roles import ROLES
from artdag_common.eventstore.schema import schema_text
from artdag_common.messaging import permissions, subjects
from artdag_common.messaging.bus import STREAMS
from artdag_common.messaging.permissions import ACCOUNTS, SERVICES

ROOT = Path(__file__).resolve().parents[2]
TABLE = "libs/artdag_common/messaging/permissions.py"
NOT_ISSUED = {"ExecuteSteps"}
"""Goes on the work queue, not on the stream of commands."""

ONLY_BY_FUNCTIONS = {"es_roles", "es_outbox", "es_inbox"}


def trees(service: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / "services" / service).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def calls(service: str) -> Iterator[tuple[Path, ast.Call]]:
    for path, tree in trees(service):
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def covers(pattern: str, subject: str) -> bool:
    """Return whether a permission for ``pattern`` lets all of ``subject`` through, which may hold wildcards too."""
    wanted = subject.split(".")
    for place, token in enumerate(pattern.split(".")):
        if token == ">":
            return len(wanted) > place
        if place >= len(wanted) or wanted[place] == ">" or token not in ("*", wanted[place]):
            return False
    return len(pattern.split(".")) == len(wanted)


def overlaps(pattern: str, subject: str) -> bool:
    """Return whether some subject is matched by both, as where the code fills in what is ``*`` here."""
    mine, wanted = pattern.split("."), subject.split(".")
    for one, other in zip(mine, wanted, strict=False):
        if ">" in (one, other):
            return True
        if one != other and "*" not in (one, other):
            return False
    return len(mine) == len(wanted)


def named(node: ast.expr) -> str | None:
    """Return the subject that an expression names through :mod:`subjects`, with wildcards for what is not constant."""
    match node:
        case ast.Attribute(value=ast.Name(id="subjects"), attr=name):
            return str(getattr(subjects, name))
        case ast.Call(func=ast.Attribute(value=ast.Name(id="subjects"), attr=name), args=args):
            given = [a.value if isinstance(a, ast.Constant) else "*" for a in args]
            if name == "event" and given[0] == "*":
                given[0] = "*-*"  # kind and key
            return str(getattr(subjects, name)(*given))
    return None


@pytest.mark.parametrize("service", SERVICES)
def test_an_account_may_send_the_commands_that_its_service_issues_and_no_other(service: str) -> None:
    made = {node.func.id for _, node in calls(service) if isinstance(node.func, ast.Name)}
    inside = {name for name in COMMANDS if service == COMMANDS[name].SERVICE}
    issued = (made & COMMANDS.keys()) - NOT_ISSUED - inside  # who owns a command makes one to handle it, not to send it
    listed = set(ACCOUNTS[service].commands)
    assert not issued - listed, f"add to commands of {service!r} in {TABLE}"
    assert not listed - issued, f"{service!r} never issues these: take them out of {TABLE}"


def test_nobody_may_attach_tokens_but_the_operator() -> None:
    for name in ACCOUNTS:
        assert not any(covers(pattern, "cmd.auth.AttachToken.*") for pattern in permissions.publish(name)), name


@pytest.mark.parametrize("service", SERVICES)
def test_an_account_may_say_and_hear_what_its_service_does(service: str) -> None:
    checked = 0
    for path, node in calls(service):
        if not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        subject = named(node.args[0])
        allowed = {
            "publish": permissions.publish,
            "request": permissions.publish,
            "subscribe": permissions.subscribe,
            "listen": permissions.subscribe,
        }.get(node.func.attr)
        if subject is None or allowed is None:
            continue
        checked += 1
        assert any(overlaps(pattern, subject) for pattern in allowed(service)), (
            f"{path.relative_to(ROOT)}:{node.lineno} needs {node.func.attr} {subject}: add it to {service!r} in {TABLE}"
        )
    assert checked or service in ("planner",), "the code names subjects in another way: look for that too"


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_asks_others_they_hear_and_answer(service: str) -> None:
    for pattern in permissions.publish(service):
        if not pattern.startswith(("rpc.", "stop.", "tick.", "hint.", "wake.")):
            continue
        hearers = [name for name in ACCOUNTS if any(covers(h, pattern) for h in permissions.subscribe(name))]
        assert hearers, f"{service} says {pattern}, and nobody may hear it"
        if pattern.startswith("rpc.") and pattern != subjects.nodes("*"):
            for hearer in hearers:
                assert any(covers(p, f"{subjects.inbox(service)}.>") for p in permissions.publish(hearer)), (
                    f"{hearer} hears {pattern} from {service}, whom it may not answer: add {service!r} to its answers"
                )


def test_every_service_with_commands_takes_its_own_and_may_answer_who_sends_them() -> None:
    for name, command in COMMANDS.items():
        if name in NOT_ISSUED:
            continue
        owner: type[Command] = command
        assert any(d.stream == subjects.COMMANDS for d in ACCOUNTS[owner.SERVICE].durables), name
        senders = [sender for sender, account in ACCOUNTS.items() if name in account.commands]
        assert set(senders) <= set(ACCOUNTS[owner.SERVICE].answers), f"{name} from {senders}"


def test_only_the_relay_publishes_events_and_makes_streams() -> None:
    for name in ACCOUNTS:
        allowed = permissions.publish(name)
        may = [p for p in allowed if p.startswith(("evt.", ">", "*", "$JS.API.STREAM.CREATE", "$JS.API.STREAM.UPDATE"))]
        assert bool(may) == (name == permissions.RELAY), f"{name}: {may}"
        looked = {f"$JS.API.STREAM.MSG.GET.{stream}" for stream in ACCOUNTS[name].reads}
        looked |= {f"$JS.API.STREAM.MSG.DELETE.{stream}" for stream in ACCOUNTS[name].removes}
        found = {p for p in allowed if re.search(r"\.DELETE\.|MSG\.DELETE|MSG\.GET|DIRECT\.GET", p)}
        assert found == looked, name
        assert not [p for p in allowed if p in ("$JS.>", "$JS.API.>", "$JS.ACK.>")], name
    reading = {name: account.reads for name, account in ACCOUNTS.items() if account.reads}
    assert reading == {"planner": (subjects.WORK,), "auth": (subjects.DEAD_LETTERS,)}
    removing = {name: account.removes for name, account in ACCOUNTS.items() if account.removes}
    assert removing == {"auth": (subjects.DEAD_LETTERS,)}
    assert {config.name for config in STREAMS} == set(ACCOUNTS[permissions.RELAY].makes)


def test_no_two_accounts_share_a_consumer_or_an_inbox() -> None:
    pulled = [(d.stream, d.name) for account in ACCOUNTS.values() for d in account.durables]
    assert len(pulled) == len(set(pulled))
    for name in ACCOUNTS:
        for other in ACCOUNTS:
            inbox = f"{subjects.inbox(other)}.>"
            assert any(covers(h, inbox) for h in permissions.subscribe(name)) == (name == other)


def test_the_configuration_holds_public_keys_only_and_everybody_once() -> None:
    seeds = {name: permissions.seed("a secret", name) for name in ACCOUNTS}
    text = permissions.authorization("pass word", seeds)
    assert len(set(seeds.values())) == len(ACCOUNTS)
    assert not [seed for seed in seeds.values() if seed in text]
    assert text.count("nkey:") == len(ACCOUNTS)
    assert seeds == {name: permissions.seed("a secret", name) for name in ACCOUNTS}, "the same at every start"
    assert permissions.seed("another secret", "auth") != seeds["auth"]


def test_every_kind_of_stream_has_one_role_that_appends_to_it() -> None:
    writers = [kind for role in ROLES.values() for kind in role.streams]
    assert sorted(writers) == sorted(AGGREGATES), (
        "each kind belongs to one role of libs/artdag_common/eventstore/roles.py"
    )


def test_roles_name_what_the_schema_defines_and_all_of_it_is_somebody_s() -> None:
    tables, functions = roles.defined()
    named_tables = {table for role in ROLES.values() for table in role.tables}
    named_functions = {function for role in ROLES.values() for function in role.calls}
    assert named_tables <= set(tables)
    assert named_functions <= set(functions)
    missing = set(tables) - named_tables - ONLY_BY_FUNCTIONS
    assert not missing, f"tables that no role may read: {missing}; add them in libs/artdag_common/eventstore/roles.py"
    text = schema_text()
    for function in set(functions) - named_functions:
        assert len(re.findall(rf"\b{function}\(", text)) > 1, f"no role may call {function}, and no function does"


def test_functions_that_write_for_others_run_as_their_owner_with_a_path_of_their_own() -> None:
    for name, body in re.findall(r"CREATE OR REPLACE FUNCTION (\w+)(.*?)\$\$;", schema_text(), re.DOTALL):
        if "SECURITY DEFINER" in body:
            assert "SECURITY DEFINER SET search_path FROM CURRENT" in body, name


def test_only_the_auth_service_writes_who_people_are_and_nobody_writes_events() -> None:
    for service, role in ROLES.items():
        for table, privileges in role.tables.items():
            if table.startswith("auth_") and privileges != roles.READ:
                assert service == "auth"
            if table in ("es_events", "es_inbox"):
                assert privileges == roles.READ
            if table == "es_log":
                assert privileges == roles.READ or (service, privileges) == ("relay", "SELECT, INSERT")
    assert not [table for table in ROLES["executor"].tables if not table.startswith("es_")]
