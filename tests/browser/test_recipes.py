"""Recipes and effects in the browser: found, run with other parameters, planned first, drawn, deleted."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, Request, Route, expect

from tests.browser.tour import settled

EFFECT = """name: {name}
inputs:
  video: {{type: video, description: "The footage"}}
  logo: {{type: image, description: "What lies above it", default: {logo}}}
steps:
  - {{id: negative, type: EFFECT, inputs: [video], config: {{effect: invert, params: {{intensity: 0.8}}}}}}
  - {{id: mixed, type: BLEND, inputs: [negative, video], config: {{mode: screen, opacity: 0.3}}}}
output: mixed
"""
LISTED = """name: {name}
inputs:
  parts: {{type: "any[]", description: "All of them"}}
steps:
  - {{id: all, type: NOOP, inputs: [parts], config: {{salt: {name}}}}}
output: all
"""

Make = Callable[..., Awaitable[Any]]


async def accessible(page: Page) -> None:
    """See that axe-core finds nothing on a page as it is now."""
    found = await Axe().run(page, options={"resultTypes": ["violations"]})
    assert not found.response["violations"], found.generate_report()


async def uploaded(api: httpx.AsyncClient, text: str) -> str:
    """Upload a recipe and return its id."""
    answer = await api.post("/recipes/upload", content=text, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["recipe_id"])


def asks(path: str) -> Callable[[Request], bool]:
    """Return whether a request is a POST to a path."""
    return lambda request: request.method == "POST" and request.url.endswith(path)


async def test_recipes_are_searched_and_an_example_is_taken(page: Page, make_recipe: Make) -> None:
    name = f"seek-{uuid4().hex[:8]}"
    await make_recipe(1, name)
    await page.goto("/recipes")
    await page.get_by_label("Name", exact=True).fill(name.upper())
    await page.get_by_role("button", name="Search").click()
    await expect(page).to_have_url(re.compile("name=SEEK"))
    found = page.locator("#list > li")
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text("media any")
    await page.get_by_role("link", name=name).click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    await page.go_back()
    await expect(page.get_by_label("Name", exact=True)).to_have_value(name.upper())
    await page.goto("/recipes?name=nothing-is-called-so")
    await expect(page.locator(".empty")).to_contain_text("No recipe like that")
    await page.goto("/recipes")
    await page.get_by_text("Examples", exact=True).click()
    await page.get_by_role("button", name="Take contact").click()
    await expect(page).to_have_url(re.compile("/recipe/ba"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("contact")


async def test_content_is_picked_by_keyboard_and_parameters_are_changed(
    page: Page, api: httpx.AsyncClient, make_media: Make
) -> None:
    logo = await make_media("image")
    film = f"film-{uuid4().hex[:8]}"
    await make_media("video", film)
    recipe = await uploaded(api, EFFECT.format(name=f"knobs-{uuid4().hex[:8]}", logo=logo))
    await page.goto(f"/recipe/{recipe}")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page.get_by_text("Choose or upload something for video.")).to_be_visible()

    chosen = page.get_by_role("list", name="Chosen for video")
    pick = page.get_by_role("group", name=re.compile("^video")).get_by_role("button", name="Choose from your media")
    await pick.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(pick).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type(film)
    await expect(dialog.get_by_role("status")).to_have_text("1 found")
    await accessible(page)
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(chosen).to_contain_text(film)

    slider = page.get_by_role("slider", name="intensity, slider")
    await expect(slider).to_have_value("0.8")
    await slider.focus()
    await page.keyboard.press("ArrowLeft")
    await expect(page.get_by_label("intensity", exact=True)).to_have_value("0.79")
    await page.get_by_label("mode", exact=True).select_option("lighten")
    await page.get_by_label("Name of the result").fill("inverse")
    async with page.expect_request(asks("/runs")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    sent = json.loads((await asked.value).post_data or "")
    assert sent["parameters"] == {"negative": {"params.intensity": 0.79}, "mixed": {"mode": "lighten"}}
    assert list(sent["inputs"]) == ["video"]
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text("inverse")


async def test_what_is_wrong_with_a_parameter_is_said_at_it(
    page: Page, api: httpx.AsyncClient, make_media: Make, expected: list[str]
) -> None:
    expected.append("status of 422")
    film = await make_media("video")
    beats = await uploaded(
        api,
        f"name: wrong-{uuid4().hex[:8]}\ninputs:\n  song: {{type: any, default: {film}}}\nsteps:\n"
        "  - {id: beats, type: ANALYZE, inputs: [song], config: {features: [beats]}}\noutput: beats\n",
    )
    await page.goto(f"/recipe/{beats}")
    features = page.get_by_label("features", exact=True)
    await features.fill("beats, drums")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(features).to_have_attribute("aria-invalid", "true")
    await expect(page.locator(".wrong:visible")).to_contain_text("drums")
    await features.fill("energy")
    await page.get_by_label("tempo_hint", exact=True).fill("120")
    async with page.expect_request(asks("/runs")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    sent = json.loads((await asked.value).post_data or "")
    assert sent["parameters"] == {"beats": {"features": ["energy"], "tempo_hint": 120}}
    await expect(page).to_have_url(re.compile("/run/"))


async def test_the_plan_is_looked_at_discarded_and_run(page: Page, make_recipe: Make, api: httpx.AsyncClient) -> None:
    recipe = await make_recipe(3)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await page.locator("[data-file]").set_input_files(
        {"name": "facts.bin", "mimeType": "application/octet-stream", "buffer": uuid4().bytes}
    )
    await expect(page.get_by_role("list", name="Chosen for media")).to_contain_text("uploaded")
    plan = page.get_by_role("region", name="The plan", exact=True)
    await page.get_by_role("button", name="See the plan first").click()
    await expect(plan).to_contain_text(re.compile(r"Steps\s*3"))
    await expect(plan.get_by_role("heading")).to_be_focused()
    await accessible(page)
    await plan.get_by_role("button", name="Discard").click()
    await expect(plan).to_have_count(0)
    await expect(page.get_by_role("button", name="See the plan first")).to_be_focused()
    await page.get_by_role("button", name="See the plan first").click()
    await plan.get_by_role("button", name="Run this plan").click()
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
    await expect(page.locator("#standing [data-status=completed]")).to_be_visible()
    run = (await api.get(f"/runs/{page.url.rpartition('/')[2]}")).json()
    assert run["recipe_cid"] == recipe["recipe_id"]


async def test_a_run_that_the_server_keeps_for_later_is_waited_for(page: Page, make_recipe: Make) -> None:
    """Its request is repeated under its key until there is a run to show."""
    recipe = await make_recipe(1)
    keys: list[str] = []
    kept = {"status": "pending", "command_id": "c", "links": {"command": "/api/commands/c", "resource": "/runs/r"}}

    async def late(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) < 3:
            await route.fulfill(status=202, json=kept)
        else:
            await route.continue_()

    await page.route(re.compile("/runs$"), late)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await page.locator("[data-file]").set_input_files(
        {"name": "facts.bin", "mimeType": "application/octet-stream", "buffer": uuid4().bytes}
    )
    await expect(page.get_by_role("list", name="Chosen for media")).to_contain_text("uploaded")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page).to_have_url(re.compile("/run/[0-9a-f-]{36}$"))
    await expect(page.locator("#standing [data-status=completed]")).to_be_visible()
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_an_upload_is_broken_off_by_another_in_its_place(page: Page, make_recipe: Make) -> None:
    recipe = await make_recipe(1)

    async def hold(route: Route) -> None:
        """Leave the first one without an answer."""

    await page.route("**/cache/uploads", hold, times=1)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    field = page.locator("[data-file]")
    async with page.expect_request("**/cache/uploads") as first:
        await field.set_input_files({"name": "slow.bin", "mimeType": "text/plain", "buffer": uuid4().bytes})
    slow = await first.value
    async with page.expect_event("requestfailed", lambda request: request == slow):
        await field.set_input_files({"name": "quick.bin", "mimeType": "text/plain", "buffer": uuid4().bytes})
    chosen = page.get_by_role("list", name="Chosen for media").get_by_role("listitem")
    await expect(chosen).to_contain_text("uploaded")
    await expect(chosen).to_contain_text("quick")


async def test_a_run_is_repeated_with_only_what_changed(page: Page, make_run: Make, make_media: Make) -> None:
    first = await make_run(2, name="the first")
    other = f"other-{uuid4().hex[:8]}"
    await make_media("image", other)
    await page.goto(f"/run/{first['run_id']}")
    await page.get_by_role("link", name="Run with changes").click()
    await expect(page.get_by_role("heading", name="Run with changes")).to_be_visible()
    await expect(page.get_by_label("Name of the result")).to_have_value("the first")
    chosen = page.get_by_role("list", name="Chosen for media")
    await expect(chosen.get_by_role("listitem")).to_have_count(1)
    await page.locator("[data-module=run-form][data-alive]").wait_for()
    await page.get_by_role("button", name="Choose from your media").click()
    await page.get_by_role("dialog").get_by_role("searchbox").fill(other)
    await expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("1 found")
    await page.get_by_role("dialog").get_by_role("button", name=re.compile(other)).click()
    await expect(chosen).to_contain_text(other)
    async with page.expect_request(asks("/rerun")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    sent = json.loads((await asked.value).post_data or "")
    assert list(sent) == ["inputs"]
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
    assert first["run_id"] not in page.url
    await expect(page.locator(f'main a[href*="{first["run_id"]}"]').first).to_be_visible()


async def test_a_repeated_run_is_planned_first(
    page: Page, make_run: Make, make_media: Make, api: httpx.AsyncClient
) -> None:
    first = await make_run(2, name="the first")
    other = f"other-{uuid4().hex[:8]}"
    await make_media("image", other)
    await page.goto(f"/recipe/{first['recipe_cid']}?from={first['run_id']}")
    await page.locator("[data-module=run-form][data-alive]").wait_for()
    await page.get_by_role("button", name="Choose from your media").click()
    await page.get_by_role("dialog").get_by_role("searchbox").fill(other)
    await expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("1 found")
    await page.get_by_role("dialog").get_by_role("button", name=re.compile(other)).click()
    async with page.expect_request(asks("/rerun")) as asked:
        await page.get_by_role("button", name="See the plan first").click()
    assert json.loads((await asked.value).post_data or "")["hold"] is True
    plan = page.get_by_role("region", name="The plan", exact=True)
    await expect(plan).to_contain_text(re.compile(r"To compute\s*2"))
    await plan.get_by_role("button", name="Run this plan").click()
    await expect(page.locator("#standing [data-status=completed]")).to_be_visible()
    run = (await api.get(f"/runs/{page.url.rpartition('/')[2]}")).json()
    assert (run["rerun_of"], run["output_name"]) == (first["run_id"], "the first")


async def test_what_is_taken_away_from_a_repeated_run_is_what_the_recipe_has(
    page: Page, api: httpx.AsyncClient, make_run: Make, make_media: Make
) -> None:
    usual, other = await make_media("image"), await make_media("image")
    recipe = await uploaded(
        api,
        f"name: optional-{uuid4().hex[:8]}\ninputs:\n  logo: {{type: any, default: {usual}}}\nsteps:\n"
        f"  - {{id: same, type: NOOP, inputs: [logo], config: {{salt: {uuid4().hex}}}}}\noutput: same\n",
    )
    first = await make_run(recipe=recipe, inputs={"logo": other})
    await page.goto(f"/recipe/{recipe}?from={first['run_id']}")
    chosen = page.get_by_role("list", name="Chosen for logo").get_by_role("listitem")
    await expect(chosen).to_have_count(1)
    await chosen.get_by_role("button", name="Remove").click()
    await expect(chosen).to_have_count(0)
    async with page.expect_request(asks("/rerun")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    assert json.loads((await asked.value).post_data or "") == {"inputs": {"logo": usual}}
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))


async def test_media_is_added_to_what_a_run_had(
    page: Page, api: httpx.AsyncClient, make_run: Make, make_media: Make
) -> None:
    had, added = await make_media("image"), await make_media("image")
    recipe = await uploaded(api, LISTED.format(name=f"list-{uuid4().hex[:8]}"))
    first = await make_run(recipe=recipe, inputs={"parts": [had]})
    await page.goto(f"/recipe/{recipe}?from={first['run_id']}&media={added}")
    await expect(page.get_by_role("list", name="Chosen for parts").get_by_role("listitem")).to_have_count(2)
    async with page.expect_request(asks("/rerun")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    assert json.loads((await asked.value).post_data or "") == {"inputs": {"parts": [had, added]}}
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))


async def test_media_that_fits_nowhere_is_named_and_an_example_keeps_it(page: Page, make_media: Make) -> None:
    name = f"still-{uuid4().hex[:8]}"
    cid = await make_media("image", name)
    await page.goto(f"/recipes?media={cid}")
    await page.get_by_text("Examples", exact=True).click()
    await page.get_by_role("button", name="Take logo").click()
    await expect(page).to_have_url(re.compile(f"/recipe/ba.*media={cid}"))
    await expect(page.get_by_role("list", name="Chosen for logo")).to_contain_text(name)
    await page.goto(f"/recipes?media={cid}")
    await page.get_by_text("Examples", exact=True).click()
    await page.get_by_role("button", name="Take effects").click()
    await expect(page.get_by_text("No input has room for")).to_contain_text(name)


async def test_a_colour_in_capitals_is_no_change(page: Page, api: httpx.AsyncClient, make_media: Make) -> None:
    film = await make_media("video")
    recipe = await uploaded(
        api,
        f"name: inks-{uuid4().hex[:8]}\ninputs:\n  film: {{type: video, default: {film}}}\nsteps:\n"
        "  - {id: inks, type: EFFECT, inputs: [film], config: {effect: duotone, params: {shadows: '#2B1A6F'}}}\n"
        "output: inks\n",
    )
    await page.goto(f"/recipe/{recipe}")
    await expect(page.get_by_label("shadows")).to_have_value("#2b1a6f")
    async with page.expect_request(asks("/runs")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    assert "parameters" not in json.loads((await asked.value).post_data or "")
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))


async def test_an_input_that_is_a_list_takes_several_in_order(
    page: Page, api: httpx.AsyncClient, make_media: Make
) -> None:
    word = uuid4().hex[:8]
    cids = [await make_media("image", f"{word}-{number}") for number in range(2)]
    recipe = await uploaded(api, LISTED.format(name=f"list-{word}"))
    await page.goto(f"/recipe/{recipe}")
    await page.get_by_role("button", name="Choose from your media").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("searchbox").fill(word)
    await expect(dialog.get_by_role("status")).to_have_text("2 found")
    for number in range(2):
        tile = dialog.get_by_role("button", name=re.compile(f"{word}-{number}"))
        await tile.click()
        await expect(tile).to_have_attribute("aria-pressed", "true")
    await dialog.get_by_role("button", name="Take 2").click()
    await expect(page.get_by_role("list", name="Chosen for parts").get_by_role("listitem")).to_have_count(2)
    async with page.expect_request(asks("/runs")) as asked:
        await page.get_by_role("button", name="Run", exact=True).click()
    assert json.loads((await asked.value).post_data or "")["inputs"] == {"parts": cids}
    await expect(page).to_have_url(re.compile("/run/"))


async def test_the_dag_is_drawn_and_its_nodes_are_looked_at(page: Page, make_recipe: Make) -> None:
    recipe = await make_recipe(2)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await page.get_by_role("link", name="Steps").click()
    await expect(page.get_by_role("link", name="Steps")).to_have_attribute("aria-current", "page")
    await settled(page)
    canvas = page.locator("canvas")
    await canvas.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    panel = page.get_by_role("region", name="The chosen step")
    await expect(panel.get_by_role("heading", name="s0")).to_be_visible()
    await panel.get_by_role("button", name="s1").click()
    await expect(panel.get_by_role("heading", name="s1")).to_be_visible()
    await page.get_by_role("link", name="Table").click()
    await expect(page.get_by_role("table")).to_contain_text("NOOP")
    await accessible(page)
    await page.get_by_role("link", name="s1", exact=True).click()
    await expect(page.locator("#step")).to_contain_text("tells apart steps that would otherwise be one")


async def test_a_long_recipe_is_shown_in_pages(page: Page, make_recipe: Make) -> None:
    recipe = await make_recipe(205)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await expect(page.get_by_role("link", name="All 205")).to_be_visible()
    await page.goto(f"/recipe/{recipe['recipe_id']}/dag?view=table")
    await expect(page.locator("#nodes tr")).to_have_count(200)
    await page.get_by_role("link", name="Show more").scroll_into_view_if_needed()
    await expect(page.locator("#nodes tr")).to_have_count(206)
    await expect(page.locator("#nodes tr").last).to_contain_text("the result")
    await expect(page.get_by_role("link", name="Show more")).to_have_count(0)


async def test_all_steps_of_a_recipe_are_led_to(page: Page, make_recipe: Make) -> None:
    recipe = await make_recipe(41)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await expect(page.get_by_role("link", name="s39", exact=True)).to_be_visible()
    await page.get_by_role("link", name="All 41").click()
    await expect(page).to_have_url(re.compile("/dag$"))


async def test_a_recipe_is_deleted_after_a_question(page: Page, make_recipe: Make, api: httpx.AsyncClient) -> None:
    recipe = await make_recipe(1)
    await page.goto(f"/recipes/{recipe['recipe_id']}")
    await expect(page).to_have_url(re.compile("/recipe/ba"))
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="No, go back").click()
    assert (await api.get(f"/recipes/{recipe['recipe_id']}")).status_code == 200
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("/recipes$"))
    assert (await api.get(f"/recipes/{recipe['recipe_id']}")).status_code == 404


async def test_a_stranger_reads_and_is_told_to_sign_in(stranger_page: Page) -> None:
    await stranger_page.goto("/effects/bloom")
    await expect(stranger_page.get_by_role("table")).to_contain_text("How strong the glow is")
    await expect(stranger_page.get_by_role("button", name="Run", exact=True)).to_have_count(0)
    there = stranger_page.locator("#main").get_by_role("link", name="sign in")
    await expect(there).to_have_attribute("href", "/auth?next=/effects/bloom")


async def test_an_effect_is_brought_tried_and_deleted(page: Page, make_media: Make, tmp_path: Path) -> None:
    from services.gateway.api.effects import SOURCE_EXAMPLE

    name, film = f"fade-{uuid4().hex[:8]}", f"film-{uuid4().hex[:8]}"
    await make_media("video", film)
    file = tmp_path / "fade.py"
    file.write_text(SOURCE_EXAMPLE.replace('"fade"', f'"{name}"'))
    await page.goto("/effects")
    await page.locator("#file").set_input_files(file)
    await page.get_by_role("button", name="Upload the effect").click()
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_contain_text(name)
    await expect(page.get_by_role("table")).to_contain_text("0: as it is; 1: black")
    await page.get_by_text("Source", exact=True).click()
    await expect(page.locator("pre", has_text="def process_frame")).to_be_visible()
    await page.get_by_role("button", name="Choose from your media").click()
    await page.get_by_role("dialog").get_by_role("searchbox").fill(film)
    await expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("1 found")
    await page.get_by_role("dialog").get_by_role("button", name=re.compile(film)).click()
    await page.get_by_label("amount", exact=True).fill("0.9")
    await page.get_by_role("button", name="Run", exact=True).click()
    await expect(page).to_have_url(re.compile("/run/[^/?]+$"))
    await page.go_back()
    await expect(heading).to_contain_text(name)
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page).to_have_url(re.compile("/effects$"))
    await expect(page.get_by_role("link", name=name)).to_have_count(0)


async def test_programs_get_data_at_the_addresses_of_pages(api: httpx.AsyncClient, make_recipe: Make) -> None:
    recipe = await make_recipe(1)
    whole = (await api.get(f"/recipes/{recipe['recipe_id']}")).json()
    for address in (recipe["recipe_id"], recipe["name"], f"{recipe['name']}/dag"):
        assert (await api.get(f"/recipe/{address}")).json() == whole
    graph = (await api.get(f"/recipe/{recipe['recipe_id']}/graph")).json()
    assert (graph["names"], graph["inputs"], graph["active"]) == (["media", "s0"], [[], [0]], False)
    assert (await api.get("/effects/bloom")).json()["name"] == "bloom"
    picture = await api.get("/effects/bloom/picture")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert (await api.get("/effects/nothing/picture")).status_code == 404
