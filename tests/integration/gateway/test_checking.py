"""Recipes that are being written, lists searched by name, and parameters that a new run is given."""

from __future__ import annotations

from uuid import uuid4

from services.gateway.api.effects import SOURCE_EXAMPLE

YAML = {"Content-Type": "application/yaml"}
CHECK = "/api/recipes/check"


async def test_a_recipe_without_problems_is_drawn_and_not_kept(api, chain_text):
    name = f"checked-{uuid4().hex[:8]}"
    said = (await api.post(CHECK, content=chain_text(name, 2), headers=YAML)).json()
    assert (said["name"], said["problems"]) == (name, [])
    assert [each["name"] for each in said["inputs"]] == ["media"]
    graph = said["graph"]
    assert (graph["names"], graph["types"]) == (["media", "s0", "s1"], ["SOURCE", "NOOP", "NOOP"])
    assert (graph["levels"], graph["inputs"], graph["output"]) == ([0, 1, 2], [[], [0], [1]], 2)
    assert (await api.get("/recipes", params={"name": name})).json()["total"] == 0


async def test_problems_come_with_their_places(api):
    text = "name: bad\ninputs:\n  a: {type: any}\nsteps:\n  - id: x\n    type: NOPE\n    inputs: [nowhere]\noutput: y\n"
    answer = await api.post(CHECK, content=text, headers=YAML)
    assert answer.status_code == 200
    said = answer.json()
    assert (said["graph"], said["name"], said["inputs"]) == (None, None, [])
    assert {(each["line"], each["field"]) for each in said["problems"]} >= {
        (6, "steps[0].type"),
        (7, "steps[0].inputs[0]"),
        (8, "output"),
    }
    broken = (await api.post(CHECK, content="steps: [", headers=YAML)).json()
    assert [each["line"] for each in broken["problems"]] == [1]
    assert (await api.post(CHECK, content=b"", headers=YAML)).json()["problems"]


async def test_only_who_is_signed_in_has_recipes_checked(stranger, chain_text, problem):
    problem(await stranger.post(CHECK, content=chain_text("x", 1), headers=YAML), 401, "unauthenticated")


async def test_recipes_and_effects_are_found_by_a_part_of_their_names(api, make_recipe):
    word = uuid4().hex[:8]
    first, second = await make_recipe(1, f"find-{word}-one"), await make_recipe(1, f"find-{word}-two")
    found = (await api.get("/recipes", params={"name": word.upper()})).json()
    assert found["total"] == 2
    assert [each["recipe_id"] for each in found["recipes"]] == [second["recipe_id"], first["recipe_id"]]
    assert (await api.get("/recipes", params={"name": f"{word}-two", "owner": "me"})).json()["total"] == 1
    page = (await api.get("/recipes", params={"name": word, "limit": 1})).json()
    rest = (await api.get("/recipes", params={"name": word, "limit": 1, "cursor": page["next"]})).json()
    assert [each["recipe_id"] for each in rest["recipes"]] == [first["recipe_id"]]
    assert (await api.get("/recipes", params={"name": f"%{word}"})).json()["total"] == 0

    source = SOURCE_EXAMPLE.replace('"fade"', f'"bloom-{word}"')
    uploaded = await api.post("/effects/upload", content=source, headers={"Content-Type": "text/x-python"})
    assert uploaded.status_code == 201, uploaded.text
    effects = (await api.get("/effects", params={"name": "bloom"})).json()["effects"]
    assert {"bloom", f"bloom-{word}"} <= {each["name"] for each in effects}
    own = (await api.get("/effects", params={"name": word})).json()
    assert ([each["name"] for each in own["effects"]], own["total"]) == ([f"bloom-{word}"], 1)


async def test_a_new_run_may_have_other_parameters_than_its_recipe(api, make_recipe, asset, finish, problem):
    recipe, salt = await make_recipe(2), uuid4().hex
    asked = {"inputs": {"media": asset}, "parameters": {"s1": {"salt": salt}}}
    for path, more in (("/runs", {"recipe": recipe["recipe_id"]}), (f"/recipes/{recipe['recipe_id']}/run", {})):
        answer = await api.post(path, json=asked | more)
        assert answer.status_code == 201, answer.text
        run = await finish(answer.json()["run_id"])
        assert run["recipe"] == f"{recipe['name']}, changed"
        steps = (await api.get(f"/api/run/{run['run_id']}/plan")).json()["steps"]
        assert {each["node"]: each["config"].get("salt") for each in steps}["s1"] == salt
    plan = (await api.post("/api/plan", json=asked | {"recipe": recipe["recipe_id"]})).json()
    assert [each["status"] for each in plan["steps"] if each["node"] == "s1"] == ["cached"]
    was = (await api.get(f"/recipes/{recipe['recipe_id']}")).json()["nodes"][2]["config"]["salt"]
    same = await api.post("/runs", json={**asked, "recipe": recipe["recipe_id"], "parameters": {"s1": {"salt": was}}})
    assert same.json()["recipe_cid"] == recipe["recipe_id"]
    wrong = {**asked, "recipe": recipe["recipe_id"], "parameters": {"s1": {"sallt": 1}}}
    refused = problem(await api.post("/runs", json=wrong), 422, "invalid-request")
    assert [each["field"] for each in refused["problems"]] == ["parameters.s1.sallt"]


async def test_an_effect_that_is_run_by_itself_takes_parameters(api, asset, problem):
    invert = (await api.get("/effects/invert")).json()["cid"]
    asked = {"recipe": invert, "inputs": {"input": asset}}
    plan = await api.post("/api/plan", json=asked | {"parameters": {"apply": {"params.intensity": 0.25}}})
    assert plan.status_code == 201, plan.text
    step = next(each for each in plan.json()["steps"] if each["type"] == "EFFECT")
    assert step["config"]["params"] == {"intensity": 0.25}
    too_much = asked | {"parameters": {"apply": {"params.intensity": 2}}}
    refused = problem(await api.post("/api/plan", json=too_much), 422, "invalid-request")
    assert [each["field"] for each in refused["problems"]] == ["parameters.apply.params.intensity"]
