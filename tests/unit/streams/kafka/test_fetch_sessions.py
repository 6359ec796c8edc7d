"""What a fetch names: what the broker does not know of the fetches before it."""

from __future__ import annotations

import pytest
from aiokafka.protocol.fetch import FetchRequest_v4, FetchRequest_v7, FetchRequest_v11, FetchResponse_v4

from streams.kafka.fetch_sessions import FetchSession, SessionFetch
from tests.support.session_broker import SessionBroker, whole_fetch

A, B, C = ("ticks", 0), ("ticks", 1), ("rows", 0)


def _named(fetch: SessionFetch) -> dict[tuple[str, int], int]:
    return {(topic, it[0]): it[2] for topic, partitions in fetch.build(FetchRequest_v11).topics for it in partitions}


def _session(fetch: SessionFetch) -> tuple[int, int]:
    struct = fetch.build(FetchRequest_v11)
    return struct.session_id, struct.session_epoch


@pytest.fixture
def broker() -> SessionBroker:
    return SessionBroker()


@pytest.fixture
def session(broker: SessionBroker) -> FetchSession:
    """One in which A, B and C were fetched once."""
    session = FetchSession()
    _, answer = broker.answer(session.next_fetch(whole_fetch({A: 1, B: 2, C: 3})))
    session.answered(answer)
    return session


def test_the_first_fetch_names_every_partition_and_begins_a_session() -> None:
    fetch = FetchSession().next_fetch(whole_fetch({A: 1, B: 2, C: 3}))
    assert {A: 1, B: 2, C: 3} == _named(fetch)
    assert (0, 0) == _session(fetch)


def test_the_next_names_those_whose_offset_has_moved(session: FetchSession) -> None:
    fetch = session.next_fetch(whole_fetch({A: 1, B: 7, C: 3}))
    assert {B: 7} == _named(fetch)
    assert (101, 1) == _session(fetch)


def test_a_partition_that_was_sought_back_is_named(session: FetchSession) -> None:
    assert {C: 0} == _named(session.next_fetch(whole_fetch({A: 1, B: 2, C: 0})))


def test_one_that_is_asked_for_no_more_is_forgotten_and_named_when_it_is_asked_for_again(
    session: FetchSession, broker: SessionBroker
) -> None:
    paused = session.next_fetch(whole_fetch({A: 1, B: 2}))
    assert [("rows", [0])] == paused.build(FetchRequest_v11).forgotten_topics_data
    fetched, answer = broker.answer(paused)
    session.answered(answer)
    assert {A: 1, B: 2} == fetched
    assert {C: 3} == _named(session.next_fetch(whole_fetch({A: 1, B: 2, C: 3})))


def test_all_else_that_the_consumer_asks_for_is_in_the_request(session: FetchSession) -> None:
    struct = session.next_fetch(whole_fetch({A: 1})).build(FetchRequest_v11)
    assert (50, 1, 1_000, 1) == (struct.max_wait_time, struct.min_bytes, struct.max_bytes, struct.isolation_level)


def test_a_fetch_without_an_answer_is_followed_by_one_that_ends_the_session_and_begins_another(
    session: FetchSession, broker: SessionBroker
) -> None:
    session.next_fetch(whole_fetch({A: 2, B: 2, C: 3}))
    again = session.next_fetch(whole_fetch({A: 2, B: 2, C: 3}))
    assert {A: 2, B: 2, C: 3} == _named(again)
    assert (101, 0) == _session(again)
    broker.answer(again)
    assert {102} == broker.sessions.keys()


def test_a_broker_that_forgot_the_session_is_asked_for_a_new_one(session: FetchSession, broker: SessionBroker) -> None:
    broker.sessions.clear()
    fetched, answer = broker.answer(session.next_fetch(whole_fetch({A: 1, B: 2, C: 3})))
    assert {} == fetched
    session.answered(answer)
    again = session.next_fetch(whole_fetch({A: 1, B: 2, C: 3}))
    assert {A: 1, B: 2, C: 3} == _named(again)
    assert (0, 0) == _session(again)


def test_a_broker_that_is_at_another_fetch_of_the_session_is_asked_for_a_new_one_instead(
    session: FetchSession, broker: SessionBroker
) -> None:
    broker.sessions[101] = (5, {})
    session.answered(broker.answer(session.next_fetch(whole_fetch({A: 1, B: 2, C: 3})))[1])
    again = session.next_fetch(whole_fetch({A: 1, B: 2, C: 3}))
    assert {A: 1, B: 2, C: 3} == _named(again)
    assert (101, 0) == _session(again)


def test_after_the_last_epoch_the_session_goes_on_with_the_first(session: FetchSession, broker: SessionBroker) -> None:
    session._epoch = 2**31 - 1
    broker.sessions[101] = (2**31 - 1, {A: 1, B: 2, C: 3})
    session.answered(broker.answer(session.next_fetch(whole_fetch({A: 1, B: 2, C: 3})))[1])
    fetch = session.next_fetch(whole_fetch({A: 1, B: 2, C: 4}))
    assert (101, 1) == _session(fetch)
    assert {A: 1, B: 2, C: 4} == broker.answer(fetch)[0]


def test_a_broker_without_room_for_a_session_is_told_everything_each_time() -> None:
    session, broker = FetchSession(), SessionBroker(has_room=False)
    for _ in range(2):
        fetch = session.next_fetch(whole_fetch({A: 1, B: 2}))
        assert {A: 1, B: 2} == _named(fetch)
        assert (0, 0) == _session(fetch)
        session.answered(broker.answer(fetch)[1])


def test_a_broker_from_before_there_were_sessions_is_told_everything_each_time() -> None:
    session = FetchSession()
    for _ in range(2):
        fetch = session.next_fetch(whole_fetch({A: 1, B: 2}))
        assert [("ticks", [(0, 1, 100), (1, 2, 100)])] == fetch.build(FetchRequest_v4).topics
        session.answered(FetchResponse_v4(throttle_time_ms=0, topics=[]))


def test_the_first_version_with_sessions_has_them(session: FetchSession) -> None:
    struct = session.next_fetch(whole_fetch({A: 1, B: 7, C: 3})).build(FetchRequest_v7)
    assert (101, 1) == (struct.session_id, struct.session_epoch)
    assert [("ticks", [(1, 7, -1, 100)])] == struct.topics
