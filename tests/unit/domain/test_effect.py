"""Effect: registered once, known by its CID."""

from __future__ import annotations

from datetime import UTC, datetime

from artdag_common.cid import cid_of
from artdag_common.codec import decode_event, encode_event
from artdag_common.commands import RegisterEffect
from artdag_common.domain.effect import Effect
from artdag_common.errors import EffectNotFoundError
from artdag_common.testing.scenario import Scenario, fact

NOW = datetime(2026, 1, 7, tzinfo=UTC)
FACTS = {
    "name": "glow",
    "effect_version": "1.0",
    "author": "Ann",
    "description": "Glows.",
    "kind": "frame",
    "owner": "owner",
}


def test_it_is_what_its_file_says_and_its_stream_is_named_by_its_cid() -> None:
    cid = cid_of(b"effect")
    effect = Effect.create(Effect.Registered, cid, NOW, **FACTS)
    assert (effect.id, effect.key) == (f"effect-{cid}", cid)
    assert {name: getattr(effect, name) for name in FACTS} == FACTS
    (event,) = effect.pending_events
    assert decode_event("EffectRegistered", effect.id, 1, encode_event(event)) == event


def test_two_have_the_same_effect_and_each_gives_it_up_alone() -> None:
    effect = Scenario(Effect, Effect.Registered).given(fact(Effect.Registered, owner="ada"))
    effect.when(Effect.claim, "ada").nothing()
    effect.when(Effect.claim, "bob").then(fact(Effect.Claimed, owner="bob"))
    effect.when(Effect.disown, "ada").then(fact(Effect.Disowned, owner="ada"))
    assert effect.state.owners == ["bob"]
    effect.when(Effect.disown, "bob").then(fact(Effect.Disowned, owner="bob"))
    effect.when(Effect.claim, "ada").then(fact(Effect.Claimed, owner="ada"))
    assert effect.state.owners == ["ada"]
    effect.when(Effect.disown, "bob").raises(EffectNotFoundError)


def test_the_command_goes_to_the_planner_by_cid() -> None:
    command = RegisterEffect("bafy", "owner")
    assert (command.SERVICE, command.key) == ("planner", "bafy")
