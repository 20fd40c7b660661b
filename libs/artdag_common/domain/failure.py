"""Why a step gave no output: kinds of failure, and when another attempt makes sense.

An attempt that failed is an event; so is the next one. Delays grow with "full jitter" (M. Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015); chance comes from the step and the attempt, so that a decision can be
repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

BAD_INPUT, LOST, AWAY, TIMEOUT, MEMORY, BUSY, DEFECT, STOPPED = (
    "bad-input",
    "lost",
    "away",
    "timeout",
    "memory",
    "busy",
    "defect",
    "stopped",
)
"""Kinds. ``lost``: the process or the machine of an attempt went away. ``away``: a server that has what it needs does
not answer. ``busy``: one answers "later". ``defect``: something that nobody thought of. ``stopped``: a person, or a
limit of the run or of how many there may be, ended it."""

HANDED_BACK = "handed-back"
"""Kind of an attempt that an executor gave up since it was told to stop. It does not count."""

STEP_CANCELLED, WAIT_TIMEOUT, STEP_OVERDUE = "step-cancelled", "wait-timeout", "step-overdue"
"""Failures of a step that the planner finds, for one run alone: its owner cancelled the step, nobody took it in time,
or it ran for longer than this run allows."""

STOPS = frozenset({STEP_CANCELLED, WAIT_TIMEOUT, STEP_OVERDUE})

LONGEST_DELAY_S = 3600.0
"""What a server may make a step wait for at most before it is asked again, in seconds."""

KINDS: Mapping[str, str] = {
    "media-worker-lost": LOST,
    "service-unavailable": AWAY,
    "step-timeout": TIMEOUT,
    "step-out-of-memory": MEMORY,
    "storage-full": BUSY,
    "rate-limited": BUSY,
    "provider-busy": BUSY,
    "step-broken": DEFECT,
    "cancelled": STOPPED,
    "deadline-passed": STOPPED,
    "queue-full": STOPPED,
    "system-busy": STOPPED,
    **dict.fromkeys(STOPS, STOPPED),
}
"""Kinds by the code of an error; every other error means that the step cannot do what it was asked for."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a step is tried, and how long it waits in between.

    Attributes:
        attempts: all together, since the step last ended.
        first_s, most_s: bounds of the delay after the first attempt, and of every delay, in seconds.
    """

    attempts: int
    first_s: float = 0.0
    most_s: float = 0.0


POLICIES: Mapping[str, Policy] = {
    BAD_INPUT: Policy(1),
    LOST: Policy(3),
    AWAY: Policy(30, 0.5, 60.0),
    TIMEOUT: Policy(2),
    MEMORY: Policy(2, 2.0, 10.0),
    BUSY: Policy(30, 1.0, 60.0),
    DEFECT: Policy(3, 1.0, 10.0),
    STOPPED: Policy(1),
}


def kind_of(code: str) -> str:
    """Return the kind of the error with this code."""
    return KINDS.get(code, BAD_INPUT)


def next_attempt(kind: str, tries: int, seed: str, retry_after: float = 0.0) -> float | None:
    """Return after how many seconds a step is tried again; None: it is not.

    Args:
        tries: attempts so far, the one that just failed included.
        seed: tells this step from others, for the jitter.
        retry_after: seconds that a server asked for; never less than those, up to :data:`LONGEST_DELAY_S`.
    """
    policy = POLICIES[kind]
    if tries >= policy.attempts:
        return None
    most = min(policy.first_s * 2.0 ** (tries - 1), policy.most_s)
    chance = int.from_bytes(sha256(f"{seed}/{tries}".encode()).digest()[:8], "big") / 2**64
    return max(most * chance, min(retry_after, LONGEST_DELAY_S))


ADVICE: Mapping[str, str] = {
    BAD_INPUT: "Trying again gives the same. Change the step's input or its parameters, then run it again with those.",
    LOST: "Its process, or its machine, went away each time. Retry the run; if it fails again, look at the step's log.",
    AWAY: "A server that has what it needs did not answer for a long time. Retry the run when it is back.",
    TIMEOUT: "Give it less to do, or ask the operator for a longer ARTDAG_STEP_TIMEOUT; then retry the run.",
    MEMORY: "Use a smaller picture or a shorter piece, or ask the operator for executors with more memory.",
    BUSY: "Others had no room for it for a long time. Retry the run later.",
    DEFECT: "This is a defect of the server. Send the step's log to its operator; a retry may help.",
    STOPPED: "It was stopped on purpose. Retry the run to go on from here.",
}
"""What whoever asked for a failed step can do, by kind."""
