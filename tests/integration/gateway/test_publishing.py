"""What is public on a personal server: published, shown to other servers, taken back."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from artdag_common.cid import cid_of
from artdag_common.commands import PublishObject
from artdag_common.federation.documents import ACTIVITY_JSON, ACTIVITY_STREAMS
from services.gateway.projections import projector, publications

AS_ACTIVITY = {"Accept": ACTIVITY_JSON}


def path_of(url: str) -> str:
    """Return an address without its server."""
    return urlsplit(url).path


async def publish(api, cid: str, name: str = "Cat") -> dict:
    """Publish content and return under what."""
    answer = await api.post(f"/cache/{cid}/publish", json={"name": name})
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["published"])


# --- published ------------------------------------------------------------------------------------------------------


async def test_an_output_is_published_with_what_made_it(api, make_recipe, asset, finish, events, live):
    recipe = await make_recipe(1)
    run = await finish((await api.post("/runs", json={"recipe": recipe["name"], "inputs": [asset]})).json()["run_id"])
    answer = await api.post(f"/cache/{asset}/publish", json={"name": "Cat", "description": "dances", "hash": asset})
    assert answer.status_code == 200, answer.text
    published = answer.json()["published"]
    stored = await events.store.load(f"object-{asset}")
    (event,) = [each for each in stored if each.type == "ObjectPublished"]
    assert published.pop("published_at")
    assert published == {
        "owner": "owner",
        "name": "Cat",
        "description": "dances",
        "run_id": run["run_id"],
        "recipe_cid": recipe["recipe_id"],
        "provenance_cid": run["provenance_cid"],
        "object": f"{live.url}/objects/{event.event_id}",
        "activity": {
            "id": f"{live.url}/activities/{event.event_id}",
            "state": "local",
            "attempts": 0,
            "last_error": None,
            "next_attempt_at": None,
            "link": None,
        },
    }
    (shown,) = (await api.get(f"/cache/{asset}")).json()["published"]
    again = await api.post(f"/cache/{asset}/publish", json={"name": "Cat", "description": "dances"})
    assert again.json()["published"] == shown
    stored = await events.store.load(f"object-{asset}")
    assert [each.type for each in stored].count("ObjectPublished") == 1


async def test_a_runs_output_is_published_from_the_run(api, make_recipe, asset, finish, stranger, problem):
    recipe = await make_recipe(1)
    body = {"recipe": recipe["name"], "inputs": [asset], "output_name": "Tänze"}
    run = await finish((await api.post("/runs", json=body)).json()["run_id"])
    assert run["published"] is None
    problem(await stranger.post(f"/runs/{run['run_id']}/publish"), 401, "unauthenticated")
    published = (await api.post(f"/runs/{run['run_id']}/publish")).json()
    assert published["cid"] == run["output_cid"]
    assert (published["published"]["name"], published["published"]["run_id"]) == ("Tänze", run["run_id"])
    assert (await api.get(f"/runs/{run['run_id']}")).json()["published"] == published["published"]
    problem(await api.post(f"/runs/{uuid4()}/publish"), 404, "run-not-found")


async def test_a_run_without_output_has_nothing_to_publish(api, make_recipe, asset, problem, held):
    recipe = await make_recipe(1)
    run = (await api.post("/runs", json={"recipe": recipe["name"], "inputs": [asset]})).json()
    problem(await api.post(f"/runs/{run['run_id']}/publish"), 409, "nothing-to-publish")


async def test_an_upload_is_published_as_it_was_described(api, asset, stranger, problem):
    said = problem(await api.post(f"/cache/{asset}/publish"), 422, "invalid-request")
    assert said["problems"][0]["field"] == "name"
    described = {"name": "mine", "description": "all of it"}
    (await api.patch(f"/cache/{asset}/meta", json=described)).raise_for_status()
    published = (await api.post(f"/cache/{asset}/publish")).json()["published"]
    assert (published["name"], published["description"]) == ("mine", "all of it")
    assert (published["run_id"], published["provenance_cid"]) == (None, None)
    problem(await stranger.post(f"/cache/{asset}/publish", json={"name": "x"}), 401, "unauthenticated")
    problem(await stranger.delete(f"/cache/{asset}/publish"), 401, "unauthenticated")
    problem(await api.post(f"/cache/{asset}/publish", json={"title": "x"}), 422, "invalid-request")
    nowhere = await api.post(f"/cache/{cid_of(uuid4().bytes)}/publish", json={"name": "x"})
    problem(nowhere, 404, "content-not-found")


async def test_what_is_not_stored_is_not_published(api, asset, bus, events, problem):
    """Whatever the gateway says: the service that keeps the books looks for itself."""
    gone = cid_of(uuid4().bytes)
    outcome = await bus.request(PublishObject(asset, "owner", "x", "", "r", gone, gone), uuid4().hex, 60)
    assert outcome is not None
    assert (outcome.accepted, outcome.code) == (False, "content-not-found")
    assert (await api.get(f"/cache/{asset}/publish")).json()["state"] == "none"


# --- and taken back -------------------------------------------------------------------------------------------------


async def test_what_is_published_can_be_taken_back_and_published_again(api, asset, problem):
    problem(await api.delete(f"/cache/{asset}/publish"), 404, "not-published")
    first = await publish(api, asset)
    problem(await api.delete(f"/cache/{asset}"), 409, "content-in-use")
    answer = await api.delete(f"/cache/{asset}/publish")
    assert answer.status_code == 200, answer.text
    standing = answer.json()
    assert (standing["state"], standing["published"]) == ("unpublished", None)
    assert [each["type"] for each in standing["activities"]] == ["Delete", "Create"]
    assert standing["activities"][0]["object"] == standing["activities"][1]["object"] == first["object"]
    problem(await api.delete(f"/cache/{asset}/publish"), 404, "not-published")
    second = await publish(api, asset)
    assert second["object"] != first["object"]
    assert (await api.get(path_of(first["object"]), headers=AS_ACTIVITY)).status_code == 410
    assert (await api.get(path_of(second["object"]), headers=AS_ACTIVITY)).status_code == 200
    await api.delete(f"/cache/{asset}/publish")
    assert (await api.delete(f"/cache/{asset}")).status_code == 200


async def test_other_words_are_another_object(api, asset):
    first, second = await publish(api, asset), await publish(api, asset, "Tom")
    assert second["name"] == "Tom"
    assert second["object"] != first["object"]
    standing = (await api.get(f"/cache/{asset}/publish")).json()
    assert [each["type"] for each in standing["activities"]] == ["Create", "Delete", "Create"]
    assert (await api.get(path_of(first["object"]))).status_code == 410


async def test_unpublishing_again_with_the_same_key_is_answered_the_same(api, asset):
    await publish(api, asset)
    key = {"Idempotency-Key": uuid4().hex}
    for _ in range(2):
        answer = await api.delete(f"/cache/{asset}/publish", headers=key)
        assert (answer.status_code, answer.json()["state"]) == (200, "unpublished")


# --- as other servers see it ----------------------------------------------------------------------------------------


async def test_content_is_shown_as_activitypub_where_that_is_asked_for(api, stranger, asset, problem):
    problem(await api.get(f"/cache/{asset}", headers=AS_ACTIVITY), 404, "not-published")
    published = await publish(api, asset)
    profile = f'application/ld+json; profile="{ACTIVITY_STREAMS}"'
    for accept in (ACTIVITY_JSON, profile, f"{profile}, text/html;q=0.5", f"text/html;q=0.1, {ACTIVITY_JSON};q=0.9"):
        answer = await stranger.get(f"/cache/{asset}", headers={"Accept": accept})
        assert answer.json()["id"] == published["object"], accept
        assert answer.headers["content-type"] == (ACTIVITY_JSON if ACTIVITY_JSON in accept else profile)
        assert "Accept" in answer.headers["vary"]
    page = await stranger.get(f"/cache/{asset}", headers={"Accept": f"text/html, {ACTIVITY_JSON};q=0.9"})
    assert page.headers["content-type"].startswith("text/html")
    for accept in ("*/*", "application/json", "application/ld+json", "nonsense"):
        assert (await stranger.get(f"/cache/{asset}", headers={"Accept": accept})).json()["cid"] == asset, accept
    await api.delete(f"/cache/{asset}/publish")
    answer = await stranger.get(f"/cache/{asset}", headers=AS_ACTIVITY)
    assert (answer.status_code, answer.json()["type"]) == (410, "Tombstone")
    assert answer.json()["id"] == published["object"]
    assert "Cat" not in answer.text


async def test_what_was_unpublished_is_told_of_nowhere(api, stranger, asset):
    published = await publish(api, asset, f"Secret {uuid4().hex}")
    activity = path_of(published["activity"]["id"])
    assert (await stranger.get(activity)).json()["object"]["name"] == published["name"]
    await api.delete(f"/cache/{asset}/publish")
    answer = await stranger.get(activity)
    assert (answer.status_code, answer.json()["formerType"]) == (410, "Create")
    page = await stranger.get("/actor/outbox?page=0")
    assert published["name"] not in page.text
    assert page.json()["orderedItems"][0]["type"] == "Delete"


async def test_the_outbox_is_paged_to_its_end(api, stranger, asset):
    for number in range(12):
        await publish(api, asset, f"Name {number}")
    head = (await stranger.get("/actor/outbox")).json()
    assert head["type"] == "OrderedCollection"
    seen, page = [], head["first"]
    while page:
        answer = (await stranger.get(page.removeprefix(page.partition("/actor")[0]))).json()
        seen += [each["id"] for each in answer["orderedItems"]]
        page = answer.get("next")
    assert len(seen) == len(set(seen)) == head["totalItems"]
    assert len(seen) > 12, "a Delete for each name but the last, and a Create"


@pytest.mark.parametrize("path", ["/activities/{}", "/objects/{}"])
async def test_what_never_was_is_not_found(stranger, problem, path):
    problem(await stranger.get(path.format(uuid4())), 404, "not-published")


async def test_a_delete_is_no_object(api, asset, problem):
    await publish(api, asset)
    deleted = (await api.delete(f"/cache/{asset}/publish")).json()["activities"][0]
    assert (await api.get(path_of(deleted["id"]))).json()["object"]["type"] == "Tombstone"
    problem(await api.get(path_of(deleted["id"]).replace("activities", "objects")), 404, "not-published")


async def test_webfinger_knows_this_servers_actor_only(stranger, live, problem):
    host = urlsplit(live.url).netloc
    for resource in (f"acct:artdag@{host}", f"{live.url}/actor"):
        answer = await stranger.get("/.well-known/webfinger", params={"resource": resource})
        assert answer.headers["content-type"] == "application/jrd+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        said = answer.json()
        assert said["subject"] == f"acct:artdag@{host}"
        assert said["links"] == [{"rel": "self", "type": ACTIVITY_JSON, "href": f"{live.url}/actor"}]
    answer = await stranger.get("/.well-known/webfinger", params={"resource": resource, "rel": ["http://x", "y"]})
    assert answer.json()["links"] == []
    for other in (f"acct:owner@{host}", "acct:artdag@elsewhere.example", f"{live.url}/actors"):
        problem(await stranger.get("/.well-known/webfinger", params={"resource": other}), 404, "not-published")
    for wrong in ({}, {"resource": ""}, {"resource": "artdag"}):
        problem(await stranger.get("/.well-known/webfinger", params=wrong), 400, "invalid-request")


async def test_without_a_registry_nobody_may_send_anything(stranger, problem):
    body = b'{"type": "Accept", "actor": "https://l2.example/actor", "object": "x"}'
    answer = await stranger.post("/actor/inbox", content=body, headers={"Content-Type": ACTIVITY_JSON})
    problem(answer, 401, "signature")
    problem(await stranger.post("/actor/inbox", content=b"a=b"), 415, "unsupported-content-type")
    large = b'{"a": "' + b"x" * (64 << 10) + b'"}'
    answer = await stranger.post("/actor/inbox", content=large, headers={"Content-Type": ACTIVITY_JSON})
    problem(answer, 413, "content-too-large")


async def test_the_gateway_does_not_get_the_private_key(live):
    assert not live.environment_of("gateway").get("ARTDAG_ACTOR_KEY")
    assert live.environment_of("cache")["ARTDAG_ACTOR_KEY"] == str(live.state / "actor.key")
    assert (live.state / "actor.key").stat().st_mode & 0o077 == 0


# --- rebuilt --------------------------------------------------------------------------------------------------------


async def test_activities_made_again_from_the_events_are_the_same(api, asset, pool, events):
    """However the events are cut into batches."""
    await publish(api, asset)
    await publish(api, asset, "Tom")
    await api.delete(f"/cache/{asset}/publish")
    history = [each async for each in events.store.since([f"object-{asset}"], 0)]
    tables = []
    for size in (1, 2, 100):
        await pool.execute("DROP TABLE IF EXISTS rm_activities")
        await pool.execute(publications.DDL)
        facts = [projector.fact(each) for each in history]
        for start in range(0, len(facts), size):
            await publications.apply(pool, facts[start : start + size])
        rows = await pool.fetch("SELECT * FROM rm_activities ORDER BY position")
        tables.append([dict(row) for row in rows])
    assert tables[0] == tables[1] == tables[2]
    assert [row["type"] for row in tables[0]] == ["Create", "Delete", "Create", "Delete"]
    assert [bool(row["withdrawn_at"]) for row in tables[0]] == [True, False, True, False]
