"""Which class of executors a step goes to, and what an operator can write about it."""

from __future__ import annotations

import pytest

from artdag_common.config import Settings
from artdag_common.effects.registry import find_effect
from artdag_common.errors import ConfigurationError
from artdag_common.messaging import permissions, subjects
from artdag_common.steps.registry import find_step_type
from services.planner.classes import Classes

LAYER = find_step_type("LAYER").canonical_config({})


def effect(name: str) -> str:
    return find_step_type("EFFECT").canonical_config({"effect": name})


def chain(*names: str) -> str:
    links = [{"type": "EFFECT", "config": {"effect": name}, "implementation": ""} for name in names]
    return find_step_type("CHAIN").canonical_config({"links": links})


def test_a_step_goes_where_its_type_says_or_the_operator() -> None:
    assert Classes().of("LAYER", LAYER) == "cpu"
    chosen = Classes({"LAYER": "highmem", "EFFECT": "big", "EFFECT:glitch": "gpu"})
    assert chosen.of("LAYER", LAYER) == "highmem"
    assert chosen.of("EFFECT", effect("glitch")) == "gpu", "an effect's own class before that of all effects"
    assert chosen.of("EFFECT", effect("grain")) == "big"
    assert chosen.of("SEGMENT", find_step_type("SEGMENT").canonical_config({})) == "cpu"


def test_a_chain_goes_where_an_effect_in_it_has_to_go() -> None:
    chosen = Classes({"EFFECT:glitch": "gpu", "EFFECT:bloom": "highmem"})
    assert chosen.of("CHAIN", chain("grain", "bloom", "glitch")) == "highmem", "the first of several"
    assert chosen.of("CHAIN", chain("grain", "mirror")) == "cpu"


def test_a_chain_goes_where_a_step_type_in_it_has_to_go() -> None:
    """As the step did before it was made part of a chain. An effect that is named counts before."""
    written = {"EFFECT": {"effect": "grain"}, "LAYER": {}, "RESIZE": {"width": 16, "height": 16}}
    links = [{"type": kind, "config": given, "implementation": ""} for kind, given in written.items()]
    config = find_step_type("CHAIN").canonical_config({"links": links})
    assert Classes({"LAYER": "highmem"}).of("CHAIN", config) == "highmem"
    assert Classes({"RESIZE": "small", "LAYER": "highmem"}).of("CHAIN", config) == "highmem", "the first of several"
    assert Classes({"LAYER": "highmem", "EFFECT:grain": "gpu"}).of("CHAIN", config) == "gpu"
    assert Classes({"CHAIN": "long", "LAYER": "highmem"}).of("CHAIN", config) == "highmem"
    assert Classes({"CHAIN": "long", "BLEND": "highmem"}).of("CHAIN", config) == "long"


def test_where_there_is_nothing_to_compute_no_class_matters() -> None:
    chosen = Classes({"EFFECT": "gpu", "EFFECT:identity": "gpu", "NOOP": "gpu"})
    assert chosen.of("EFFECT", effect("identity")) == "inline"
    assert chosen.of("NOOP", find_step_type("NOOP").canonical_config({})) == "inline"


def test_an_effect_can_be_named_by_its_cid_before_it_is_uploaded() -> None:
    cid = find_effect("glitch").cid
    assert Classes({f"EFFECT:{cid}": "gpu"}).of("EFFECT", effect("glitch")) == "gpu"


@pytest.mark.parametrize(
    ("name", "work_class", "said"),
    [
        ("LAYR", "gpu", "no step type 'LAYR' has a class to choose; did you mean LAYER?"),
        ("layer", "gpu", "did you mean LAYER?"),
        ("PART", "gpu", "no step type 'PART' has a class to choose"),
        ("SOURCE", "gpu", "no step type 'SOURCE' has a class to choose"),
        ("EFFECT:glich", "gpu", "unknown effect 'glich'; did you mean 'glitch'?"),
        ("LAYER", "inline", "LAYER cannot be inline"),
    ],
)
def test_what_there_is_not_is_refused_with_the_nearest_name(name: str, work_class: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="ARTDAG_STEP_CLASSES") as refused:
        Classes({name: work_class})
    assert said in refused.value.message


def test_settings_are_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTDAG_CLASS_LIMITS", "cpu=8, gpu=1")
    monkeypatch.setenv("ARTDAG_USER_LIMITS", "cpu=2")
    monkeypatch.setenv("ARTDAG_USER_WEIGHTS", "owner=4,u-1=0.5")
    monkeypatch.setenv("ARTDAG_STEP_CLASSES", "LAYER=highmem,EFFECT:glitch=ours")
    found = Settings.read()
    assert (found.class_limits, found.user_limits) == ({"cpu": 8, "gpu": 1}, {"cpu": 2})
    assert found.user_weights == {"owner": 4.0, "u-1": 0.5}
    assert found.step_classes == {"LAYER": "highmem", "EFFECT:glitch": "ours"}
    assert found.classes == {"cpu", "gpu", "highmem", "ours"}


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("ARTDAG_CLASS_LIMITS", "cpu", "every entry is name=value"),
        ("ARTDAG_CLASS_LIMITS", "cpu=0", "cpu: has to be at least 1"),
        ("ARTDAG_CLASS_LIMITS", "cpu=many", "cpu: has to be a whole number"),
        ("ARTDAG_CLASS_LIMITS", "cpu=1,cpu=2", "every name has one value; more often: cpu"),
        ("ARTDAG_USER_LIMITS", "inline=3", "inline, what takes no time, has no limit"),
        ("ARTDAG_USER_LIMITS", "c.p.u=3", "c.p.u: has to be a class: up to 32 lower case letters"),
        ("ARTDAG_USER_WEIGHTS", "owner=0", "owner: has to be at least 0.01"),
        ("ARTDAG_STEP_CLASSES", "LAYER=G PU", "LAYER: has to be a class: up to 32 lower case letters"),
    ],
)
def test_what_cannot_be_is_refused_by_its_setting(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(ConfigurationError) as refused:
        Settings.read()
    assert setting in refused.value.message
    assert said in refused.value.message


def test_an_executor_takes_work_of_the_classes_that_the_system_has_and_of_no_other() -> None:
    def consumers(*own: str) -> set[str]:
        allowed = permissions.publish("executor", permissions.accounts(own))
        begins = f"$JS.API.CONSUMER.CREATE.{subjects.WORK}."
        return {each.removeprefix(begins) for each in allowed if each.startswith(begins)}

    usual = {f"executor-{each}.work.{each}.*" for each in ("inline", "cpu", "gpu", "highmem")}
    assert consumers() == usual
    assert consumers("cpu", "ours") == usual | {"executor-ours.work.ours.*"}
    looks = permissions.publish("planner", permissions.accounts(["ours"]))
    assert "$JS.API.CONSUMER.INFO.WORK.executor-ours" in looks
