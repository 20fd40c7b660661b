"""Who may say and hear what on the bus: one table, from which the server's configuration is made.

Each service has an account of its own, and so has the relay, which alone may publish events and make streams. What is
not here is refused by the server. The operator's account may do anything; it is for the operator's tools and the tests.

NATS does not check reply subjects: whoever may pull from a stream can have what it holds sent to any subject. What is
sent so keeps the subject it was stored under, so consumers filter by subject, and our client drops what did not come
under the subject that was subscribed to (see :mod:`client`).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from artdag_common.commands import COMMANDS
from artdag_common.messaging import subjects

RELAY = subjects.RELAY
OPERATOR = "artdag"
SERVICES = ("auth", "cache", "planner", "executor", "gateway")

WORK_CLASSES = ("inline", "cpu", "gpu", "highmem")
"""Classes of executors that every system knows; an operator's own come to them."""


@dataclass(frozen=True, slots=True)
class Durable:
    """A consumer that a service makes, pulls from and acknowledges to. ``filter``: one that the server holds it to."""

    stream: str
    name: str
    filter: str = ""
    looks: tuple[str, ...] = ()
    """Other accounts that may ask how it stands."""


@dataclass(frozen=True, slots=True)
class Account:
    """What one account is for.

    Attributes:
        commands: names of those it issues.
        says, hears: further subjects that it publishes to and subscribes to.
        durables: consumers of its own.
        answers: accounts whose questions it answers, besides the operator's.
        makes: streams that it makes where they are missing.
        purges: streams that it takes messages off.
        reads: streams whose messages it looks at, one by one.
        removes: streams whose messages it removes, one by one.
        watches: streams that it may ask how they stand, they and their consumers.
    """

    commands: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    durables: tuple[Durable, ...] = ()
    answers: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    purges: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    watches: tuple[str, ...] = ()


def _commands_of(service: str) -> Durable:
    return Durable(subjects.COMMANDS, service, f"cmd.{service}.>")


def _work_of(work_class: str) -> Durable:
    looks = ("planner",)
    return Durable(subjects.WORK, subjects.workers(work_class), subjects.work(work_class, "*"), looks)


SIGN_IN_SECONDS = 10
"""The server's own limit, 2 s, turns away who has to share the processors with many."""

READERS = ("gateway", "planner", "executor", "cache")
"""Accounts that read content, and so ask the nodes of the cluster for it."""

ASK_FOR_CONTENT = (subjects.content("*"),)
HEAR_OF_NODES = (subjects.nodes("*"),)
TICKS = (subjects.tick("*"),)
COPY_TICKS = (subjects.copy_tick("*"),)
PINGS = tuple(subjects.ping(service) for service in SERVICES if service != "gateway")
ASK_AUTH = (
    subjects.VERIFY,
    subjects.REVOKE_NAME,
    subjects.BEGIN_GRANT,
    subjects.SHOW_GRANT,
    subjects.TAKE_GRANT,
    subjects.LETTERS,
    subjects.SETTLE_LETTER,
    subjects.STANDING,
)

ACCOUNTS: Mapping[str, Account] = {
    "gateway": Account(
        commands=(
            "StartRun",
            "ImportRun",
            "ExecuteRun",
            "CancelRun",
            "CancelStep",
            "PauseRun",
            "ResumeRun",
            "DeleteRun",
            "RegisterRecipe",
            "DeleteRecipe",
            "RegisterEffect",
            "DeleteEffect",
            "ImportObject",
            "DescribeObject",
            "PublishObject",
            "UnpublishObject",
            "SettleActivity",
            "AddStorage",
            "EditStorage",
            "SwitchStorage",
            "RemoveStorage",
            "CheckStorage",
            "CopyObject",
            "AddWebhook",
            "EditWebhook",
            "SwitchWebhook",
            "RemoveWebhook",
            "PingWebhook",
            "RepeatNotice",
            "DeleteObject",
            "CollectGarbage",
            "RevokeToken",
            "RevokeUser",
            "EraseUser",
            "NoteRefusals",
        ),
        says=(*PINGS, *ASK_FOR_CONTENT, *ASK_AUTH, subjects.ask_for_log("*"), subjects.alive("gateway", "*")),
        hears=(
            subjects.EVERY_EVENT,
            subjects.REVOKED_HINTS,
            *TICKS,
            *COPY_TICKS,
            *HEAR_OF_NODES,
            subjects.step_log("*"),
            subjects.here("*"),
            subjects.alive("*", "*"),
        ),
    ),
    "planner": Account(
        says=(
            subjects.work("*", "*"),
            subjects.stop("*"),
            subjects.WAKE_RELAY,
            *ASK_FOR_CONTENT,
            subjects.ask_if_here("*"),
            subjects.alive("planner", "*"),
        ),
        hears=(subjects.STEP_HINTS, *HEAR_OF_NODES, subjects.here("*")),
        reads=(subjects.WORK,),
        durables=(_commands_of("planner"), Durable(subjects.EVENTS, "planner")),
        answers=("gateway",),
        purges=(subjects.WORK,),
    ),
    "executor": Account(
        # Long films are divided: an executor puts their parts on the queue, and takes back what nobody waits for.
        says=(
            subjects.work("cpu", "*"),
            subjects.stop("*"),
            subjects.STEP_HINTS,
            subjects.WAKE_RELAY,
            *TICKS,
            *ASK_FOR_CONTENT,
            subjects.step_log("*"),
            subjects.here("*"),
            subjects.alive("executor", "*"),
        ),
        hears=(
            subjects.stop("*"),
            subjects.STEP_HINTS,
            *TICKS,
            *HEAR_OF_NODES,
            subjects.ask_for_log("*"),
            subjects.ask_if_here("*"),
        ),
        durables=tuple(_work_of(work_class) for work_class in WORK_CLASSES),
        answers=("gateway", "planner"),
        purges=(subjects.WORK,),
    ),
    "cache": Account(
        says=(subjects.WAKE_RELAY, *COPY_TICKS, *ASK_FOR_CONTENT, *HEAR_OF_NODES, subjects.alive("cache", "*")),
        hears=(subjects.event("object-*", "*"), subjects.event("effect-*", "*"), *ASK_FOR_CONTENT, *HEAR_OF_NODES),
        durables=(
            _commands_of("cache"),
            Durable(subjects.EVENTS, "cache"),
            Durable(subjects.EVENTS, "cache-copies"),
            Durable(subjects.EVENTS, "cache-webhooks"),
        ),
        answers=READERS,
    ),
    "auth": Account(
        says=(subjects.WAKE_RELAY, subjects.REVOKED_HINTS, subjects.alive("auth", "*")),
        hears=ASK_AUTH,
        # It keeps the dead letters, and the gateway asks it: whoever may ask JetStream anything can have the answer
        # sent to any subject, and so into the stream of events, whose sequences then are no positions any more.
        reads=(subjects.DEAD_LETTERS,),
        removes=(subjects.DEAD_LETTERS,),
        watches=(subjects.COMMANDS, subjects.WORK, subjects.EVENTS, subjects.DEAD_LETTERS),
        durables=(_commands_of("auth"),),
        answers=("gateway",),
    ),
    RELAY: Account(
        says=(subjects.EVERY_EVENT,),
        hears=(subjects.WAKE_RELAY,),
        makes=(subjects.COMMANDS, subjects.WORK, subjects.EVENTS, subjects.DEAD_LETTERS),
    ),
}


def accounts(work_classes: Collection[str]) -> Mapping[str, Account]:
    """Return the accounts of a system with further classes of executors.

    Consumers are made and asked for by name: an executor may take work of these classes, and of no class that is not
    among them.
    """
    known = dict.fromkeys((*WORK_CLASSES, *work_classes))
    return {**ACCOUNTS, "executor": replace(ACCOUNTS["executor"], durables=tuple(map(_work_of, known)))}


def publish(name: str, accounts: Mapping[str, Account] = ACCOUNTS) -> list[str]:
    """Return what an account may publish to."""
    account = accounts[name]
    found = [subjects.command(COMMANDS[each].SERVICE, each, "*") for each in account.commands]
    found += account.says
    for durable in account.durables:
        found += _pulling(durable)
    for other, its in accounts.items():
        looked = [durable for durable in its.durables if name in durable.looks or other == name]
        found += [f"$JS.API.CONSUMER.INFO.{durable.stream}.{durable.name}" for durable in looked]
    for stream in account.makes:
        found += [f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "INFO")]
    found += [f"$JS.API.STREAM.PURGE.{stream}" for stream in account.purges]
    found += [f"$JS.API.STREAM.MSG.GET.{stream}" for stream in account.reads]
    found += [f"$JS.API.STREAM.MSG.DELETE.{stream}" for stream in account.removes]
    for stream in account.watches:
        found += [f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.CONSUMER.LIST.{stream}"]
    if account.durables:
        found.append(subjects.dead_letter(name, "*"))
    if account.answers:
        found += [f"{prefix}.>" for prefix in (subjects.INBOXES, *map(subjects.inbox, account.answers))]
    return found


def subscribe(name: str) -> list[str]:
    """Return what an account may subscribe to."""
    own = [subjects.ping(name)] if ACCOUNTS[name].answers else []
    return [f"{subjects.inbox(name)}.>", *ACCOUNTS[name].hears, *own]


def _pulling(durable: Durable) -> Iterator[str]:
    place = f"{durable.stream}.{durable.name}"
    # With one filter the server compares it with the subject of the request: no other can be asked for.
    yield f"$JS.API.CONSUMER.CREATE.{place}.{durable.filter}" if durable.filter else f"$JS.API.CONSUMER.CREATE.{place}"
    yield f"$JS.API.CONSUMER.MSG.NEXT.{place}"
    yield f"$JS.ACK.{place}.>"
    yield f"$JS.ACK.*.*.{place}.>"


def seed(secret: str, name: str) -> str:
    """Return the nkey seed of an account, derived from a secret of the operator's: the same one at every start."""
    import nkeys  # takes a while to load, and few need it

    key = hmac.digest(secret.encode(), f"nats account {name}".encode(), "sha256")
    return str(nkeys.encode_seed(key, nkeys.PREFIX_BYTE_USER).decode())


def authorization(password: str, seeds: Mapping[str, str], work_classes: Collection[str] = ()) -> str:
    """Return the section of the NATS server's configuration that lets the operator and the accounts in.

    Args:
        password: the operator's, whose user is :data:`OPERATOR`.
        seeds: of the accounts, by name; the server learns their public halves only.
        work_classes: those of executors, besides :data:`WORK_CLASSES`.
    """
    import nkeys

    users = [f'{{ user: {OPERATOR}, password: "{password}" }}']
    for name in ACCOUNTS:
        public = nkeys.from_seed(seeds[name].encode()).public_key.decode()
        users.append(
            f"{{ nkey: {public}, permissions: {{ publish: {_listed(publish(name, accounts(work_classes)))},"
            f" subscribe: {_listed(subscribe(name))} }} }}"
        )
    return f"authorization {{ timeout: {SIGN_IN_SECONDS}, users: [\n" + "\n".join(users) + "\n] }\n"


def _listed(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in dict.fromkeys(names)) + "]"
