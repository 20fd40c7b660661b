"""What attempts say: kept with the event that ends them, told while they go on, without what nobody has to know."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.msg import Msg

from artdag_common.commands import ExecuteStep
from artdag_common.messaging import subjects
from artdag_common.pb.commands_pb2 import StepLogText
from services.executor.step_log import KEPT_BYTES
from tests.integration.events.appends import PATIENCE, eventually
from tests.integration.executor.conftest import CACHE_ID, Bench

STARTED, COMPLETED, FAILED = "StepStarted", "StepCompleted", "StepFailed"
AGAIN = "StepAttemptFailed"


async def kept(bench: Bench) -> list[Any]:
    return await bench.pool.fetch("SELECT * FROM step_logs WHERE cache_id = $1 ORDER BY attempt", CACHE_ID)


def words(text: str) -> list[str]:
    """The lines of a log without their times."""
    return [line[11:] for line in text.splitlines()]


async def asked(bench: Bench) -> StepLogText:
    answer = await bench.bus.nc.request(subjects.ask_for_log(CACHE_ID), b"", timeout=PATIENCE)
    return StepLogText.FromString(answer.data)


async def test_a_log_holds_what_the_process_says_and_how_it_ended(bench: Bench) -> None:
    heard: list[StepLogText] = []
    over = asyncio.Event()

    async def hear(message: Msg) -> None:
        heard.append(StepLogText.FromString(message.data))
        if heard[-1].ended:
            over.set()

    await bench.bus.nc.subscribe(subjects.step_log(CACHE_ID), cb=hear)
    async with bench.executor():
        await bench.send(bench.trial("print"))

        async def printed() -> bool:
            return bool(bench.attempts()) and "beside it" in (await asked(bench)).text

        await eventually(printed, "what it prints")
        so_far = await asked(bench)
        assert (so_far.attempt, so_far.offset) == (1, len(so_far.text))
        assert await kept(bench) == []
        bench.let_go()
        step = await bench.reaches(STARTED, COMPLETED)
        async with asyncio.timeout(PATIENCE):
            await over.wait()
    (row,) = await kept(bench)
    assert row["text"].startswith(so_far.text)
    begin, *said, end = words(row["text"])
    assert begin == f"TRIAL, attempt 1, on {row['executor']}"
    assert said == [
        "in Python, …/x",
        "and beside it",
        "\N{REPLACEMENT CHARACTER}[2Jcleared",
        "the end, without its line",
    ]
    assert end.startswith(f"completed: {step.output_cid}, 14 bytes of application/json, ")
    assert row["began_at"] <= row["ended_at"]
    assert not row["truncated"]
    assert "".join(each.text for each in heard) == row["text"]
    assert [each.offset for each in heard] == [sum(len(e.text) for e in heard[:i]) for i in range(len(heard))]


async def test_every_attempt_has_a_log_with_its_error_and_where_a_defect_is(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("break"))
        await bench.reaches(STARTED, AGAIN, STARTED, AGAIN, STARTED, FAILED)
    logs = await kept(bench)
    assert [row["attempt"] for row in logs] == [1, 2, 3]
    for row in logs:
        lines = words(row["text"])
        assert "failed: KeyError: 'nobody thought of it' (step-broken, kind defect)" in lines
        assert "Traceback (most recent call last):" in lines
        assert any(line.startswith("  …/trial.py, line ") for line in lines)
        assert str(bench.folder.parent) not in row["text"]
    assert [words(row["text"])[-1].split(" after")[0] for row in logs] == ["another attempt follows"] * 2 + [
        "no further attempt"
    ]


async def test_what_libav_warns_of_is_in_the_log_and_files_are_called_by_their_cids(bench: Bench) -> None:
    from artdag_cli.demo_media import make_cat

    film = bench.folder / "cat.mp4"
    make_cat(film, 20)
    damaged = bytearray(film.read_bytes())
    damaged[-12_000:-100] = b"\xff" * 11_900
    source = await bench.blobs.put(bytes(damaged))
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "SEGMENT", "{}", "t.cut.segment", (source.cid,)))

        async def ended() -> bool:
            return bool(await kept(bench))

        await eventually(ended, "the end of the attempt")
        await bench.empty()
    (row, *_) = await kept(bench)
    lines = words(row["text"])
    assert lines[1] == f"input {source.cid}, {len(damaged)} bytes"
    assert any(line.startswith("[h264] Invalid NAL unit size") for line in lines), row["text"]
    assert str(bench.environment["CACHE_DIR"]) not in row["text"]


async def test_what_cannot_begin_says_why(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "SEGMENT", '{"offset":-1}', "mine.t", ("bafk",)))
        await bench.reaches(STARTED, FAILED)
    (row,) = await kept(bench)
    assert "SEGMENT does not take" in row["text"]
    assert "mine" not in row["text"], "who asks first does not name it for all"


async def test_steps_that_take_no_time_have_no_log(bench: Bench) -> None:
    source = await bench.blobs.put(b"source")
    async with bench.executor():
        await bench.send(ExecuteStep(CACHE_ID, "NOOP", "{}", "t", (source.cid,)), "inline")
        await bench.reaches(STARTED, COMPLETED)
    assert await kept(bench) == []


async def test_a_log_stays_small(bench: Bench) -> None:
    async with bench.executor():
        await bench.send(bench.trial("chatter"))
        await bench.reaches(STARTED, COMPLETED)
    (row,) = await kept(bench)
    assert row["truncated"]
    assert KEPT_BYTES - 1000 < len(row["text"].encode()) <= KEPT_BYTES
    lines = words(row["text"])
    assert lines[1] == "line 0"
    assert lines[-2] == "line 9999"
    assert lines[-1].startswith("completed")
