"""All pages, in one router."""

from __future__ import annotations

from fastapi import APIRouter

from services.gateway.web import (
    account,
    analysis,
    client,
    compare,
    editor,
    effects,
    home,
    item,
    media,
    ops,
    recipe,
    recipes,
    run,
    runs,
    static_files,
    storage,
)

PARTS = (
    static_files.router,
    home.router,
    account.router,
    client.router,
    storage.router,
    storage.data,
    runs.router,
    compare.router,
    analysis.router,
    run.router,
    run.data,
    media.router,
    item.router,
    editor.router,
    recipes.router,
    recipe.router,
    recipe.data,
    effects.router,
    effects.pictures,
    ops.router,
    ops.data,
)

router = APIRouter()
for _part in PARTS:
    router.include_router(_part)
