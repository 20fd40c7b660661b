"""``artdag replay``: a run rebuilt from the event store alone, event by event."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from artdag_cli.options import Json, RunId, State, state_folder
from artdag_cli.system import running, system
from artdag_common.application import decode
from artdag_common.domain.aggregate import Aggregate
from artdag_common.domain.run import Run
from artdag_common.domain.step import Step
from artdag_common.errors import ConfigurationError, RunNotFoundError
from artdag_common.eventstore.chain import Verified, verify_chain
from artdag_common.eventstore.port import Recorded
from artdag_common.eventstore.postgres import PostgresEventStore

UNDER_WAY = frozenset({"running", "waiting"})
EXECUTED = UNDER_WAY | {"failed"}
ENDED = {"pending": "skipped", "scheduled": "cancelled", "running": "cancelled", "waiting": "cancelled"}


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a run's history, and what it changed."""

    position: int
    time: str
    type: str
    stream: str
    version: int
    changes: list[str]


@dataclass(slots=True)
class Replayed:
    """A run as its events made it, and how it came to be so."""

    run: Run
    steps: dict[str, Step]
    history: list[Change]

    def states(self) -> list[str]:
        """Return the state of each step as people see it.

        An executor's news refines what the planner scheduled; the end of a run ends what had not ended.
        """
        states = []
        for index, (planned, state) in enumerate(zip(self.run.steps, self.run.states, strict=True)):
            step = self.steps.get(planned.cache_id)
            refined = state
            if state == "scheduled" and step and step.status in EXECUTED:
                news = step.status in UNDER_WAY or step.version > self.run.after.get(index, 0)
                refined = step.status if news else state  # an end of before is no answer to this run's wish
            states.append(ENDED.get(refined, refined) if self.run.finished and state != "failed" else refined)
        return states

    def summary(self) -> dict[str, Any]:
        """Return the state that is compared with the read model."""
        return {
            "status": "deleted" if self.run.deleted else self.run.status,
            "output_cid": self.run.output_cid,
            "provenance_cid": self.run.provenance_cid,
            "plan_cid": self.run.plan_cid,
            "steps": [
                {"node": step.node, "status": state, "output_cid": output}
                for step, state, output in zip(self.run.steps, self.states(), self.run.outputs, strict=True)
            ],
        }


def replay(
    run_id: RunId,
    at: Annotated[int | None, typer.Option("--at", help="Only up to this position of the log.", min=1)] = None,
    state: State = None,
    json_output: Json = False,
) -> None:
    """Rebuild a run from the event store alone, and say whether the read model agrees.

    Exit code 1: it does not, or the hash chain over all events is broken.
    """
    asyncio.run(_replay(state_folder(state), run_id, at, json_output))


async def _replay(state: Path, run_id: str, at: int | None, json_output: bool) -> None:
    async with _database(state) as pool:
        replayed = await rebuild(PostgresEventStore(pool), run_id, at)
        differences = None if at is not None else await compare(pool, run_id, replayed)
        chain = await verify_chain(pool, at)
    if json_output:
        print(json.dumps(_document(run_id, replayed, differences, chain), indent=2))
    else:
        _print(replayed, differences, chain)
    if differences or not chain.intact:
        raise typer.Exit(1)


@asynccontextmanager
async def _database(state: Path) -> AsyncIterator[asyncpg.Pool]:
    """Give the event store of a state folder; its Postgres is started where no system runs."""
    async with contextlib.AsyncExitStack() as stack:
        facts = running(state)
        if facts:
            url = facts["environment"].get("DATABASE_URL")
            if not url:
                raise ConfigurationError(f"the system on {state} is just starting; try again")
        else:
            url = (await stack.enter_async_context(system(state, 0, services=False))).environment["DATABASE_URL"]
        yield await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=2))


async def rebuild(store: PostgresEventStore, run_id: str, at: int | None) -> Replayed:
    """Fold a run's events and those of its steps, in the order of the log.

    Raises:
        RunNotFoundError: the store has no events of this run (up to ``at``).
    """
    own = await store.load(Run.stream(run_id), at)
    if not own:
        where = f" up to position {at}" if at is not None else ""
        raise RunNotFoundError(f"the event store has no events of a run {run_id}{where}", run=run_id)
    begin = own[0].position
    cache_ids = {s.cache_id for r in own if r.type == "RunStepsPlanned" for s in cast(Any, decode(r)).steps}
    if cast(Run.Requested, decode(own[0])).imported_from:
        cache_ids = set()  # what happens here to steps of the same cache ids is not the run's
    events = {(r.stream, r.version): r for r in own}
    for cache_id in sorted(cache_ids):
        events.update({(r.stream, r.version): r for r in await store.load(Step.stream(cache_id), at)})
    replayed = Replayed(cast(Run, None), {}, [])
    states: dict[str, Aggregate | None] = {}
    for recorded in sorted(events.values(), key=lambda r: (r.position, r.version)):
        before = states.get(recorded.stream)
        was = _facts(before)
        after = cast(Aggregate, decode(recorded).mutate(before))
        states[recorded.stream] = after
        if recorded.position >= begin:  # what happened to shared steps before the run is theirs, not its
            replayed.history.append(_change(recorded, was, _facts(after)))
    replayed.run = cast(Run, states[Run.stream(run_id)])
    replayed.steps = {s.key: s for s in states.values() if isinstance(s, Step)}
    return replayed


def _facts(aggregate: Aggregate | None) -> dict[str, str]:
    """Return what of an aggregate's state people follow."""
    if isinstance(aggregate, Run):
        facts = {"status": aggregate.status, "output": aggregate.output_cid, "plan": aggregate.plan_cid}
        facts |= {"provenance": aggregate.provenance_cid, "error": aggregate.error}
        facts |= {step.label: state for step, state in zip(aggregate.steps, aggregate.states, strict=True)}
        return facts
    if isinstance(aggregate, Step):
        return {"attempt": str(aggregate.attempt), "status": aggregate.status, "output": aggregate.output_cid}
    return {}


def _change(recorded: Recorded, before: dict[str, str], after: dict[str, str]) -> Change:
    changes = [
        f"{name}: {before[name]} → {value}" if before.get(name) else f"{name}: {value}"
        for name, value in after.items()
        if value and before.get(name) != value
    ]
    return Change(
        recorded.position,
        decode(recorded).timestamp.isoformat(timespec="milliseconds"),
        recorded.type,
        recorded.stream,
        recorded.version,
        changes,
    )


async def compare(pool: asyncpg.Pool, run_id: str, replayed: Replayed) -> list[str]:
    """Return in what the gateway's read model differs from the rebuilt state; empty: in nothing."""
    row = await pool.fetchrow("SELECT * FROM rm_runs WHERE run_id = $1", run_id)
    if row is None:
        return ["the read model has no such run"]
    differences = []
    summary = replayed.summary()
    model = {**dict(row), "status": "deleted" if row["deleted"] else row["status"]}
    for name in ("status", "output_cid", "provenance_cid", "plan_cid"):
        if (model[name] or "") != summary[name]:
            differences.append(f"{name}: rebuilt {summary[name]!r}, read model {model[name]!r}")
    steps = await pool.fetch("SELECT * FROM rm_run_steps WHERE run_id = $1 ORDER BY step", run_id)
    if len(steps) != len(summary["steps"]):
        differences.append(f"steps: rebuilt {len(summary['steps'])}, read model {len(steps)}")
    for row, step in zip(steps, summary["steps"], strict=False):
        for name in ("node", "status", "output_cid"):
            if (row[name] or "") != step[name]:
                differences.append(f"{step['node']}.{name}: rebuilt {step[name]!r}, read model {row[name]!r}")
    return differences


def _document(run_id: str, replayed: Replayed, differences: Sequence[str] | None, chain: Verified) -> dict[str, Any]:
    history = [
        {
            "position": c.position,
            "time": c.time,
            "type": c.type,
            "stream": c.stream,
            "version": c.version,
            "changes": c.changes,
        }
        for c in replayed.history
    ]
    verdict = {} if differences is None else {"equals_read_model": not differences, "differences": list(differences)}
    links = {"length": chain.length, "head": chain.head.hex(), "intact": chain.intact, "reason": chain.reason}
    return {"run_id": run_id, "state": replayed.summary(), "events": history, **verdict, "chain": links}


def _print(replayed: Replayed, differences: Sequence[str] | None, chain: Verified) -> None:
    screen = Console()
    table = Table("position", "time", "event", "what changed")
    for change in replayed.history:
        table.add_row(str(change.position), change.time, change.type, "\n".join(change.changes))
    screen.print(table)
    summary = replayed.summary()
    screen.print(f"rebuilt: {summary['status']}, output {summary['output_cid'] or '–'}", highlight=False)
    if chain.intact:
        screen.print(f"hash chain: intact over {chain.length} events", highlight=False)
    else:
        screen.print(f"[red]hash chain: broken at {chain.broken_at}: {chain.reason}[/red]", highlight=False)
    if differences is None:
        return
    if differences:
        screen.print("[red]the read model differs[/red]")
        for difference in differences:
            screen.print(f"  {difference}", highlight=False)
    else:
        screen.print("[green]the rebuilt state equals the read model[/green]")
