"""Whatever is asked for and whatever goes wrong: a broker fetches from where it was asked to, or nothing at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.fetch_sessions import FetchSession
from tests.support.session_broker import Asked, SessionBroker, whole_fetch

_asked = st.dictionaries(st.tuples(st.sampled_from(["ticks", "rows"]), st.integers(0, 2)), st.integers(0, 2))
_mishaps = st.sampled_from(["", "", "", "request lost", "answer lost", "broker restarted", "no room", "another's"])


@given(st.lists(st.tuples(_asked, _mishaps)))
def test_what_is_fetched_is_what_was_asked_for_and_a_mishap_costs_one_fetch(
    fetches: list[tuple[Asked, str]],
) -> None:
    session, broker = FetchSession(), SessionBroker()
    were_refused = 0
    for asked, mishap in fetches:
        broker.has_room = mishap != "no room"
        if mishap == "broker restarted":
            broker.sessions.clear()
        if mishap == "another's":
            broker.sessions = {id_: (epoch + 1, kept) for id_, (epoch, kept) in broker.sessions.items()}
        fetch = session.next_fetch(whole_fetch(asked))
        if mishap == "request lost":
            continue
        fetched, answer = broker.answer(fetch)
        were_refused = were_refused + 1 if answer.error_code else 0
        assert were_refused <= 1 or mishap in {"broker restarted", "another's"}
        assert fetched == ({} if answer.error_code else asked)
        if mishap != "answer lost":
            session.answered(answer)
