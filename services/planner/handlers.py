"""Commands to the planner."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

import structlog

from artdag_common import tracing
from artdag_common.application import Application
from artdag_common.blobs.absence import absent
from artdag_common.blobs.port import BlobStore
from artdag_common.commands import (
    CancelRun,
    CancelStep,
    Command,
    DeleteEffect,
    DeleteRecipe,
    DeleteRun,
    ExecuteRun,
    ImportRun,
    PauseRun,
    RegisterEffect,
    RegisterRecipe,
    ResumeRun,
    StartRun,
)
from artdag_common.domain.effect import Effect
from artdag_common.domain.graph import Graph
from artdag_common.domain.recipe import Recipe
from artdag_common.domain.retention import EFFECT, decide_run_deletion, registered
from artdag_common.domain.run import Run
from artdag_common.effects import uploaded
from artdag_common.errors import (
    AppendRefusedError,
    ArtdagError,
    ContentNotFoundError,
    EffectNotFoundError,
    InvalidInputsError,
    OutputPublishedError,
    RecipeNotFoundError,
    RunNotFoundError,
    VersionConflictError,
)
from artdag_common.eventstore import holds
from artdag_common.eventstore.holds import Need
from artdag_common.eventstore.port import WAITED_FOR, Call
from artdag_common.messaging.bus import Outcome
from artdag_common.messaging.commands import CommandHandler
from services.planner.engine import Engine
from services.planner.importing import imported
from services.planner.needs import recipe_needs, run_needs
from services.planner.planning import bind, fixed_cids
from services.planner.reading import read_recipe
from services.planner.scheduling import PRIORITIES

CONSUMER = "planner"
LAST_US = 253_402_300_799 * 1_000_000
"""The end of the year 9999."""
LONGEST_MS = 366 * 86_400_000

log = structlog.get_logger(__name__)


class Commands:
    """What people ask of runs and recipes."""

    def __init__(self, app: Application, engine: Engine, blobs: BlobStore) -> None:
        self._app = app
        self._engine = engine
        self._blobs = blobs

    def handlers(self) -> Mapping[type[Command], CommandHandler]:
        """Return the handler of each command."""
        return {
            StartRun: self.start_run,
            ImportRun: self.import_run,
            ExecuteRun: self.execute_run,
            CancelRun: self.cancel_run,
            CancelStep: self.cancel_step,
            PauseRun: self.pause_run,
            ResumeRun: self.resume_run,
            DeleteRun: self.delete_run,
            RegisterRecipe: self.register_recipe,
            DeleteRecipe: self.delete_recipe,
            RegisterEffect: self.register_effect,
            DeleteEffect: self.delete_effect,
        }

    async def start_run(self, command: StartRun, command_id: str) -> Outcome:
        """Begin a run whose inputs fit its recipe and are stored here; plan it right after.

        Where its sender was told to wait, nobody hears a refusal: then there is a run all the same, which failed.
        """
        try:
            return await self._start(command, command_id)
        except ArtdagError as error:
            if error.retryable or not await self._waited_for(command_id, error):
                raise
            return await self._note_refused(command, command_id, error)

    async def _start(self, command: StartRun, command_id: str) -> Outcome:
        recipe = await self._app.find(Recipe, command.recipe_cid)
        if recipe is None or recipe.deleted:
            raise RecipeNotFoundError(f"no recipe {command.recipe_cid}", recipe=command.recipe_cid)
        graph = await read_recipe(self._blobs, command.recipe_cid)
        needs = run_needs(graph, command, await self._check_inputs(graph, command))
        _check_wishes(graph, command)
        now = self._app.clock()
        await self._engine.change(
            command.run_id,
            _as_it_is,
            command_id,
            create=lambda: _requested(command, recipe.name, graph.on_failure, now),
            consumer=CONSUMER,
            outcome=_named,
            needs=needs,
        )
        await self._proceed(command.run_id, f"{command_id}/plan")
        return Outcome.of(run_id=command.run_id)

    async def _waited_for(self, command_id: str, error: ArtdagError) -> bool:
        """Return whether the sender of a command that is refused was told to wait for what becomes of it.

        If not, who tells it so from now on finds a lasting refusal, or sends the command again after a momentary one.
        """
        store = self._app.store
        waited = await store.outcome(WAITED_FOR, command_id) is not None
        if not waited and not error.momentary:
            await store.keep_outcome(CONSUMER, command_id, Outcome.refused(error).encode())
            waited = await store.outcome(WAITED_FOR, command_id) is not None
        return waited

    async def _note_refused(self, command: StartRun, command_id: str, error: ArtdagError) -> Outcome:
        """Note a run that failed before it began, and needs nothing. One that there is stays as it is."""
        recipe = await self._app.find(Recipe, command.recipe_cid)
        now = self._app.clock()
        run = _requested(command, recipe.name if recipe else command.recipe_cid, "", now)
        run.fail(-1, error.code, error.message, now)
        outcome = Outcome.of(run_id=command.run_id)
        kept = await self._app.store.outcome(CONSUMER, command_id)
        await self._app.append(run, command_id, consumer=CONSUMER, outcome=outcome.encode(), inbox=kept is None)
        log.info("a run fails, since it is refused", run=command.run_id, code=error.code, reason=error.message)
        return outcome if kept is None else Outcome.decode(kept)

    async def _check_inputs(self, graph: Graph, command: StartRun) -> set[str]:
        """Return the content that is bound to the recipe's inputs."""
        bound = bind(graph, command.inputs)
        wanted = {cid for node in graph.nodes for cid in fixed_cids(node)}.union(*bound.values())
        missing = sorted(await absent(self._blobs, wanted))
        if missing:
            raise InvalidInputsError(
                f"not stored here: {', '.join(missing)}; upload with POST /cache/upload first", missing=missing
            )
        return set().union(*bound.values())

    async def import_run(self, command: ImportRun, command_id: str) -> Outcome:
        """Note a run that was completed elsewhere, whole and over: nothing of it is executed, now or later."""
        create: Callable[[], Run] | None = None
        needs: Sequence[Need] = ()
        if await self._app.find(Run, command.run_id) is None:
            create, needs = await imported(self._blobs, command, self._app.clock)
        await self._engine.change(
            command.run_id, _as_it_is, command_id, create=create, consumer=CONSUMER, outcome=_named, needs=needs
        )
        return Outcome.of(run_id=command.run_id)

    async def execute_run(self, command: ExecuteRun, command_id: str) -> Outcome:
        """Let a held run execute."""

        async def release(run: Run) -> None:
            _check_owner(run, command.by)
            run.release(self._app.clock())

        await self._engine.change(command.run_id, release, command_id, consumer=CONSUMER, outcome=_named)
        await self._proceed(command.run_id, f"{command_id}/go")
        return Outcome.of(run_id=command.run_id)

    async def _proceed(self, run_id: str, cause: str) -> None:
        with contextlib.suppress(RunNotFoundError):  # deleted meanwhile; the command itself was accepted
            await self._engine.proceed(run_id, cause)

    async def cancel_run(self, command: CancelRun, command_id: str) -> Outcome:
        """Stop a run."""

        async def cancel(run: Run) -> None:
            _check_owner(run, command.by)
            run.cancel(command.reason, self._app.clock(), command.eraser or command.by)

        await self._engine.change(command.run_id, cancel, command_id, consumer=CONSUMER, outcome=_named)
        return Outcome.of(run_id=command.run_id)

    async def pause_run(self, command: PauseRun, command_id: str) -> Outcome:
        """Start no further step of a run."""

        async def pause(run: Run) -> None:
            _check_owner(run, command.by)
            run.pause(self._app.clock(), command.by)

        await self._engine.change(command.run_id, pause, command_id, consumer=CONSUMER, outcome=_named)
        return Outcome.of(run_id=command.run_id)

    async def resume_run(self, command: ResumeRun, command_id: str) -> Outcome:
        """Go on with a paused run."""

        async def resume(run: Run) -> None:
            _check_owner(run, command.by)
            run.resume(self._app.clock(), command.by)

        await self._engine.change(command.run_id, resume, command_id, consumer=CONSUMER, outcome=_named)
        with contextlib.suppress(RunNotFoundError):  # deleted meanwhile; the command itself was accepted
            await self._engine.reconcile(command.run_id, f"{command_id}/go")
        return Outcome.of(run_id=command.run_id)

    async def cancel_step(self, command: CancelStep, command_id: str) -> Outcome:
        """Do without a step of a run."""

        async def cancel(run: Run) -> None:
            _check_owner(run, command.by)
            run.cancel_step(command.step, command.reason, self._app.clock())

        await self._engine.change(command.run_id, cancel, command_id, consumer=CONSUMER, outcome=_named)
        await self._proceed(command.run_id, f"{command_id}/go")
        return Outcome.of(run_id=command.run_id)

    async def delete_run(self, command: DeleteRun, command_id: str) -> Outcome:
        """Delete a finished run; what it needed and gave is kept only where others need it."""

        async def delete(run: Run) -> None:
            _check_owner(run, command.by)
            held = await self._engine.holders(run.output_cid) if run.output_cid else []
            verdict = decide_run_deletion(run.status, held)
            if verdict.action == "refuse":
                by = sorted({holder.whose for holder in verdict.holders})
                raise OutputPublishedError(
                    f"run {run.key} cannot be deleted: {verdict.reason}, by {', '.join(by)}",
                    run=run.key,
                    output_cid=run.output_cid,
                    rule=verdict.rule,
                    published_by=by,
                )
            run.delete(self._app.clock(), command.eraser or command.by)

        await self._engine.change(command.run_id, delete, command_id, consumer=CONSUMER, outcome=_named)
        return Outcome.of(run_id=command.run_id)

    async def register_recipe(self, command: RegisterRecipe, command_id: str) -> Outcome:
        """Put a recipe on a user's list; the same one again changes nothing."""
        for cid in await absent(self._blobs, (command.recipe_cid, command.source_cid)):
            raise ContentNotFoundError(f"the recipe's content {cid} is not stored here", cid=cid)
        graph = await read_recipe(self._blobs, command.recipe_cid)
        now = self._app.clock()
        recipe = await self._app.find(Recipe, command.recipe_cid)
        if recipe is None:
            recipe = Recipe.create(
                Recipe.Registered,
                command.recipe_cid,
                now,
                name=command.name,
                recipe_version=command.version,
                description=command.description,
                owner=command.owner,
                source_cid=command.source_cid,
            )
        else:
            recipe.register(command.owner, command.source_cid, now)
        also = await self._hold(recipe, command.owner, recipe_needs(graph, recipe.key, recipe.sources[command.owner]))
        return await self._keep(recipe, command_id, also, recipe_cid=command.recipe_cid)

    async def delete_recipe(self, command: DeleteRecipe, command_id: str) -> Outcome:
        """Take a recipe off a user's list; what it needs there is let go of."""
        recipe = await self._app.find(Recipe, command.recipe_cid)
        if recipe is None:
            raise RecipeNotFoundError(f"no recipe {command.recipe_cid}", recipe=command.recipe_cid)
        recipe.delete(command.by, self._app.clock(), command.eraser)
        also = holds.release(registered(recipe.id, command.by))
        return await self._keep(recipe, command_id, also, recipe_cid=command.recipe_cid)

    async def register_effect(self, command: RegisterEffect, command_id: str) -> Outcome:
        """Put an effect on a user's list; the same bytes again change nothing."""
        if await absent(self._blobs, [command.effect_cid]):
            raise ContentNotFoundError(f"the effect's file {command.effect_cid} is not stored here")
        await self._blobs.path(command.effect_cid)  # it may have come to another node
        found = await asyncio.to_thread(uploaded.find, command.effect_cid)
        effect = await self._app.find(Effect, command.effect_cid)
        if effect is None:
            effect = Effect.create(
                Effect.Registered,
                command.effect_cid,
                self._app.clock(),
                name=found.name,
                effect_version=found.version,
                author=found.author,
                description=found.description,
                kind=found.kind,
                owner=command.owner,
            )
        else:
            effect.claim(command.owner, self._app.clock())
        also = await self._hold(effect, command.owner, [Need(command.effect_cid, EFFECT)])
        return await self._keep(effect, command_id, also, effect_cid=command.effect_cid)

    async def delete_effect(self, command: DeleteEffect, command_id: str) -> Outcome:
        """Take an effect off a user's list; its file is let go of there."""
        effect = await self._app.find(Effect, command.effect_cid)
        if effect is None:
            raise EffectNotFoundError(f"no effect '{command.effect_cid}'", effect=command.effect_cid)
        effect.disown(command.by, self._app.clock(), command.eraser)
        also = holds.release(registered(effect.id, command.by))
        return await self._keep(effect, command_id, also, effect_cid=command.effect_cid)

    async def _hold(self, what: Recipe | Effect, owner: str, needs: Sequence[Need]) -> Call:
        stamps = await self._blobs.stamps({need.cid for need in needs})
        seen = [replace(need, stamp=stamps.get(need.cid, 0)) for need in needs]
        return holds.hold(registered(what.id, owner), seen, owner=owner, arrived=True)

    async def _keep(self, recipe: Recipe | Effect, command_id: str, also: Call, **values: Any) -> Outcome:
        outcome = Outcome.of(**values)
        try:
            result = await self._app.append(
                recipe, command_id, consumer=CONSUMER, outcome=outcome.encode(), also=also, inbox=True
            )
        except AppendRefusedError as refused:
            gone = ", ".join(sorted(refused.values["gone"]))
            raise ContentNotFoundError(f"{gone} was deleted in this moment; upload it again", gone=gone) from refused
        if result == "conflict":
            raise VersionConflictError(f"{recipe.id} changed meanwhile", stream=recipe.id)
        return outcome


def _requested(command: StartRun, recipe_name: str, on_failure: str, now: datetime) -> Run:
    """Return a new run as it was asked for."""
    return Run.create(
        Run.Requested,
        command.run_id,
        now,
        recipe_cid=command.recipe_cid,
        recipe_name=recipe_name,
        owner=command.owner,
        inputs=command.inputs,
        output_name=command.output_name,
        hold=command.hold,
        priority=command.priority,
        on_failure=on_failure,
        forced=command.forced,
        rerun_of=command.rerun_of,
        deadline_us=command.deadline_us,
        wait_timeout_ms=command.wait_timeout_ms,
        step_timeout_ms=command.step_timeout_ms,
        traceparent=tracing.current(),
    )


def _check_owner(run: Run, by: str) -> None:
    """Raise unless a run is the user's; empty ``by``: the system's own doing.

    Raises:
        RunNotFoundError: it is another's, and so for this user it does not exist.
    """
    if by and by != run.owner:
        raise RunNotFoundError(f"no run {run.key}", run=run.key)


def _check_wishes(graph: Graph, command: StartRun) -> None:
    """Raise unless a run is asked for in a way that can be met.

    Raises:
        InvalidInputsError: a priority that there is not, a node to compute again that the recipe does not have, or a
            time that no clock shows.
    """
    if command.priority and command.priority not in PRIORITIES:
        known = ", ".join(PRIORITIES)
        raise InvalidInputsError(f"priority {command.priority!r} is none of {known}", priority=command.priority)
    for name, value, most in (
        ("deadline_us", command.deadline_us, LAST_US),
        ("wait_timeout_ms", command.wait_timeout_ms, LONGEST_MS),
        ("step_timeout_ms", command.step_timeout_ms, LONGEST_MS),
    ):
        if not 0 <= value <= most:
            raise InvalidInputsError(f"{name} {value} is not from 0 to {most}", field=name, value=value)
    nodes = [node.id for node in graph.nodes]
    if unknown := [each for each in command.forced if each not in nodes]:
        near = get_close_matches(unknown[0], nodes, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidInputsError(f"the recipe has no node {unknown[0]!r} to compute again{hint}", unknown=unknown)


async def _as_it_is(run: Run) -> None:
    """Change nothing: the run was just made."""


def _named(run: Run) -> Outcome:
    return Outcome.of(run_id=run.key)
