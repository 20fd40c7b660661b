"""Who needs content, and so what may be deleted. The one place that decides: facts in, verdict out.

Whoever acts on a verdict has the database check, in the same transaction, that the facts are still those it was made
on; if not, they are read again and the decision is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

UPLOADED, NAMED, PUBLISHED = "uploaded", "named", "published"
"""A user brought the content; calls it something; made it public."""

INPUT, SOURCE, RECIPE, EFFECT = "input", "source", "recipe", "effect"
"""A run is made of it; a recipe names it itself; it is a recipe, or its text; it is an effect that takes part."""

OUTPUT, PROVENANCE, PLAN, ANALYSIS = "output", "provenance", "plan", "analysis"
"""What a run gave, and what is recorded of how."""

STEP = "step"
"""A run that is not over reads it. Let go of when the run ends."""

PICTURE = "picture"
"""A picture of other content, which is made again when somebody looks: it keeps nothing."""

ARRIVING = "arriving"
"""Somebody stores it in this moment, and enters it then."""

CLAIMS = frozenset({UPLOADED, NAMED, ARRIVING})
WEAK = frozenset({PICTURE})

DERIVED = "derived"
"""Owner of the runs that make pictures of content."""

FACTS = "facts"
"""Name of the recipe, of that owner, whose runs find out what content holds."""

OPERATOR = "owner"
"""The local owner, who runs the system."""

ARRIVES = "it is being stored in this moment; try again"
ARRIVAL_NS = 600 * 10**9
"""For how long a file that was stored, and that nobody has noted, passes for somebody's who is about to."""

RULES: tuple[tuple[str, frozenset[str], str], ...] = (
    ("published", frozenset({PUBLISHED}), "it is published"),
    ("input", frozenset({INPUT}), "it is an input of a run"),
    ("output", frozenset({OUTPUT}), "it is an output of a run"),
    ("record", frozenset({PROVENANCE, PLAN, ANALYSIS}), "it belongs to the record of a run"),
    ("in-progress", frozenset({STEP}), "a run that is not over reads it"),
    ("recipe", frozenset({SOURCE, RECIPE}), "a recipe, or a run of one, needs it"),
    ("effect", frozenset({EFFECT}), "it is an effect that is registered, or that a recipe or run uses"),
)
"""What keeps content, the strongest first: name, kinds of holds, what to tell people."""


@dataclass(frozen=True, slots=True, order=True)
class Hold:
    """Somebody needs content.

    Attributes:
        kind: as what, one of the above.
        whose: the user for whom; empty: nobody's in particular, or it is not known.
        holder: ``run-``, ``recipe-``, ``effect-`` or ``publication-`` and the id, ``user-`` and the name.
    """

    kind: str
    holder: str
    whose: str = ""

    def concerns(self, name: str) -> bool:
        """Return whether a user has to do with it. What is nobody's in particular, everybody has."""
        return self.whose in ("", name) if self.kind not in CLAIMS else self.holder == user(name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with content.

    Attributes:
        action: ``evict``: nobody else needs it; ``disown``: others do, so only the asker's claim goes, and the asker is
            not told; ``refuse``.
        rule: of a refusal, its name; ``not-yours`` where the asker has no say in it.
        reason: for people.
        holders: who needs it.
    """

    action: Literal["evict", "disown", "refuse"]
    rule: str = ""
    reason: str = ""
    holders: tuple[Hold, ...] = ()


def user(name: str) -> str:
    """Return the holder that a user is."""
    return f"user-{name}"


def registered(stream: str, owner: str) -> str:
    """Return the holder that a recipe or an effect is, as one of those who have it needs it."""
    return f"{stream}/{owner}"


def publication(object_id: str) -> str:
    """Return the holder that what somebody published is."""
    return f"publication-{object_id}"


def decide_deletion(holds: Iterable[Hold], by: str, operator: bool = False) -> Verdict:
    """Decide whether content may be deleted because a user asks for it.

    What others need of it only keeps the bytes: it neither stands in the way, nor is the user to learn of it.

    Args:
        operator: ``by`` may also delete what no user has claimed.
    """
    held = sorted(hold for hold in holds if hold.kind not in WEAK)
    refused = _needed([hold for hold in held if hold.concerns(by) or hold.holder == user(by)])
    if refused:
        return refused
    mine = [hold for hold in held if hold.kind in CLAIMS and hold.concerns(by)]
    others = tuple(hold for hold in held if not hold.concerns(by))
    if mine:
        return Verdict("disown", holders=others) if others else Verdict("evict")
    if others and all(hold.kind == ARRIVING for hold in others):
        return Verdict("refuse", "arriving", ARRIVES, others)
    if others or not operator:
        return Verdict("refuse", "not-yours", f"{by} neither uploaded nor named it", others)
    return Verdict("evict")


def decide_sweep(holds: Iterable[Hold], unused_s: float, older_than_s: float) -> Verdict:
    """Decide whether content may be removed because nobody has used it for a while.

    Args:
        unused_s: seconds since it was used last.
        older_than_s: how many that have to be.
    """
    held = sorted(holds)
    refused = _needed(held)
    if refused:
        return refused
    claims = tuple(hold for hold in held if hold.kind in CLAIMS)
    if claims:
        return Verdict("refuse", "claimed", "a user uploaded or named it, or does so in this moment", claims)
    if unused_s < older_than_s:
        return Verdict("refuse", "young", f"it was used {unused_s / 86400:.1f} days ago")
    return Verdict("evict")


def is_arriving(stamp: int, known: int, now: int) -> bool:
    """Return whether content is being stored again in this moment, by somebody whose need is not noted yet.

    Args:
        stamp: when the file was stored, in nanoseconds since 1970; 0: there is none.
        known: the last time that was noted.
    """
    return stamp > known and now - stamp < ARRIVAL_NS


def decide_run_deletion(status: str, output_holds: Iterable[Hold]) -> Verdict:
    """Decide whether a run that is over may be deleted, by who holds its output."""
    published = tuple(sorted(hold for hold in output_holds if hold.kind == PUBLISHED))
    if status == "completed" and published:
        return Verdict("refuse", "published", "its output is published", published)
    return Verdict("evict")


def _needed(held: Sequence[Hold]) -> Verdict | None:
    for rule, kinds, reason in RULES:
        holders = tuple(hold for hold in held if hold.kind in kinds)
        if holders:
            return Verdict("refuse", rule, reason, holders)
    return None
