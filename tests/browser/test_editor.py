"""The recipe editor: checked while somebody types, problems at their lines, the DAG drawn, saved as a new recipe."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
from playwright.async_api import Page, expect

from services.gateway.headers import PAGE_POLICY
from tests.browser.conftest import NewPage
from tests.browser.test_recipes import accessible

WRITTEN = """name: {name}
inputs:
  media: {{type: any}}
steps:
  - id: one
    type: NOP
    inputs: [media]
output: one
"""

PULSE = """name: pulse
inputs:
  clips: video[]
steps:
  - id: mapped
    type: MAP
    inputs: [clips]
    config: {operation: SEGMENT, config: {duration: 1}}
  - id: film
    type: SEQUENCE
    inputs: [mapped]
    config:
      transition: {type: crossfade, duration: 0.2}
output: film
steps_of_others:
"""

Make = Callable[..., Awaitable[Any]]


async def write(page: Page, text: str) -> None:
    """Put another text into the editor, as somebody who pastes it does."""
    await page.locator(".cm-content").click()  # the text area, of the same name, is there before it
    await page.keyboard.press("Control+A")
    await page.keyboard.insert_text(text)


async def test_a_new_recipe_is_written_checked_drawn_and_saved(
    page: Page, api: httpx.AsyncClient, expected: list[str]
) -> None:
    name = f"written-{uuid4().hex[:8]}"
    await page.goto("/recipes")
    await page.get_by_role("link", name="New recipe").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("New recipe")
    found, graph = page.locator("[data-found]"), page.get_by_role("region", name="Graph")
    await expect(found).to_have_text("None: it can be saved.")
    await expect(graph.get_by_role("button")).to_have_count(2)

    text = WRITTEN.format(name=name)
    await write(page, text)
    await expect(found).to_have_text("1 problem")
    problem = page.get_by_role("button", name=re.compile("^Line 6, "))
    await expect(problem).to_contain_text("NOOP")
    await expect(page.locator(".cm-lintRange-error")).to_contain_text("NOP")
    await expect(page.get_by_text("As it was before the problems.")).to_be_visible()
    await accessible(page)

    # Saved with a problem it is refused, and nothing is lost.
    expected.append("status of 422")
    async with page.expect_response("**/api/recipes/check"):  # it is checked once more, and its problems listed anew
        await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".wrong")).to_contain_text("The recipe has 1 problem")

    # The problem leads to its line; what is typed there is put right and drawn.
    await problem.click()
    await expect(page.locator(".cm-activeLine")).to_contain_text("type: NOP")
    await page.keyboard.press("End")
    for _ in "NOP":
        await page.keyboard.press("Backspace")
    await page.keyboard.type("NOOP")
    await expect(found).to_have_text("None: it can be saved.")
    await graph.get_by_role("button", name=re.compile("^one, NOOP, reads media, the result")).press("Enter")
    await expect(page.locator(".cm-activeLine")).to_contain_text("id: one")
    await page.get_by_role("button", name="Save").click()
    await expect(page).to_have_url(re.compile("/recipe/ba"))
    await expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    saved = (await api.get(f"/recipes/{name}")).json()
    assert (await api.get(saved["source_url"])).text == text.replace("NOP", "NOOP")


async def test_another_recipe_is_made_of_one_that_is_there(
    page: Page, api: httpx.AsyncClient, make_recipe: Make
) -> None:
    recipe = await make_recipe(2)
    await page.goto(f"/recipe/{recipe['recipe_id']}")
    await page.get_by_role("link", name="Edit").click()
    await expect(page.locator(".cm-content")).to_contain_text(recipe["name"])
    await expect(page.get_by_text("Saving makes a new recipe under its own id.")).to_be_visible()
    source = (await api.get(recipe["source_url"])).text
    await write(page, source.replace(recipe["name"], f"{recipe['name']}-two"))
    await page.get_by_role("button", name="Save as a new recipe").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text(f"{recipe['name']}-two")
    assert (await api.get(f"/recipes/{recipe['recipe_id']}")).status_code == 200


async def test_what_is_not_saved_is_not_lost_by_a_link(page: Page) -> None:
    await page.goto("/recipes/new?example=dog")
    await expect(page.locator(".cm-content")).to_contain_text("apply_dog")
    await write(page, "name: nobody-keeps-this")
    await page.get_by_role("link", name="Runs", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="No, go back").click()
    await expect(page.locator(".cm-content")).to_contain_text("nobody-keeps-this")
    await page.get_by_role("link", name="Runs", exact=True).click()
    await dialog.get_by_role("button", name="Leave").click()
    await expect(page).to_have_url(re.compile("/runs$"))
    await page.go_back()
    await expect(page.locator(".cm-content")).to_contain_text("apply_dog")


async def test_what_a_step_takes_is_shown_where_the_cursor_is(page: Page) -> None:
    await page.goto("/recipes/new")
    shown = page.get_by_role("region", name="What steps take")
    await expect(shown.locator("details[open]")).to_have_count(0)
    await page.locator(".cm-line", has_text="effect: bloom").click()
    await expect(shown.locator("details[data-type=EFFECT]")).to_have_attribute("open", "")
    await expect(shown.get_by_text("How strong the glow is")).to_be_in_viewport()
    await accessible(page)
    await write(page, PULSE)
    await page.locator(".cm-line", has_text="crossfade").click()
    await expect(shown.locator("details[open]")).to_have_count(1)
    await expect(shown.locator("details[data-type=SEQUENCE]")).to_contain_text("transition.duration")
    await page.locator(".cm-line", has_text="id: mapped").click()
    await expect(shown.locator("details[data-type=SEGMENT]")).to_have_attribute("open", "")
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("  - {id: more, type: EFFECT, config: {effect: dog}}\n    ")
    await expect(shown.locator("details[data-effect=dog]")).to_have_attribute("open", "")


async def test_a_node_is_found_though_the_recipe_has_its_name(page: Page) -> None:
    await page.goto("/recipes/new")
    await write(
        page,
        "name: one\ninputs:\n  media: {type: any}\nsteps:\n  - {id: one, type: NOOP, inputs: [media]}\noutput: one\n",
    )
    await page.get_by_role("button", name=re.compile("^one, NOOP")).click()
    await expect(page.locator(".cm-activeLine")).to_contain_text("id: one")
    await page.get_by_role("button", name=re.compile("^media, SOURCE")).click()
    await expect(page.locator(".cm-activeLine")).to_contain_text("media: {type: any}")


async def test_an_example_that_is_not_there_is_none(page: Page) -> None:
    await page.goto("/recipes/new?example=nothing-of-that-name")
    await expect(page.get_by_role("link", name="something short")).to_have_attribute("aria-current", "true")


async def test_the_page_has_a_policy_of_its_own_and_is_loaded_whole(page: Page, api: httpx.AsyncClient) -> None:
    nonces = set()
    for _ in range(2):
        answer = await api.get("/recipes/new", headers={"Accept": "text/html"})
        policy = answer.headers["content-security-policy"]
        nonce = re.search(r"'nonce-([\w-]+)'", policy)
        assert nonce
        assert f'data-nonce="{nonce[1]}"' in answer.text
        assert policy == PAGE_POLICY.replace("style-src 'self'", f"style-src 'self' 'nonce-{nonce[1]}'")
        assert "unsafe" not in policy
        nonces.add(nonce[1])
    assert len(nonces) == 2
    part = await api.get("/recipes/new?example=dog", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/recipes/new?example=dog")
    elsewhere = await api.get("/recipes", headers={"Accept": "text/html"})
    assert elsewhere.headers["content-security-policy"] == PAGE_POLICY


async def test_the_keyboard_leaves_the_editor_by_tab(page: Page) -> None:
    await page.goto("/recipes/new")
    editor = page.locator(".cm-content")
    await editor.click()
    await expect(editor).to_have_role("textbox")
    await expect(editor).to_have_accessible_name("The recipe, as YAML")
    await page.keyboard.press("Tab")
    await expect(editor).not_to_be_focused()
    await expect(page.get_by_role("button", name="Save")).to_be_focused()


async def test_without_scripts_the_text_is_there(new_page: NewPage) -> None:
    page = await new_page(java_script_enabled=False)
    await page.goto("/recipes/new?example=beat-sync")
    await expect(page.locator("textarea")).to_have_value(re.compile("type: BEAT_SYNC"))
