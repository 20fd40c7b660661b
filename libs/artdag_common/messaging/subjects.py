"""Names on the bus: streams, subjects, durables. Nobody builds one by hand."""

from __future__ import annotations

import re

COMMANDS = "CMD"
WORK = "WORK"
EVENTS = "EVENTS"
DEAD_LETTERS = "DLQ"

RELAY = "relay"
"""Account that makes the streams and publishes events; it is the relay's, wherever that runs."""

INBOXES = "_INBOX"
"""Begins every address at which somebody waits for an answer."""

EVERY_EVENT = "evt.>"
WAKE_RELAY = "wake.relay"
STEP_HINTS = "hint.step"
REVOKED_HINTS = "hint.revoked"

VERIFY = "rpc.auth.verify"
REVOKE_NAME = "rpc.auth.revoke-name"
BEGIN_GRANT = "rpc.auth.begin-grant"
SHOW_GRANT = "rpc.auth.show-grant"
TAKE_GRANT = "rpc.auth.take-grant"
LETTERS = "rpc.auth.letters"
SETTLE_LETTER = "rpc.auth.settle-letter"
STANDING = "rpc.auth.standing"


KEY = re.compile(r"[0-9A-Za-z_-]{1,200}")
"""What a key of a command is made of: it may neither reach over its place in a subject nor end the line."""


def command(service: str, verb: str, key: str) -> str:
    """Subject of a command, for example ``cmd.planner.StartRun.<run id>``."""
    return f"cmd.{service}.{verb}.{key}"


def work(work_class: str, name: str) -> str:
    """Subject of steps to execute."""
    return f"work.{work_class}.{name}"


def workers(work_class: str) -> str:
    """Name of the consumer that all executors of a work class share."""
    return f"executor-{work_class}"


def event(stream: str, type_name: str) -> str:
    """Subject of an event, for example ``evt.run.<run id>.RunRequested``."""
    kind, _, key = stream.partition("-")
    return f"evt.{kind}.{key}.{type_name}"


def dead_letter(service: str, name: str) -> str:
    """Subject of what gave up."""
    return f"dlq.{service}.{name}"


def tick(cache_id: str) -> str:
    """Subject of a running step's progress."""
    return f"tick.step.{cache_id}"


def copy_tick(storage_id: str) -> str:
    """Subject of the progress of copies to a storage provider."""
    return f"tick.storage.{storage_id}"


def step_log(cache_id: str) -> str:
    """Subject of what a running step says."""
    return f"log.step.{cache_id}"


def ask_for_log(cache_id: str) -> str:
    """Subject on which the executor of a step is asked for what the step has said so far."""
    return f"rpc.log.{cache_id}"


def here(executor: str) -> str:
    """Subject on which an executor tells that it is there, and what it works on."""
    return f"here.executor.{executor}"


def alive(service: str, instance: str) -> str:
    """Subject on which a process of a service tells that it is there."""
    return f"alive.{service}.{instance}"


def ask_if_here(executor: str) -> str:
    """Subject on which an executor is asked whether it is there."""
    return f"rpc.here.{executor}"


def stop(cache_id: str) -> str:
    """Subject that tells executors that nobody waits for a step any more."""
    return f"stop.step.{cache_id}"


def inbox(account: str) -> str:
    """Prefix of the subjects at which an account of its own gets answers."""
    return f"_INBOX_{account}"


def ping(service: str) -> str:
    """Subject on which a service that can do work answers."""
    return f"rpc.ping.{service}"


def content(cluster: str) -> str:
    """Subject on which the nodes of a cluster are asked what they have."""
    return f"rpc.content.{cluster}"


def nodes(cluster: str) -> str:
    """Subject on which the nodes of a cluster tell that they are there."""
    return f"rpc.nodes.{cluster}"
