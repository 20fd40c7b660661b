"""Recipes: upload, look, run, delete; and the earlier name of the same."""

from __future__ import annotations

from uuid import uuid4

from artdag_common.cid import cid_of
from artdag_common.domain.recipe_document import MAX_BYTES

YAML = {"Content-Type": "application/yaml"}


async def test_an_uploaded_recipe_is_found_by_id_and_by_name(api, make_recipe):
    name = f"found-{uuid4().hex[:8]}"
    uploaded = await make_recipe(2, name)
    for reference in (uploaded["recipe_id"], name):
        found = (await api.get(f"/recipes/{reference}")).json()
        assert found["recipe_id"] == uploaded["recipe_id"]
        assert [each["name"] for each in found["inputs"]] == ["media"]
        assert [each["id"] for each in found["nodes"]] == ["media", "s0", "s1"]
        assert found["output"] == "s1"
    listed = (await api.get("/recipes")).json()
    assert listed["recipes"][0]["name"] == name
    assert listed["total"] >= 1


async def test_a_form_does_as_well_and_the_source_is_kept(api, chain_text):
    text = chain_text("by-form", 1)
    answer = await api.post("/recipes/upload", files={"file": ("r.yaml", text)})
    assert answer.status_code == 201
    assert (await api.get(answer.json()["source_url"])).text == text
    field = await api.post("/recipes/upload", files={"recipe": (None, text)})
    assert field.json()["recipe_id"] == answer.json()["recipe_id"]


async def test_all_problems_of_a_recipe_are_reported_with_their_lines(api, problem):
    text = "name: bad\ninputs:\n  a: {type: any}\nsteps:\n  - {id: x, type: NOPE, inputs: [nowhere]}\noutput: y\n"
    body = problem(await api.post("/recipes/upload", content=text, headers=YAML), 422, "invalid-recipe")
    assert len(body["problems"]) >= 3
    assert all(each["line"] and each["problem"] for each in body["problems"])
    broken = await api.post("/recipes/upload", content=b"name: \xff\xfe", headers=YAML)
    problem(broken, 422, "invalid-recipe")
    problem(await api.post("/recipes/upload", files={"other": (None, "x")}), 422, "invalid-request")
    too_long = await api.post("/recipes/upload", content=b"#" * (MAX_BYTES + 1), headers=YAML)
    problem(too_long, 413, "content-too-large")


async def test_a_recipe_is_deleted_and_comes_back_by_upload(api, make_recipe, chain_text, problem):
    text = chain_text(f"gone-{uuid4().hex[:8]}", 1)
    recipe = (await api.post("/recipes/upload", content=text, headers=YAML)).json()
    deleted = await api.delete(f"/recipes/{recipe['name']}")
    assert deleted.json() == {"recipe_id": recipe["recipe_id"], "name": recipe["name"], "deleted": True}
    problem(await api.get(f"/recipes/{recipe['recipe_id']}"), 404, "recipe-not-found")
    problem(await api.delete(f"/recipes/{recipe['recipe_id']}"), 404, "recipe-not-found")
    again = await api.post("/recipes/upload", content=text, headers=YAML)
    assert again.json()["recipe_id"] == recipe["recipe_id"]
    assert (await api.get(f"/recipes/{recipe['name']}")).status_code == 200


async def test_an_unknown_recipe_names_the_nearest(api, make_recipe, problem):
    name = f"watercolour-{uuid4().hex[:6]}"
    await make_recipe(1, name)
    body = problem(await api.get(f"/recipes/{name[:-1]}"), 404, "recipe-not-found")
    assert name in body["detail"]
    problem(await api.get(f"/recipes/{cid_of(b'no recipe')}"), 404, "recipe-not-found")


async def test_a_name_means_the_newest_recipe(api, make_recipe):
    name = f"twice-{uuid4().hex[:8]}"
    first, second = await make_recipe(1, name), await make_recipe(1, name)
    assert first["recipe_id"] != second["recipe_id"]
    assert (await api.get(f"/recipes/{name}")).json()["recipe_id"] == second["recipe_id"]


async def test_running_a_recipe_by_name_with_an_asset_by_name(api, make_recipe, finish):
    recipe, name = await make_recipe(2), f"asset-{uuid4().hex[:8]}"
    stored = await api.post("/cache/upload", files={"file": uuid4().bytes}, data={"name": name})
    answer = await api.post(f"/recipes/{recipe['name']}/run", json={"inputs": {"media": name}, "output_name": "out"})
    assert answer.status_code == 201, answer.text
    run = await finish(answer.json()["run_id"])
    assert run["status"] == "completed"
    assert run["output_cid"] == stored.json()["cid"]
    record = (await api.get(run["provenance_url"])).json()
    assert record["output"] == {"name": "out", "cid": stored.json()["cid"]}


async def test_configs_are_recipes(api, chain_text, asset, finish):
    text = chain_text(f"config-{uuid4().hex[:8]}", 1)
    uploaded = await api.post("/configs/upload", files={"file": ("c.yaml", text)})
    assert uploaded.status_code == 201
    cid = uploaded.json()["recipe_id"]
    assert cid in [each["recipe_id"] for each in (await api.get("/configs")).json()["recipes"]]
    assert (await api.get(f"/configs/{cid}")).json()["recipe_id"] == cid
    started = await api.post(f"/configs/{cid}/run", json={"inputs": [asset]})
    assert (await finish(started.json()["run_id"]))["status"] == "completed"
    assert (await api.delete(f"/configs/{cid}")).json()["deleted"] is True
    assert (await api.get(f"/recipes/{cid}")).status_code == 404


async def test_lists_come_in_pages(api, make_recipe):
    for _ in range(3):
        await make_recipe(1)
    everything = [each["recipe_id"] for each in (await api.get("/recipes?limit=200")).json()["recipes"]]
    seen, cursor = [], None
    while True:
        page = (await api.get("/recipes", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [each["recipe_id"] for each in page["recipes"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == everything


async def test_writes_need_a_token(stranger, problem):
    for method, path in (
        ("POST", "/recipes/upload"),
        ("DELETE", "/recipes/x"),
        ("POST", "/recipes/x/run"),
        ("POST", "/configs/upload"),
        ("DELETE", "/configs/x"),
        ("POST", "/configs/x/run"),
    ):
        problem(await stranger.request(method, path, json={}), 401, "unauthenticated")
