"""Bad recipes: each rule gives one clear problem at the right place, and all of them come at once."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from artdag_common.cid import cid_of
from artdag_common.domain import recipe_document
from artdag_common.domain.recipe_document import MAX_ALIASES, MAX_BYTES
from artdag_common.domain.recipe_problems import MAX_PROBLEMS
from artdag_common.domain.recipe_yaml import parse_recipe
from artdag_common.errors import InvalidRecipeError

CAT, FOX = cid_of(b"cat"), cid_of(b"fox")


def problems_of(text: str | bytes) -> list[dict[str, Any]]:
    with pytest.raises(InvalidRecipeError) as refused:
        parse_recipe(text)
    return refused.value.problems


# --- several at once ---

SEVERAL = """\
name: several
verison: "1.0"
inputs:
  video: {type: vidoe}
  audio: audio
steps:
  - id: beats
    type: ANALYSE
    inputs: [audio]
  - id: cut
    type: SEGMENT
    inputs:
      - vidio
    config:
      ofset: 1
      duration: -2
  - id: sync
    type: BEAT_SYNC
    inputs: [video, beats]
    config:
      mode: strech
  - id: sync
    type: SEQUENCE
    inputs: [cut]
    config:
      transition:
        kind: cut
        duration: soon
  - id: ring
    type: NOOP
    inputs: [loop]
  - id: loop
    type: NOOP
    inputs: [ring, sync]
output: snyc
"""


@pytest.mark.usefixtures("step_types")
def test_all_problems_come_at_once_with_their_lines() -> None:
    found = problems_of(SEVERAL)
    assert [(p["line"], p["field"], p.get("value"), p.get("suggestion")) for p in found] == [
        (2, "verison", "verison", "version"),
        (4, "inputs.video.type", "vidoe", "video"),
        (8, "steps[0].type", "ANALYSE", "ANALYZE"),
        (13, "steps[1].inputs[0]", "vidio", "video"),
        (15, "steps[1].config.ofset", "ofset", "offset"),
        (16, "steps[1].config.duration", -2, None),
        (21, "steps[2].config.mode", "strech", "stretch"),
        (22, "steps[3].id", "sync", None),
        (27, "steps[3].config.transition.kind", "kind", None),
        (28, "steps[3].config.transition.duration", "soon", None),
        (29, "steps[4].inputs", None, None),
        (35, "output", "snyc", "sync"),
    ]
    assert "ring → loop → ring" in found[10]["problem"]
    assert all(p["column"] >= 1 and p["problem"] for p in found)


def test_the_error_itself_counts_them() -> None:
    with pytest.raises(InvalidRecipeError, match=r"the recipe has 1 problem$"):
        parse_recipe("")


# --- one at a time ---

GOOD = "name: n\ninputs: {x: any}\nsteps:\n  - {id: s, type: NOOP, inputs: x}\noutput: s\n"
DAG = "name: n\ndag:\n  nodes:\n    - %s\n    - {id: s, type: NOOP, inputs: x}\n  output: s\n"


def steps(*lines: str, inputs: str = "{x: any, y: any}", output: str = "s") -> str:
    listed = "".join(f"  - {line}\n" for line in lines)
    return f"name: n\ninputs: {inputs}\nsteps:\n{listed}output: {output}\n"


CASES: dict[str, tuple[str | bytes, int, str, str]] = {
    # name: text, line, field, part of the problem
    "empty text": ("", 1, "", "empty"),
    "only a comment": ("# nothing\n", 1, "", "empty"),
    "null": ("null", 1, "", "mapping"),
    "a list": ("- a\n- b", 1, "", "mapping"),
    "a word": ("hello", 1, "", "mapping"),
    "bytes that are no text": (b"name: n\n\xff\xfe", 2, "", "UTF-8"),
    "a NUL": ("name: n\x00", 1, "", "character"),
    "a NUL by escape": (GOOD.replace("name: n", 'name: "n\\0"'), 1, "name", "character"),
    "a lone surrogate": ("name: \ud800", 1, "", "character"),
    "a lone surrogate by escape": ('name: "\\ud800"', 1, "", "YAML"),
    "a tab as indentation": ("name: n\nsteps:\n\t- id: a", 3, "", "tabs"),
    "an open bracket": ("name: [n", 1, "", "YAML"),
    "an open quote": ('name: n\nversion: "1', 2, "", "YAML"),
    "two colons": ("name: n\nversion: a: b", 2, "", "YAML"),
    "two documents": (GOOD + "---\n" + GOOD, 6, "", "second"),
    "huge": ("#" * (MAX_BYTES + 1), 1, "", f"{MAX_BYTES:,} bytes"),
    "nested lists": ("[" * 10_000, 1, "[0]" * 64, "64 levels"),
    "nested mappings": ("{a: " * 10_000, 1, ".".join("a" * 64), "64 levels"),
    "a block nested deep": ("".join(f"{'  ' * i}a:\n" for i in range(100)), 65, ".".join("a" * 64), "64 levels"),
    "billion laughs": (
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 7)}]\n" for i in range(1, 10)),
        6,
        "a5[2]",
        "values",
    ),
    "many aliases": ("a: &a x\nb:\n" + "  - *a\n" * (MAX_ALIASES + 1), MAX_ALIASES + 3, f"b[{MAX_ALIASES}]", "aliases"),
    "an alias of itself": ("name: &a [*a]", 1, "name[0]", "inside"),
    "an alias of nothing": ("name: *a", 1, "name", "no anchor"),
    "deep by aliases": (
        "a: &a " + "[" * 40 + "]" * 40 + "\nb:\n  " + "[" * 40 + "*a" + "]" * 40,
        3,
        "b" + "[0]" * 40,
        "64 levels",
    ),
    "a Python object": (GOOD.replace("name: n", "name: !!python/object/apply:os.system [id]"), 1, "name", "tags"),
    "a tag of YAML": (GOOD.replace("name: n", "name: !!str n"), 1, "name", "tags"),
    "a local tag": (GOOD.replace("name: n", "name: !secret n"), 1, "name", "tags"),
    "a key twice": (GOOD + "output: s\n", 6, "output", "first in line 5"),
    "a key twice, deep": (
        steps("{id: s, type: NOOP, inputs: x, config: {salt: a, salt: b}}"),
        4,
        "steps[0].config.salt",
        "twice",
    ),
    "a number as key": (GOOD + "1: one\n", 6, "", "keys are text"),
    "a list as key": (GOOD + "? [a]\n: b\n", 6, "", "keys are text"),
    "a long key": (GOOD + "? " + "k" * 300 + "\n: b\n", 6, "", "200 characters"),
    "a merge": (GOOD + "<<: {owner: o}\n", 6, "<<", "unknown key"),
    "infinity": (steps("{id: s, type: NOOP, inputs: x, config: {salt: .inf}}"), 4, "steps[0].config.salt", "finite"),
    "not a number": (
        steps("{id: s, type: NOOP, inputs: x, config: {salt: .nan}}"),
        4,
        "steps[0].config.salt",
        "finite",
    ),
    "an overflowing number": (GOOD + "owner: 1e999\n", 6, "owner", "finite"),
    "a huge integer": (GOOD + f"owner: {'9' * 5000}\n", 6, "owner", "64 bits"),
    "no name": (GOOD.replace("name: n\n", ""), 1, "name", "no 'name'"),
    "an empty name": (GOOD.replace("name: n", "name: ''"), 1, "name", "1 to 100"),
    "a name that is a path": (GOOD.replace("name: n", "name: ../n"), 1, "name", "without '/'"),
    "a name that is a CID": (GOOD.replace("name: n", f"name: {CAT}"), 1, "name", "CID"),
    "a name that is a list": (GOOD.replace("name: n", "name: [n]"), 1, "name", "text"),
    "a long description": (GOOD + f"description: {'d' * 10_001}\n", 6, "description", "10,000"),
    "no steps": ("name: n\noutput: s\n", 1, "steps", "no steps"),
    "empty steps": ("name: n\nsteps: []\noutput: s\n", 2, "steps", "no steps"),
    "steps that are no list": ("name: n\nsteps: {id: s}\noutput: s\n", 2, "steps", "list"),
    "a step that is no mapping": (steps("s", "{id: s, type: NOOP, inputs: x}"), 4, "steps[0]", "mapping"),
    "no nodes": ("name: n\ndag: {output: s}\n", 2, "dag.nodes", "no nodes"),
    "no output": (GOOD.replace("output: s\n", ""), 1, "output", "missing"),
    "an output of nothing": (GOOD.replace("output: s", "output: t"), 5, "output", "no node"),
    "an output that is a list": (GOOD.replace("output: s", "output: [s]"), 5, "output", "id of a node"),
    "an output that is a list of inputs": (
        steps("{id: s, type: NOOP, inputs: x}", inputs="{x: 'any[]'}", output="x"),
        5,
        "output",
        "several",
    ),
    "a dag without output": (
        "name: n\ndag:\n  nodes: [{id: x, type: SOURCE, config: {input: true}}]\n",
        2,
        "dag.output",
        "missing",
    ),
    "both forms": (GOOD + "dag:\n", 2, "inputs", "'dag'"),
    "an unknown key of a step": (steps("{id: s, type: NOOP, input: x, inputs: x}"), 4, "steps[0].input", "'inputs'"),
    "an unknown key of an input": (
        steps("{id: s, type: NOOP, inputs: x}", inputs="{x: {typ: any}}"),
        2,
        "inputs.x.typ",
        "'type'",
    ),
    "no id": (steps("{type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"), 4, "steps[0].id", "missing"),
    "an id that is a number": (
        steps("{id: 7, type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "text",
    ),
    "an id of another alphabet": (
        steps("{id: größe, type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "letters",
    ),
    "an id with a dot": (
        steps("{id: s.0, type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "letters",
    ),
    "an id with a bracket": (
        steps("{id: 's[0]', type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "letters",
    ),
    "an id with a line break": (
        steps('{id: "s\\n", type: NOOP, inputs: x}', "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "letters",
    ),
    "an id of 65 letters": (
        steps(f"{{id: {'s' * 65}, type: NOOP, inputs: x}}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "64",
    ),
    "an input of another alphabet": (
        steps("{id: s, type: NOOP, inputs: é}", inputs="{é: any}"),
        2,
        "inputs.é",
        "letters",
    ),
    "an id twice": (
        steps("{id: s, type: NOOP, inputs: x}", "{id: s, type: NOOP, inputs: x}"),
        5,
        "steps[1].id",
        "line 4",
    ),
    "the id of an input": (
        steps("{id: x, type: NOOP, inputs: y}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].id",
        "line 2",
    ),
    "no type": (steps("{id: s, inputs: x}"), 4, "steps[0].type", "missing"),
    "a type that is a number": (steps("{id: s, type: 1, inputs: x}"), 4, "steps[0].type", "text"),
    "an unknown type": (steps("{id: s, type: noop, inputs: x}"), 4, "steps[0].type", "'NOOP'"),
    "an input of nothing": (steps("{id: s, type: NOOP, inputs: [x, z]}"), 4, "steps[0].inputs[1]", "no node"),
    "an input that is a number": (
        steps("{id: s, type: NOOP, inputs: [x, 1]}"),
        4,
        "steps[0].inputs[1]",
        "id of a node",
    ),
    "an input that is a mapping": (
        steps("{id: s, type: NOOP, inputs: [x, {node: y}]}"),
        4,
        "steps[0].inputs[1]",
        "id of a node",
    ),
    "no inputs": (steps("{id: s, type: NOOP}"), 4, "steps[0].inputs", "at least 1 input"),
    "too many inputs": (
        steps("{id: s, type: SEGMENT, inputs: [x, y], config: {duration: 1}}"),
        4,
        "steps[0].inputs",
        "1 input (media), not 2",
    ),
    "too few inputs": (
        steps("{id: s, type: BEAT_SYNC, inputs: x}"),
        4,
        "steps[0].inputs",
        "2 inputs (video, analysis), not 1",
    ),
    "a fixed list where one is taken": (
        f"name: n\ndag:\n  nodes:\n    - {{id: l, type: SOURCE_LIST, config: {{cids: [{CAT}, {FOX}]}}}}\n"
        "    - {id: s, type: SEGMENT, inputs: l, config: {duration: 1}}\n  output: s\n",
        5,
        "dag.nodes[1].inputs",
        "not 2",
    ),
    "an unknown slot": (
        steps("{id: s, type: BEAT_SYNC, inputs: {video: x, beats: y}}"),
        4,
        "steps[0].inputs.beats",
        "no slot",
    ),
    "an empty slot": (
        steps("{id: s, type: BEAT_SYNC, inputs: {analysis: [x, y]}}"),
        4,
        "steps[0].inputs.analysis[1]",
        "takes one",
    ),
    "a list in a slot of one": (
        steps("{id: s, type: BEAT_SYNC, inputs: {video: [x, y]}}"),
        4,
        "steps[0].inputs.video[1]",
        "takes one",
    ),
    "a cycle of one": (steps("{id: s, type: NOOP, inputs: [x, s]}"), 4, "steps[0].inputs", "s → s"),
    "a cycle of three": (
        steps(
            "{id: a, type: NOOP, inputs: c}",
            "{id: b, type: NOOP, inputs: a}",
            "{id: c, type: NOOP, inputs: b}",
            output="c",
        ),
        4,
        "steps[0].inputs",
        "a → c → b → a",
    ),
    "a config that is no mapping": (
        steps("{id: s, type: NOOP, inputs: x, config: [salt]}"),
        4,
        "steps[0].config",
        "mapping",
    ),
    "an unknown parameter": (
        steps("{id: s, type: NOOP, inputs: x, config: {slat: a}}"),
        4,
        "steps[0].config.slat",
        "'salt'",
    ),
    "a missing parameter": (steps("{id: s, type: SEGMENT, inputs: x}"), 4, "steps[0].config.duration", "missing"),
    "a parameter out of range": (
        steps("{id: s, type: SEGMENT, inputs: x, config: {duration: 0}}"),
        4,
        "steps[0].config.duration",
        "greater than 0",
    ),
    "a parameter of a wrong type": (
        steps("{id: s, type: NOOP, inputs: x, config: {salt: {a: 1}}}"),
        4,
        "steps[0].config.salt",
        "string",
    ),
    "a wrong item of a list": (
        steps("{id: s, type: ANALYZE, inputs: x, config: {features: [beats, tempi]}}"),
        4,
        "steps[0].config.features[1]",
        "'tempo'",
    ),
    "a media type nobody knows": (
        steps("{id: s, type: NOOP, inputs: x}", inputs="{x: movie}"),
        2,
        "inputs.x",
        "unknown type",
    ),
    "an input that is a list": (steps("{id: s, type: NOOP, inputs: x}", inputs="{x: [any]}"), 2, "inputs.x", "mapping"),
    "a list that is a word": (
        steps("{id: s, type: NOOP, inputs: x}", inputs="{x: {list: often}}"),
        2,
        "inputs.x.list",
        "true or false",
    ),
    "a default nobody has": (
        steps("{id: s, type: NOOP, inputs: x}", inputs="{x: {default: cat}}"),
        2,
        "inputs.x.default",
        "no asset",
    ),
    "a source of nothing": (DAG % "{id: x, type: SOURCE}", 4, "dag.nodes[0].config", "one of"),
    "a source of two": (
        DAG % f"{{id: x, type: SOURCE, config: {{asset: a, cid: {CAT}}}}}",
        4,
        "dag.nodes[0].config.cid",
        "one of",
    ),
    "a source with an unknown key": (
        DAG % f"{{id: x, type: SOURCE, config: {{cdi: {CAT}, cid: {CAT}}}}}",
        4,
        "dag.nodes[0].config.cdi",
        "'cid'",
    ),
    "a variable that is fixed too": (
        DAG % f"{{id: x, type: SOURCE, config: {{input: true, cid: {CAT}}}}}",
        4,
        "dag.nodes[0].config.cid",
        "no meaning",
    ),
    "a fixed source with a default": (
        DAG % f"{{id: x, type: SOURCE, config: {{cid: {CAT}, default: {CAT}}}}}",
        4,
        "dag.nodes[0].config.default",
        "no meaning",
    ),
    "a source that says maybe": (
        DAG % "{id: x, type: SOURCE, config: {input: maybe}}",
        4,
        "dag.nodes[0].config.input",
        "true or false",
    ),
    "a source with inputs": (
        steps("{id: z, type: SOURCE, inputs: x, config: {input: true}}", "{id: s, type: NOOP, inputs: x}"),
        4,
        "steps[0].inputs",
        "no inputs",
    ),
    "a CID that is none": (
        DAG % "{id: x, type: SOURCE, config: {cid: ../../etc/passwd}}",
        4,
        "dag.nodes[0].config.cid",
        "not a CID",
    ),
    "an empty list of CIDs": (
        DAG % "{id: x, type: SOURCE_LIST, config: {cids: []}}",
        4,
        "dag.nodes[0].config.cids",
        "at least one",
    ),
    "one CID for a list": (
        DAG % f"{{id: x, type: SOURCE_LIST, config: {{cids: {CAT}}}}}",
        4,
        "dag.nodes[0].config.cids",
        "list",
    ),
    "a name that is another's id": (
        "name: n\ndag:\n  nodes:\n    - {id: x, type: SOURCE, config: {input: true}}\n"
        "    - {id: y, type: SOURCE, config: {input: true, name: x}}\n  output: x\n",
        5,
        "dag.nodes[1].config.name",
        "dag.nodes[0]",
    ),
    "an unknown key of the registry": (GOOD + "registry: {asets: {}}\n", 6, "registry.asets", "'assets'"),
    "an asset without CID": (GOOD + "registry: {assets: {a: {url: u}}}\n", 6, "registry.assets.a.cid", "missing"),
    "an asset with an old hash": (
        GOOD + "registry: {assets: {a: {hash: abc123}}}\n",
        6,
        "registry.assets.a.hash",
        "not a CID",
    ),
    "an effect with a CID that is none": (
        GOOD + "registry: {effects: {a: {cid: abc123}}}\n",
        6,
        "registry.effects.a.cid",
        "not a CID",
    ),
    "an asset with hash and CID": (
        GOOD + f"registry: {{assets: {{a: {{cid: {CAT}, hash: {CAT}}}}}}}\n",
        6,
        "registry.assets.a.hash",
        "old name",
    ),
}


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("case", CASES)
def test_a_bad_recipe_has_its_problem_at_its_place(case: str) -> None:
    text, line, field, part = CASES[case]
    found = problems_of(text)
    assert (line, field) in [(p["line"], p["field"]) for p in found], found
    assert any(part in p["problem"] for p in found if (p["line"], p["field"]) == (line, field)), found


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize(
    "case", sorted(CASES.keys() - {"a Python object", "both forms", "an empty slot"})
)  # those break several rules
def test_one_mistake_is_one_problem(case: str) -> None:
    assert len(problems_of(CASES[case][0])) == 1


@pytest.mark.usefixtures("step_types")
@pytest.mark.parametrize("case", sorted(CASES.keys() - {"a lone surrogate by escape"}))  # libyaml refuses it as syntax
def test_the_parser_in_python_finds_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, line, field, _ = CASES[case]
    monkeypatch.setattr(recipe_document, "LOADER", yaml.SafeLoader)
    assert (line, field) in [(p["line"], p["field"]) for p in problems_of(text)]


@pytest.mark.usefixtures("step_types")
def test_the_recipe_that_the_cases_change_is_good() -> None:
    assert parse_recipe(GOOD).output == "s"
    assert parse_recipe(DAG % "{id: x, type: SOURCE, config: {input: true}}").output == "s"


def test_values_are_cut_and_problems_are_limited() -> None:
    found = problems_of(GOOD + "".join(f"key{i}: {'v' * 100}\n" for i in range(1000)))
    assert len(found) == MAX_PROBLEMS + 1
    assert len(found[0]["value"]) == len("key0")
    assert f"first {MAX_PROBLEMS}" in found[-1]["problem"]
    (long,) = problems_of(GOOD.replace("output: s", f"output: {'t' * 500}"))
    assert len(long["value"]) == 80


def test_suggestions_do_not_make_a_bad_recipe_expensive() -> None:
    nodes = [f"{{id: node_{i}, type: NOOP, inputs: node{i}}}" for i in range(4000)]
    assert len(problems_of(steps(*nodes))) == MAX_PROBLEMS + 1


def test_every_cycle_is_named() -> None:
    text = steps(
        "{id: a, type: NOOP, inputs: [b, x]}",
        "{id: b, type: NOOP, inputs: a}",
        "{id: c, type: NOOP, inputs: [c, b]}",
        "{id: s, type: NOOP, inputs: [a, c]}",
    )
    assert [p["field"] for p in problems_of(text)] == ["steps[0].inputs", "steps[2].inputs"]


# --- anything at all ---

WORDS = st.sampled_from(
    [
        *[
            "name",
            "version",
            "inputs",
            "steps",
            "output",
            "dag",
            "nodes",
            "registry",
            "assets",
            "effects",
            "id",
            "type",
        ],
        *["config", "cid", "cids", "hash", "asset", "input", "default", "list", "salt", "a", "b", "SOURCE", "NOOP"],
        *["SOURCE_LIST", "any", "video[]", CAT, "", "é", "a.b", "true"],
    ]
)
SCALARS = WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)


def _flow(value: object) -> str:
    """Write a value as YAML in flow style; text that needs it in quotes, with escapes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, str) and not value.isidentifier():
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    return str(value)


def _parse(text: str | bytes) -> None:
    """Parse; a recipe that is taken is one that can be stored, any other has problems with places."""
    try:
        graph = parse_recipe(text)
    except InvalidRecipeError as error:
        assert_well_formed(error.problems)
        return
    assert graph.canonical()


def assert_well_formed(problems: list[dict[str, Any]]) -> None:
    assert problems
    for problem in problems:
        assert problem["line"] >= 1
        assert problem["column"] >= 1
        assert problem["problem"]
        assert isinstance(problem["field"], str)


@given(st.text() | st.binary())
@example('"\\UFFFFFFFF"')
@example("%YAML 1" + "1" * 5000 + ".1\n---\n")
@example("\ufeffname: n")
@example("!<tag:%ff> a")
@example("? ? ? a")
@example("{a: &x {b: *x}}")
@example("&a *a")
@example("- - - -\n\t- ")
def test_no_text_breaks_the_parser(text: str | bytes) -> None:
    _parse(text)


@given(st.text(alphabet="abn:-?[]{},&*!|>'\"%@`#~0.\\ \t\n\r\u2028é"))
def test_no_punctuation_breaks_the_parser(text: str) -> None:
    _parse(text)


@given(st.dictionaries(WORDS, VALUES, max_size=8))
def test_no_structure_breaks_the_parser(value: dict[str, object]) -> None:
    _parse(_flow(value))


@given(st.data())
def test_no_damage_to_a_good_recipe_breaks_the_parser(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([GOOD, SEVERAL, DAG % f"{{id: x, type: SOURCE, config: {{cid: {CAT}}}}}"]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    _parse(text[:start] + data.draw(st.text(max_size=6) | WORDS) + text[end:])
