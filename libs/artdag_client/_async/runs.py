"""Runs: start, plan, follow, wait for, steer, look at, publish."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Unpack

from artdag_client._async.connection import AsyncConnection
from artdag_client._async.content import AsyncContents
from artdag_client.asking import Progress, Wishes, body, keyed, nothing, part, plain, query
from artdag_client.errors import RunFailedError
from artdag_client.events import Event
from artdag_client.saving import saving
from artdag_client.shapes import (
    Analyses,
    AnotherRun,
    History,
    Inputs,
    Parameters,
    Plan,
    PlanStep,
    Published,
    Run,
    RunDetail,
    RunPage,
    RunWithStep,
    StepLog,
)


class AsyncRuns:
    """``client.runs``."""

    def __init__(self, connection: AsyncConnection, content: AsyncContents) -> None:
        self._connection = connection
        self._content = content

    async def start(
        self,
        recipe: str,
        inputs: Inputs = (),
        *,
        output_name: str = "",
        parameters: Parameters | None = None,
        force: bool | Sequence[str] = False,
        key: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> Run:
        """Render a recipe, or apply one effect.

        Args:
            recipe: id or name of a recipe, name of an effect, or a recipe as YAML.
            inputs: CIDs or names of content, in the order of the recipe's inputs or by their names.
            output_name: what the output is called in the provenance record.
            parameters: instead of the recipe's own, by node.
            force: nodes whose steps are computed again, with all that follows them; True: all.
            key: names this request: sent again with the same key, it is the same run.
        """
        asked = _new_run(recipe, inputs, output_name, parameters, force, wishes)
        run: Run = await self._connection.ask("POST", "/runs", json=asked, headers=keyed(key))
        return run

    async def plan(
        self,
        recipe: str,
        inputs: Inputs = (),
        *,
        output_name: str = "",
        parameters: Parameters | None = None,
        force: bool | Sequence[str] = False,
        key: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> Plan:
        """Analyse the inputs and plan, without rendering anything: :meth:`execute` goes on with it.

        Raises:
            RunFailedError: it could not be planned.
        """
        asked = _new_run(recipe, inputs, output_name, parameters, force, wishes)
        planned: dict[str, Any] = await self._connection.ask("POST", "/api/plan", json=asked, headers=keyed(key))
        run_id = str(planned["run_id"])
        if "steps" not in planned:  # the analysis takes longer than an answer may
            async with aclosing(self.follow(run_id)) as events:
                async for event in events:
                    if event.type == "RunPlanned":
                        break
        plan = await self.get_plan(run_id)
        if plan["status"] in ("failed", "cancelled"):
            raise RunFailedError(await self.get(run_id))
        return plan

    async def execute(self, run_id: str, key: str | None = None) -> Run:
        """Go on with a run that :meth:`plan` made."""
        run: Run = await self._connection.ask("POST", "/api/execute", json={"run_id": run_id}, headers=keyed(key))
        return run

    def list(
        self,
        *,
        status: str | None = None,
        owner: str | None = None,
        published: bool = False,
        limit: int | None = None,
    ) -> AsyncIterator[Run]:
        """Yield runs, newest first: yours, and those that gave what is published.

        Args:
            status: only those.
            owner: ``me``: only yours.
            published: only those that gave what is published.
            limit: at most so many; None: all.
        """
        return self._connection.pages("/runs", "runs", limit, status=status, owner=owner, published=published)

    async def page(self, *, cursor: str | None = None, limit: int | None = None, **chosen: Any) -> RunPage:
        """Return one page of :meth:`list`, whose parameters it takes too."""
        found: RunPage = await self._connection.ask("GET", "/runs", params=query(cursor=cursor, limit=limit, **chosen))
        return found

    async def get(self, run_id: str) -> RunDetail:
        """Return a run, with the steps that are being computed, wait or failed."""
        run: RunDetail = await self._connection.ask("GET", f"/api/run/{part(run_id)}")
        return run

    async def get_plan(self, run_id: str) -> Plan:
        """Return a run's plan, with its steps as they stand."""
        plan: Plan = await self._connection.ask("GET", f"/api/run/{part(run_id)}/plan")
        return plan

    async def artifacts(self, run_id: str) -> Sequence[PlanStep]:
        """Return the steps of a run that gave something, the output among them; ``output_cid`` is what."""
        return [step for step in (await self.get_plan(run_id))["steps"] if step["output_cid"]]

    async def analyses(self, run_id: str) -> Analyses:
        """Return what was found out about the inputs before the run was planned."""
        found: Analyses = await self._connection.ask("GET", f"/api/run/{part(run_id)}/analysis")
        return found

    async def provenance(self, run_id: str) -> dict[str, Any]:
        """Return the record of how a run's output came to be, checked against its CID.

        Raises:
            RunFailedError: it gave nothing, or goes on.
        """
        run = await self.get(run_id)
        if run["provenance_cid"] is None:
            raise RunFailedError(run)
        record: dict[str, Any] = json.loads(await self._content.read(run["provenance_cid"]))
        return record

    def follow(self, run_id: str, after: int = 0, timeout: float | None = None) -> AsyncGenerator[Event]:
        """Yield what happens to a run, from the beginning or ``after`` a position, then as it happens, to its end.

        A lost connection is taken up where it was: nothing is missed, nothing comes twice.

        Raises:
            WaitedTooLongError: it is not over after ``timeout`` seconds.
        """
        return self._connection.follow(f"/runs/{part(run_id)}/events", f"run {run_id}", after, timeout)

    async def wait(self, run_id: str, timeout: float | None = None) -> RunDetail:
        """Return a run once it is over, however it ended.

        Raises:
            WaitedTooLongError: it is not after ``timeout`` seconds, and goes on.
        """
        async for _ in self.follow(run_id, timeout=timeout):
            pass
        return await self.get(run_id)

    async def result(self, run_id: str, timeout: float | None = None) -> RunDetail:
        """Return a run once it is completed.

        Raises:
            RunFailedError: it ended otherwise.
            WaitedTooLongError: see :meth:`wait`.
        """
        run = await self.wait(run_id, timeout)
        if run["status"] != "completed":
            raise RunFailedError(run)
        return run

    async def cancel(self, run_id: str, reason: str = "", key: str | None = None) -> Run:
        """Stop a run: nothing further starts, and what runs is broken off unless another run needs it."""
        return await self._steer(run_id, "cancel", body(reason=reason), key)

    async def cancel_step(self, run_id: str, step: int, reason: str = "", key: str | None = None) -> RunWithStep:
        """Do without one step of a run, by its index in the plan."""
        run: RunWithStep = await self._connection.ask(
            "POST",
            f"/runs/{part(run_id)}/steps/{step}/cancel",
            json=body(reason=reason),
            headers=keyed(key),
        )
        return run

    async def pause(self, run_id: str, key: str | None = None) -> Run:
        """Start no further step of a run; what executors have goes on."""
        return await self._steer(run_id, "pause", None, key)

    async def resume(self, run_id: str, key: str | None = None) -> Run:
        """Go on with a paused run."""
        return await self._steer(run_id, "resume", None, key)

    async def _steer(self, run_id: str, what: str, asked: dict[str, Any] | None, key: str | None) -> Run:
        run: Run = await self._connection.ask("POST", f"/runs/{part(run_id)}/{what}", json=asked, headers=keyed(key))
        return run

    async def retry(self, run_id: str, key: str | None = None, **wishes: Unpack[Wishes]) -> AnotherRun:
        """Try a failed or cancelled run again, as a new run: only what failed is computed."""
        run: AnotherRun = await self._connection.ask(
            "POST", f"/runs/{part(run_id)}/retry", json=body(**wishes), headers=keyed(key)
        )
        return run

    async def rerun(
        self,
        run_id: str,
        *,
        inputs: Inputs | None = None,
        parameters: Parameters | None = None,
        force: bool | Sequence[str] = False,
        output_name: str | None = None,
        hold: bool = False,
        key: str | None = None,
        **wishes: Unpack[Wishes],
    ) -> AnotherRun:
        """Run again with something changed, as a new run: only what the changes reach is computed.

        Args:
            inputs: those that change, by name.
            hold: only plan it; :meth:`execute` goes on with it.
        """
        asked = body(
            inputs=plain(inputs) if inputs is not None else None,
            parameters=plain_parameters(parameters),
            force=_forced(force),
            output_name=output_name,
            hold=hold,
            **wishes,
        )
        run: AnotherRun = await self._connection.ask(
            "POST", f"/runs/{part(run_id)}/rerun", json=asked, headers=keyed(key)
        )
        return run

    async def delete(self, run_id: str, key: str | None = None) -> dict[str, Any]:
        """Take a run that is over off every list."""
        gone: dict[str, Any] = await self._connection.ask("DELETE", f"/runs/{part(run_id)}", headers=keyed(key))
        return gone

    async def publish(
        self, run_id: str, name: str | None = None, description: str | None = None, key: str | None = None
    ) -> Published:
        """Make what a run gave public, with its provenance."""
        found: Published = await self._connection.ask(
            "POST",
            f"/runs/{part(run_id)}/publish",
            json=body(name=name, description=description),
            headers=keyed(key),
        )
        return found

    async def log(self, run_id: str, step: int, attempt: int | None = None) -> StepLog:
        """Return what an attempt at a step said; None: the newest one."""
        found: StepLog = await self._connection.ask(
            "GET",
            f"/api/run/{part(run_id)}/steps/{step}/log",
            params=query(attempt=attempt),
            headers={"Accept": "application/json"},
        )
        return found

    def follow_log(self, run_id: str, step: int, attempt: int | None = None) -> AsyncGenerator[Event]:
        """Yield what a step says: ``log`` with ``text``, and at last ``end`` with the step's ``status``."""
        return self._connection.listen(f"/api/run/{part(run_id)}/steps/{step}/log", attempt=attempt)

    async def import_run(self, manifest: str, events: str, key: str | None = None) -> Run:
        """Have a run that was completed elsewhere among yours; ``artdag run import`` uploads what it needs first.

        Args:
            manifest, events: CIDs of ``run.json`` and ``events.jsonl`` of its file.
        """
        found: Run = await self._connection.ask(
            "POST", "/runs/import", json={"manifest": manifest, "events": events}, headers=keyed(key)
        )
        return found

    async def history(self, run_id: str, after: int = 0, limit: int | None = None) -> History:
        """Return a page of what was recorded of an imported run where it was completed."""
        found: History = await self._connection.ask(
            "GET", f"/api/run/{part(run_id)}/history", params=query(after=after, limit=limit)
        )
        return found

    async def export(
        self, run_id: str, target: str | Path, progress: Progress = nothing, *, replace: bool = False
    ) -> Path:
        """Save a run that is over as one CAR file: its content, recipe, plan, provenance and events.

        ``artdag run verify`` checks such a file without a server.
        """
        path = Path(target)
        with saving(path, replace) as file:
            await self._connection.save(f"/api/run/{part(run_id)}/export", file, progress)
        return path


def _new_run(
    recipe: str,
    inputs: Inputs,
    output_name: str,
    parameters: Parameters | None,
    force: bool | Sequence[str],
    wishes: Wishes,
) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "inputs": plain(inputs),
        **body(output_name=output_name, parameters=plain_parameters(parameters), force=_forced(force), **wishes),
    }


def plain_parameters(parameters: Parameters | None) -> dict[str, dict[str, Any]] | None:
    """Return parameters as JSON has them; None: there are none."""
    return {node: dict(values) for node, values in parameters.items()} if parameters else None


def _forced(force: bool | Sequence[str]) -> Any:
    return force if isinstance(force, bool) else [*force]
