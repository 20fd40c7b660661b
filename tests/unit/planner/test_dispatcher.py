"""The window of steps on the work queue."""

from __future__ import annotations

import pytest

from artdag_common.commands import ExecuteStep, ExecuteSteps
from artdag_common.errors import ServiceUnavailableError
from services.planner.dispatcher import EXPECTED_SECONDS, PRESENT_SECONDS, TOGETHER, Asker, Dispatcher

WINDOW = 256


def step(number: int) -> ExecuteStep:
    return ExecuteStep(f"{number:064x}", "NOOP", "{}", f"r.n{number}.noop", ())


class Queue:
    """Notes what was sent. ``broken``: refuses everything."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []
        self.messages: list[int] = []
        self.broken = False

    async def send(self, work_class: str, work: ExecuteSteps) -> None:
        if self.broken:
            raise ServiceUnavailableError("the queue does not answer")
        self.messages.append(len(work.steps))
        self.sent += [(work_class, int(step.cache_id, 16)) for step in work.steps]

    @property
    def numbers(self) -> list[int]:
        return [number for _, number in self.sent]


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def clock() -> list[float]:
    """Seconds, to be set by a test."""
    return [0.0]


@pytest.fixture
def dispatcher(queue: Queue, clock: list[float]) -> Dispatcher:
    return Dispatcher(queue.send, lambda work_class, shared: 1 if shared else WINDOW, lambda: clock[0])


async def test_a_step_is_sent_at_once_to_its_class(dispatcher: Dispatcher, queue: Queue) -> None:
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(1))])
    await dispatcher.submit(Asker("run", "u"), [("inline", step(2))])
    assert queue.sent == [("cpu", 1), ("inline", 2)]


async def test_steps_that_take_no_time_travel_together_and_others_alone(dispatcher: Dispatcher, queue: Queue) -> None:
    together = TOGETHER["inline"]
    await dispatcher.submit(Asker("run", "u"), [("inline", step(number)) for number in range(together + 3)])
    assert queue.messages == [together, 3]
    assert queue.numbers == list(range(together + 3))
    queue.messages.clear()
    await dispatcher.repeat(Asker("run", "u"), [("inline", step(number)) for number in range(5)])
    assert queue.messages == [together], "the message as it was, so that the queue knows it"
    queue.messages.clear()
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(1000 + number)) for number in range(4)])
    assert queue.messages == [1, 1, 1, 1]


async def test_a_step_that_two_runs_need_is_sent_once(dispatcher: Dispatcher, queue: Queue) -> None:
    for number, run in ((1, "one"), (1, "two"), (2, "one"), (1, "one")):
        await dispatcher.submit(Asker(run, "u"), [("cpu", step(number))])
    assert queue.numbers == [1, 2]


async def test_the_window_is_bounded_and_first_come_is_first_served(dispatcher: Dispatcher, queue: Queue) -> None:
    for number in range(WINDOW + 10):
        await dispatcher.submit(Asker("run", "u"), [("cpu", step(number))])
        await dispatcher.submit(Asker("run", "u"), [("cpu", step(number))])
    assert queue.numbers == list(range(WINDOW))
    await dispatcher.settle([step(5).cache_id, step(3).cache_id, "f" * 64])
    assert queue.numbers == list(range(WINDOW + 2))
    await dispatcher.settle(step(number).cache_id for number in range(WINDOW))
    assert queue.numbers == list(range(WINDOW + 10))


async def test_a_step_that_ended_can_be_sent_anew(dispatcher: Dispatcher, queue: Queue) -> None:
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(1))])
    await dispatcher.settle([step(1).cache_id])
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(1))])
    assert queue.numbers == [1, 1]


async def test_a_step_that_may_be_lost_is_sent_again(dispatcher: Dispatcher, queue: Queue) -> None:
    await dispatcher.repeat(Asker("run", "u"), [("cpu", step(1))])
    await dispatcher.repeat(Asker("run", "u"), [("cpu", step(1))])
    assert queue.numbers == [1, 1]


async def test_repeating_a_step_that_waits_for_room_does_not_bring_it_forward(
    dispatcher: Dispatcher, queue: Queue
) -> None:
    for number in range(WINDOW + 2):
        await dispatcher.submit(Asker("run", "u"), [("cpu", step(number))])
    await dispatcher.repeat(Asker("run", "u"), [("cpu", step(WINDOW + 1))])
    assert queue.numbers == list(range(WINDOW))


async def test_steps_that_no_run_needs_any_more_are_forgotten_while_they_wait(
    dispatcher: Dispatcher, queue: Queue
) -> None:
    for number in range(WINDOW + 3):
        await dispatcher.submit(Asker("ended", "u"), [("cpu", step(number))])
    await dispatcher.submit(Asker("goes on", "u"), [("cpu", step(WINDOW + 1))])
    await dispatcher.withdraw("ended")
    await dispatcher.settle(step(number).cache_id for number in range(WINDOW))
    assert queue.numbers[WINDOW:] == [WINDOW + 1]
    await dispatcher.submit(Asker("another", "u"), [("cpu", step(WINDOW))])
    assert queue.numbers[-1] == WINDOW


async def test_a_step_that_ended_while_it_waited_is_not_sent(dispatcher: Dispatcher, queue: Queue) -> None:
    for number in range(WINDOW + 2):
        await dispatcher.submit(Asker("run", "u"), [("cpu", step(number))])
    await dispatcher.settle([step(WINDOW).cache_id, step(0).cache_id])
    assert queue.numbers[WINDOW:] == [WINDOW + 1]


async def test_steps_that_were_sent_are_outstanding_until_they_end(dispatcher: Dispatcher) -> None:
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(1))])
    await dispatcher.submit(Asker("run", "u"), [("cpu", step(2))])
    await dispatcher.settle([step(1).cache_id])
    assert dispatcher.outstanding() == [step(2).cache_id]


async def test_a_step_that_could_not_be_sent_is_not_forgotten(dispatcher: Dispatcher, queue: Queue) -> None:
    queue.broken = True
    with pytest.raises(ServiceUnavailableError):
        await dispatcher.submit(Asker("run", "u"), [("cpu", step(1))])
    queue.broken = False
    await dispatcher.repeat(Asker("run", "u"), [("cpu", step(1))])
    assert queue.numbers == [1]


async def test_where_several_users_want_steps_fewer_are_ahead_until_they_are_gone_for_a_while(
    dispatcher: Dispatcher, queue: Queue, clock: list[float]
) -> None:
    await dispatcher.submit(Asker("big", "ada"), [("cpu", step(number)) for number in range(WINDOW + 100)])
    assert len(queue.numbers) == WINDOW
    await dispatcher.submit(Asker("small", "bob"), [("cpu", step(9000))])
    await dispatcher.settle(step(number).cache_id for number in range(WINDOW - 1))
    assert len(queue.numbers) == WINDOW
    await dispatcher.settle([step(WINDOW - 1).cache_id])
    assert queue.numbers[WINDOW:] == [9000]
    await dispatcher.settle([step(9000).cache_id])
    clock[0] = EXPECTED_SECONDS
    await dispatcher.fill()
    assert len(queue.numbers) == WINDOW + 2
    clock[0] = PRESENT_SECONDS
    await dispatcher.fill()
    assert len(queue.numbers) == WINDOW + 101


@pytest.fixture
async def between(queue: Queue, clock: list[float]) -> Dispatcher:
    """There is room for two steps, a user has one of many out, and the first of another one's chain has just ended."""
    it = Dispatcher(queue.send, lambda *_: 2, lambda: clock[0])
    await it.submit(Asker("big", "ada"), [("cpu", step(number)) for number in range(9)])
    await it.submit(Asker("chain", "bob"), [("cpu", step(9000))])
    await it.settle([step(0).cache_id])
    await it.settle([step(9000).cache_id])
    assert queue.numbers == [0, 1, 9000], "the room is kept for the chain's next step"
    return it


async def test_the_next_step_of_a_chain_finds_the_room_that_the_last_one_left(
    between: Dispatcher, queue: Queue
) -> None:
    await between.submit(Asker("chain", "bob"), [("cpu", step(9001))])
    assert queue.numbers == [0, 1, 9000, 9001]
    await between.settle([step(1).cache_id])
    assert queue.numbers == [0, 1, 9000, 9001, 2]
    await between.settle([step(9001).cache_id])
    assert queue.numbers == [0, 1, 9000, 9001, 2]


async def test_room_is_kept_no_longer_than_a_moment(between: Dispatcher, queue: Queue, clock: list[float]) -> None:
    clock[0] = EXPECTED_SECONDS
    await between.fill()
    assert queue.numbers == [0, 1, 9000, 2]


async def test_the_moment_ends_by_itself(between: Dispatcher, queue: Queue) -> None:
    (keeping,) = between._keeping
    await keeping
    assert queue.numbers == [0, 1, 9000, 2]


async def test_no_room_is_kept_for_one_whose_turn_is_over(dispatcher: Dispatcher, queue: Queue) -> None:
    await dispatcher.submit(Asker("chain", "bob"), [("cpu", step(9000))])
    await dispatcher.submit(Asker("many", "ada"), [("cpu", step(number)) for number in range(5)])
    await dispatcher.settle([step(9000).cache_id])
    assert queue.numbers == [9000, 0], "with room for one they take turns"


async def test_no_room_is_kept_for_one_who_has_more_to_do_or_is_alone(dispatcher: Dispatcher, queue: Queue) -> None:
    await dispatcher.submit(Asker("big", "ada"), [("cpu", step(number)) for number in range(WINDOW + 2)])
    await dispatcher.settle([step(0).cache_id])
    assert len(queue.numbers) == WINDOW + 1
    await dispatcher.submit(Asker("small", "bob"), [("cpu", step(9000))])
    await dispatcher.settle(step(number).cache_id for number in range(1, WINDOW + 1))
    assert queue.numbers[-1] == 9000, "all of ada's are through, and one of hers waits"
