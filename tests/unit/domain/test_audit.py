"""Refusals, counted: nothing is lost, nothing grows beyond its bounds, nothing that a client sent is told."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artdag_common.domain.audit import (
    ANY,
    MOST_AN_HOUR,
    MOST_CODES,
    MOST_TOLD,
    Audit,
    Refusal,
    Tally,
    address_key,
    bounded,
    check_hand_over,
    hour_of,
)
from artdag_common.errors import InvalidRequestError

NOW = datetime(2026, 11, 22, 4, 59, 59, 999999, tzinfo=UTC)
HOUR = "2026-11-22T04"

codes = st.sampled_from(["unauthenticated", "token-revoked", "foreign-origin", "hidden"])
parties = st.tuples(
    codes,
    st.sampled_from(["", "GET /runs/{run_id}", "DELETE /cache/{cid}"]),
    st.sampled_from(["", "u-a", "u-b"]),
    codes,
)
requests = st.lists(st.tuples(parties, st.integers(0, 1000)), max_size=200)


def refusal(code="unauthenticated", route="GET /runs", user="", address="ab", count=1, first_ms=1, last_ms=2):
    return Refusal(code, route, user, address, count, first_ms, last_ms)


def tallied(seen, most):
    tally = Tally(most)
    for party, at in seen:
        tally.add(party, 1, at, at)
    return tally.told()


@given(requests, st.integers(0, 40))
def test_no_refusal_is_lost_whatever_the_bound(seen, most):
    told = tallied(seen, most)
    assert sum(each.count for each in told) == len(seen)
    by_code = Counter[str]()
    for each in told:
        by_code[each.code] += each.count
    assert by_code == Counter(party[0] for party, _ in seen)


@given(requests, st.integers(0, 40))
def test_as_many_as_the_bound_are_told_apart_and_the_rest_by_code_alone(seen, most):
    told = tallied(seen, most)
    apart = [each for each in told if each.route != ANY]
    different = len({party for party, _ in seen})
    assert len(apart) == min(most, different)
    assert len({each.party for each in told}) == len(told)
    assert all(not each.user and not each.address for each in told if each.route == ANY)
    assert {each.party for each in apart} <= {party for party, _ in seen}


@given(requests)
def test_first_and_last_are_those_of_the_requests_in_whatever_order_they_come(seen):
    for each in tallied(seen, 1000):
        times = [at for party, at in seen if party == each.party]
        assert (each.count, each.first_ms, each.last_ms) == (len(times), min(times), max(times))


@given(requests, st.integers(0, 200))
def test_what_was_counted_in_two_places_counts_together(seen, cut):
    together = Tally(1000)
    together.add_all(tallied(seen[:cut], 1000))
    together.add_all(tallied(seen[cut:], 1000))
    assert together.told() == tallied(seen, 1000)


def test_more_codes_than_there_can_be_pass_for_one():
    tally = Tally(0)
    for i in range(10 * MOST_CODES):
        tally.add((f"code-{i}", "GET /", "", ""), 1, i, i)
    assert len(tally.told()) == MOST_CODES + 1
    assert sum(each.count for each in tally.told()) == 10 * MOST_CODES
    assert tally.told()[-1] == Refusal("other", ANY, "", "", 9 * MOST_CODES, MOST_CODES, 10 * MOST_CODES - 1)


def test_a_hand_over_is_never_larger_than_its_receiver_takes():
    tally = Tally(MOST_TOLD)
    for i in range(100_000):
        tally.add((f"code-{i % 1000}", f"GET /{i}", f"u-{i}", f"{i}"), 1, i, i)
    check_hand_over(HOUR, tally.told(), NOW)


# --- the hour ---


def test_an_hour_takes_what_two_gateways_hand_over():
    audit = Audit.begin(HOUR, [refusal(count=2)], NOW)
    audit.note([refusal(count=3), refusal(code="hidden")], NOW)
    assert (audit.id, audit.told, audit.count) == ("audit-2026-11-22T04", 3, 6)
    assert audit.room == MOST_AN_HOUR - 3


def test_a_full_hour_counts_on_and_tells_nothing_apart():
    audit = Audit.begin(HOUR, [refusal(address=f"{i:016x}") for i in range(MOST_AN_HOUR - 1)], NOW)
    audit.note([refusal(address="x"), refusal(address="y", count=5), refusal(address="z")], NOW)
    assert audit.room == 0
    *_, last = audit.pending_events
    assert [(each.address, each.route, each.count) for each in last.refusals] == [("x", "GET /runs", 1), ("", ANY, 6)]
    for _ in range(20):
        audit.note([refusal(address=f"{i}") for i in range(MOST_TOLD)], NOW)
        assert len(audit.pending_events[-1].refusals) == 1
    assert audit.count == MOST_AN_HOUR - 1 + 7 + 20 * MOST_TOLD
    assert audit.told == MOST_AN_HOUR


@given(st.lists(st.lists(parties, max_size=30), min_size=1, max_size=8), st.integers(0, 50))
def test_no_order_of_hand_overs_brings_more_into_an_hour_than_it_holds(hand_overs, most):
    kept = []
    for each in hand_overs:
        room = most - sum(1 for one in kept if one.route != ANY)
        kept += bounded([Refusal(*party, 1, 0, 0) for party in each], room)
    assert sum(1 for one in kept if one.route != ANY) <= most
    assert sum(one.count for one in kept) == sum(map(len, hand_overs))


# --- what may be handed over ---


@pytest.mark.parametrize(
    "hour", ["", "2026-11-22", "2026-11-22T4", "2026-11-22T25", "2026-11-22T06", "../audit", "9" * 90]
)
def test_only_an_hour_that_has_begun_is_written_to(hour):
    with pytest.raises(InvalidRequestError, match="hour"):
        check_hand_over(hour, [refusal()], NOW)


def test_an_hour_may_be_past_and_a_clock_may_be_ahead():
    for moment in (NOW - timedelta(days=7), NOW, NOW + timedelta(minutes=59)):
        check_hand_over(hour_of(moment), [refusal()], NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        refusal(code=""),
        refusal(code="Not A Code"),
        refusal(route="GET /" + "x" * 200),
        refusal(user="a\nb"),
        refusal(address="\x1b[2J"),
        refusal(count=0),
        refusal(first_ms=3),
    ],
)
def test_what_no_gateway_counts_is_not_kept(wrong):
    with pytest.raises(InvalidRequestError):
        check_hand_over(HOUR, [refusal(), wrong], NOW)


def test_more_than_a_gateway_tells_apart_is_not_kept():
    with pytest.raises(InvalidRequestError, match="more than 256"):
        check_hand_over(HOUR, [refusal(address=f"{i}") for i in range(400)], NOW)


# --- addresses ---


def test_an_address_is_known_again_and_not_told():
    key = address_key(b"k" * 32, "203.0.113.7")
    assert key == address_key(b"k" * 32, "203.0.113.7") == address_key(b"k" * 32, "::ffff:203.0.113.7")
    assert key != address_key(b"k" * 32, "203.0.113.8")
    assert key != address_key(b"l" * 32, "203.0.113.7")
    assert len(key) == 16
    assert "203" not in key


def test_whoever_has_a_network_of_ipv6_is_one():
    first = address_key(b"k", "2001:db8:0:1::1")
    assert first == address_key(b"k", "2001:db8:0:1:ffff::2%eth0")
    assert first != address_key(b"k", "2001:db8:0:2::1")


@given(st.text(max_size=60))
def test_whatever_stands_for_an_address_has_a_key(text):
    assert len(address_key(b"k", text)) == 16
