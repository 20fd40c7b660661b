"""Webhooks, what they are told, and how that is signed, as sentences."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from artdag_common.domain.aggregate import DomainEvent
from artdag_common.domain.run import Run
from artdag_common.domain.webhook import (
    TOLD,
    Notice,
    Webhook,
    message,
    secret_key,
    secret_text,
    signed_headers,
    told_events,
)
from artdag_common.errors import InvalidRequestError, WebhookDisabledError, WebhookNotFoundError
from artdag_common.testing.scenario import Scenario, fact

HERE, THERE = "https://example.org/hook", "https://example.com/hook"
ALL = ("run.completed", "run.failed", "run.cancelled")
AT = datetime(2026, 11, 22, 7, 30, 0, 5, tzinfo=UTC)


@pytest.fixture
def webhook() -> Scenario[Webhook]:
    return Scenario(Webhook, Webhook.Added).given(fact(Webhook.Added, owner="ada", url=HERE, events=ALL))


@pytest.fixture
def notice() -> Scenario[Notice]:
    return Scenario(Notice, Notice.Requested)


def test_an_edit_without_a_change_is_none(webhook: Scenario[Webhook]) -> None:
    webhook.when(Webhook.edit, HERE, ALL, False).nothing()
    webhook.when(Webhook.edit, THERE, ALL[:1], False).then(fact(Webhook.Edited, url=THERE, resealed=False))
    assert (webhook.state.url, webhook.state.events) == (THERE, ALL[:1])


def test_a_new_secret_is_an_edit(webhook: Scenario[Webhook]) -> None:
    webhook.when(Webhook.edit, HERE, ALL, True).then(fact(Webhook.Edited, url=HERE, resealed=True))


def test_a_webhook_is_switched_off_and_on_once(webhook: Scenario[Webhook]) -> None:
    webhook.when(Webhook.switch, True).nothing()
    webhook.when(Webhook.switch, False, reason="it is gone").then(fact(Webhook.Disabled, reason="it is gone"))
    webhook.when(Webhook.switch, False).nothing()
    with pytest.raises(WebhookDisabledError):
        webhook.state.can_be_told()
    webhook.when(Webhook.switch, True).then(Webhook.Enabled)
    webhook.state.can_be_told()


def test_a_removed_webhook_is_gone_for_everybody(webhook: Scenario[Webhook]) -> None:
    webhook.when(Webhook.remove, by="owner").then(fact(Webhook.Removed, by="owner"))
    for decision, arguments in ((Webhook.remove, ()), (Webhook.switch, (True,)), (Webhook.edit, (THERE, ALL, False))):
        webhook.when(decision, *arguments).raises(WebhookNotFoundError)


def test_a_notice_is_settled_once(notice: Scenario[Notice]) -> None:
    notice.when(Notice.deliver, 3, 204).then(fact(Notice.Delivered, attempts=3, status=204))
    notice.when(Notice.deliver, 1, 200).nothing()
    notice.when(Notice.give_up, 1, 500, "no").nothing()
    assert notice.state.state == "delivered"


def test_a_notice_is_repeated_whatever_came_of_it(notice: Scenario[Notice]) -> None:
    notice.when(Notice.repeat).nothing()
    notice.given(fact(Notice.GaveUp, reason="no")).when(Notice.repeat).then(Notice.Repeated)
    notice.when(Notice.deliver, 1, 200).then(Notice.Delivered)
    notice.when(Notice.repeat).then(Notice.Repeated)
    assert notice.state.state == "waiting"


@pytest.mark.parametrize(("given", "kept"), [((), ALL), (ALL[::-1], ALL), (("run.failed", "run.failed"), ALL[1:2])])
def test_events_have_one_order(given: tuple[str, ...], kept: tuple[str, ...]) -> None:
    assert told_events(given) == kept


def test_an_unknown_event_is_named_with_those_that_there_are() -> None:
    with pytest.raises(InvalidRequestError, match=r"'run\.paused' is not one of run\.completed, run\.failed, run\.can"):
        told_events(("run.failed", "run.paused"))


# --- what is told -----------------------------------------------------------------------------------------------------


def ended(event: type[DomainEvent], **facts: object) -> tuple[Run.Requested, DomainEvent]:
    """Return the first and the last event of a run."""
    common = {"originator_id": "run-run1", "timestamp": AT}
    first = Run.Requested(
        originator_version=1,
        originator_topic="run",
        recipe_cid="bafyr",
        recipe_name="dog",
        owner="ada",
        inputs=(),
        output_name="Hündchen",
        rerun_of="run0",
        **common,
    )
    return first, event(originator_version=9, **common, **facts)


def test_what_is_told_of_a_completed_run() -> None:
    first, end = ended(Run.Completed, output_cid="bafyo", provenance_cid="bafyp", computed=3, cached=1)
    body = message(first, end, "https://l1.example/")
    assert json.loads(body) == {
        "type": "run.completed",
        "timestamp": "2026-11-22T07:30:00.000005Z",
        "data": {
            "run_id": "run1",
            "status": "completed",
            "recipe": "dog",
            "recipe_cid": "bafyr",
            "output_name": "Hündchen",
            "output_cid": "bafyo",
            "output_url": "https://l1.example/cache/bafyo/raw",
            "provenance_cid": "bafyp",
            "provenance_url": "https://l1.example/cache/bafyp/raw",
            "error": None,
            "rerun_of": "run0",
            "links": {"self": "https://l1.example/runs/run1", "plan": "https://l1.example/api/run/run1/plan"},
        },
    }
    assert message(first, end, "https://l1.example") == body, "the same bytes each time"


def test_what_is_told_of_a_failed_run() -> None:
    first, end = ended(Run.Failed, step=4, node="sync", error="step-timeout", reason="it took longer than 60 s")
    data = json.loads(message(first, end, "https://l1.example"))["data"]
    assert (data["status"], data["output_url"], data["provenance_cid"]) == ("failed", None, None)
    error = data["error"]
    assert error.pop("advice").startswith("Give it less to do")
    assert error == {
        "code": "step-timeout",
        "kind": "timeout",
        "step": 4,
        "node": "sync",
        "reason": "it took longer than 60 s",
    }


def test_what_is_told_of_a_run_that_was_stopped_or_never_planned() -> None:
    stopped = json.loads(message(*ended(Run.Cancelled, reason="changed my mind"), "https://l1.example"))["data"]
    assert (stopped["status"], stopped["error"]["code"], stopped["error"]["kind"]) == (
        "cancelled",
        "cancelled",
        "stopped",
    )
    unplanned = ended(Run.Failed, step=-1, node="", error="invalid-inputs", reason="no audio")
    error = json.loads(message(*unplanned, "https://l1.example"))["data"]["error"]
    assert (error["step"], error["node"], error["kind"]) == (None, None, "bad-input")


def test_an_end_of_a_run_is_one_notice_for_each_webhook() -> None:
    _, end = ended(Run.Failed, step=-1, node="", error="x", reason="")
    one, again, other = (Notice.of_end(webhook, end, AT) for webhook in ("w1", "w1", "w2"))
    assert one.id == again.id != other.id
    assert (one.webhook_id, one.run_id, one.told, one.end) == ("w1", "run1", "run.failed", 9)
    assert len({Notice.key_of("w1", "run1", told) for told in TOLD.values()}) == len(TOLD)


# --- how it is signed -------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_published_example() -> None:
    """The test vector of the reference libraries of Standard Webhooks."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_is_read_as_it_is_written(size: int) -> None:
    assert secret_key(secret_text(bytes(range(size)))) == bytes(range(size))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2",
        "whsec_",
        "whsec_hunter2",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        base64.b64encode(bytes(32)).decode(),
        "whsec_" + "ä" * 40,
    ],
)
def test_another_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(InvalidRequestError, match="24 to 64 bytes in base64") as refused:
        secret_key(secret)
    assert refused.value.values["problems"][0]["value"] == ""
    assert len(secret) < 8 or secret not in str(refused.value)
