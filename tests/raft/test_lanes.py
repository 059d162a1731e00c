"""The core's lanes beside its general way: when each is entered, and that nobody can tell which way was gone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.errors import LetoError
from leto.raft import lanes, quorum
from leto.raft.configuration import with_member
from leto.raft.log import Log
from leto.raft.messages import AppendEntries, AppendEntriesReply, Entry, EntryKind
from leto.raft.persistence import Write, Writes
from leto.raft.progress import PROBE, SNAPSHOT, Progress
from leto.raft.state import ReadRound, Role, State
from tests.raft.network import member
from tests.raft.subject import Subject
from tests.simulation.lanes import LANES, taken

PLAIN = (State, Progress, Log, Writes, ReadRound)
TAKEN_FROM_OUTSIDE = {"random", "settings", "_reader"}


def dump(value: Any) -> Any:
    """All that it is, so that two can be compared."""
    if isinstance(value, PLAIN):
        return {name: dump(getattr(value, name)) for name in value.__slots__ if name not in TAKEN_FROM_OUTSIDE}
    if isinstance(value, Write):
        return msgspec.structs.astuple(value)
    if isinstance(value, dict):
        return [(key, dump(item)) for key, item in value.items()]
    return [dump(item) for item in value] if isinstance(value, list | tuple | deque) else value


def refuse_bad(payload: bytes) -> None:
    if payload == b"bad":
        raise ValueError("bad")


def subject(**options: Any) -> Subject:
    return Subject(**{"commit_notice": 0.01, "check_command": refuse_bad, "terms": (1, 1), "commit": 2, **options})


def follower(**options: Any) -> Subject:
    """Of b, which leads term 3."""
    made = subject(**options)
    made.receives(AppendEntries("b", "a", 3, 2, 1, 2, (Entry(3, 3, EntryKind.NOOP),), 1, False, 1_000))
    made.receives(AppendEntries("b", "a", 3, 3, 3, 3, (), 2, False, 1_001))
    return made


def leader(**options: Any) -> Subject:
    made = subject(**options).leads()
    made.waits(0.1)
    for voter in made._others():
        made.receives(made.acknowledgement(voter, round_=made.node._state.round))
    return made


# that both ways are one ------------------------------------------------------------------------------------------

SMALL = st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1])
SELDOM = st.sampled_from([False] * 9 + [True])


class Pair:
    """Two that are told the same: one takes every lane that it may, the other none."""

    def __init__(self, make: Callable[[], Subject]) -> None:
        with taken("none", 0):
            self.other = make()
        self.one = make()
        self.compare()

    def does(self, what: Callable[[Subject], object]) -> None:
        ends = []
        for each, mode in ((self.one, "all"), (self.other, "none")):
            with taken(mode, 0):
                try:
                    ends.append(repr(each.does(what, each)))
                except LetoError as error:
                    ends.append(repr(error))
                    each.settle()
        assert ends[0] == ends[1]
        self.compare()

    def compare(self) -> None:
        one, other = self.one, self.other
        assert dump(one.node._state) == dump(other.node._state)
        assert [msgspec.msgpack.encode(m) for m in one.sent] == [msgspec.msgpack.encode(m) for m in other.sent]
        assert (one.applied, one.reads, one.log) == (other.applied, other.reads, other.log)


def entries_after(draw: Any, index: int, term: int) -> tuple[Entry, ...]:
    found = []
    for _ in range(draw(st.integers(0, 3))):
        index += 1 + (draw(SMALL) if draw(SELDOM) else 0)
        kind = draw(st.sampled_from([1] * 12 + [0, 2, 9]))
        payload = draw(st.sampled_from([b"", b"x", b"y" * 50, b"y" * 50, b"bad"] if draw(SELDOM) else [b"x" * 20]))
        found.append(Entry(index, term - (1 if draw(SELDOM) else 0), kind, payload))
    return tuple(found)


def an_append(draw: Any, subject: Subject) -> AppendEntries:
    s = subject.node._state
    term = s.term + (draw(SMALL) if draw(SELDOM) else 0)
    prev_index = max(0, s.log.last_index + draw(SMALL))
    prev_term = (s.log.term_or_none(prev_index) or term) + (draw(SMALL) if draw(SELDOM) else 0)
    return AppendEntries(
        "c" if draw(SELDOM) else "b",
        "x" if draw(SELDOM) else "a",
        term,
        prev_index,
        prev_term,
        s.commit + draw(st.integers(-1, 3)),
        entries_after(draw, prev_index, term),
        draw(st.integers(0, 5)),
        draw(SELDOM),
        s.clock_ms + draw(st.integers(-2, 30)),
        draw(st.booleans()),
        draw(st.sampled_from([0] * 9 + [-1, 300])),
    )


def an_answer(draw: Any, subject: Subject) -> AppendEntriesReply:
    s = subject.node._state
    return AppendEntriesReply(
        draw(st.sampled_from(["b", "b", "c", "c", "d", "z"])),
        "x" if draw(SELDOM) else "a",
        s.term + (draw(SMALL) if draw(SELDOM) else 0),
        not draw(SELDOM),
        max(0, s.log.last_index - draw(st.sampled_from([0, 0, 0, 1, 2, 5, -1]))),
        max(0, s.log.last_index - draw(st.integers(0, 3))),
        draw(SMALL),
        0,
        max(0, s.round - draw(st.sampled_from([0, 0, 0, 1, 2, -1]))),
        500 if draw(SELDOM) else 0,
        draw(st.sampled_from([0, 100_000, 1 << 63] if draw(SELDOM) else [100_000])),
    )


def an_input(draw: Any, made: Subject) -> Callable[[Subject], object]:
    now = made.now + draw(st.sampled_from([0.0, 0.0, 0.001, 0.02])) - (0.5 if draw(SELDOM) else 0.0)
    leads = made.node.role is Role.LEADER
    message: Any = an_answer(draw, made) if leads else an_append(draw, made)
    common: list[Callable[[Subject], object]] = [
        lambda subject: subject.node.step(message, now),
        lambda subject: subject.node.step(message, now),
        lambda subject: subject.node.step(message, now),
        lambda subject: subject._sync(),
        lambda subject: setattr(subject, "now", subject.now + 0.01),
    ]
    seldom: list[Callable[[Subject], object]] = [
        lambda subject: setattr(subject, "syncing", not subject.syncing),
        lambda subject: subject.node.read(7, now),
        lambda subject: subject.node.tick(now + 0.1),
        lambda subject: subject.node.leader_lost(now),
    ]
    leaders: list[Callable[[Subject], object]] = [
        lambda subject: subject.node.propose(b"x" * 20, now),
        lambda subject: subject.node.propose(b"x" * 20, now),
        lambda subject: subject.node.propose(b"x" * 20, now),
    ]
    leaders_seldom: list[Callable[[Subject], object]] = [
        lambda subject: subject.node.peer_unreachable("b"),
        lambda subject: subject.node.transfer("b", now),
        lambda subject: subject.node.propose_configuration(
            with_member(subject.node.configuration, member("d", voter=False, joining=True)), now
        ),
        lambda subject: subject.node.campaign(now),
    ]
    if draw(SELDOM):
        return draw(st.sampled_from(seldom + (leaders_seldom if leads else [])))
    return draw(st.sampled_from(common + (leaders if leads else [])))


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "lease": st.booleans(),
        "max_append_bytes": st.sampled_from([1, 40, 1 << 20]),
        "max_inflight_appends": st.sampled_from([1, 2, 64]),
        "max_inflight_bytes": st.sampled_from([1, 50, 1 << 20]),
        "cache_bytes": st.sampled_from([0, 300, 1 << 20]),
        "commit_notice": st.sampled_from([0.0, 0.01]),
        "learners": st.sampled_from([(), ("d",)]),
        "voters": st.sampled_from([("a", "b", "c"), ("a", "b"), ("a", "b", "c", "d", "e")]),
    },
)


def go_both_ways(make: Callable[..., Subject], draw: Any, options: dict[str, Any]) -> None:
    if options.get("voters") == ("a", "b", "c", "d", "e"):
        options = options | {"learners": ()}
    pair = Pair(lambda: make(**options))
    for _ in range(draw(st.integers(1, 15))):
        pair.does(an_input(draw, pair.one))


@settings(max_examples=300, deadline=None)
@given(data=st.data(), options=OPTIONS)
def test_a_follower_leaves_behind_what_the_general_way_does(data: st.DataObject, options: dict[str, Any]) -> None:
    """State, Readys and messages, to the byte; also what a refused message leaves, and how it is refused."""
    go_both_ways(follower, data.draw, options)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), options=OPTIONS)
def test_a_leader_leaves_behind_what_the_general_way_does(data: st.DataObject, options: dict[str, Any]) -> None:
    """Likewise."""
    go_both_ways(leader, data.draw, options)


@given(
    matches=st.dictionaries(st.sampled_from("bcdefg"), st.integers(0, 9), min_size=1),
    own=st.integers(0, 9),
    votes=st.booleans(),
)
def test_the_lane_counts_the_quorum_that_is_agreed(matches: dict[str, int], own: int, votes: bool) -> None:
    """leto.raft.quorum.agreed is the rule."""
    made = leader().node._state
    made.progress = {id: Progress(1, 0.0) for id in matches}
    for id, match in matches.items():
        made.progress[id].match = match
    made.voters = (*matches, made.id) if votes else tuple(matches)
    made.log.persisted, made.commit, made.term_start = own, 0, 0
    committed: list[int] = []

    class Counted(State):
        __slots__ = ()

        def commit_to(self, index: int) -> None:
            committed.append(index)

    made.__class__ = Counted
    assert lanes.advance(made)
    agreed = quorum.agreed(made.voters, (), lambda id: own if id == made.id else matches[id])
    assert committed == ([agreed] if agreed else [])


# when they are entered ---------------------------------------------------------------------------------------------


@contextmanager
def unchanged(s: State) -> Iterator[None]:
    before = dump(s)
    yield
    assert dump(s) == before


def plain_append(s: State, **more: Any) -> AppendEntries:
    last = s.log.last_index
    entry = Entry(last + 1, s.term, 1, b"x")
    made = AppendEntries("b", "a", s.term, last, s.log.last_term, s.commit, (entry,), 2, False, s.clock_ms + 5)
    return msgspec.structs.replace(made, **more)


NOT_FOLLOWED: list[dict[str, Any]] = [
    {"term": 2},
    {"term": 4},
    {"sender": "c"},
    {"to": "x"},
    {"prev_index": 2},
    {"prev_index": 4},
    {"prev_term": 2},
    {"lease": True},
    {"lease_ms": 100},
    {"commit": -1},
    {"round": -1},
    {"clock_ms": 1 << 62},
    {"entries": (Entry(5, 3, 1, b"x"),)},
    {"entries": (Entry(4, 2, 1, b"x"),)},
    {"entries": (Entry(4, 3, 0, b""),)},
    {"entries": (Entry(4, 3, 2, b""),)},
    {"entries": (Entry(4, 3, 1, b"x"), Entry(5, 3, 1, b"bad"))},
]
NO_FOLLOWER: dict[str, Any] = {
    "role": Role.PRE_CANDIDATE,
    "leader_connected": False,
    "leader_id": "c",
    "now": 1e9,
    "settle_due": True,
    "removal_pending": True,
    "configuration_index": 100,
    "term_start": 100,
    "uncommitted_bytes": 1,
}


def test_a_follower_takes_the_lane_for_what_follows_its_log_and_for_heartbeats() -> None:
    made = follower()
    s = made.node._state
    assert lanes.follow(s, plain_append(s), made.now)
    assert lanes.follow(s, plain_append(s, entries=()), made.now)
    s.durable_term = 2
    assert lanes.follow(s, plain_append(s), made.now)
    with unchanged(s):
        assert not lanes.follow(s, plain_append(s, entries=()), made.now)


@pytest.mark.parametrize("difference", NOT_FOLLOWED, ids=str)
def test_a_follower_does_not_take_it_for_anything_else(difference: dict[str, Any]) -> None:
    made = follower()
    s = made.node._state
    with unchanged(s):
        assert not lanes.follow(s, plain_append(s, **difference), made.now)


@pytest.mark.parametrize("name", NO_FOLLOWER)
def test_a_follower_does_not_take_it_while_something_else_is_going_on(name: str) -> None:
    made = follower()
    s = made.node._state
    message = plain_append(s)
    setattr(s, name, NO_FOLLOWER[name])
    with unchanged(s):
        assert not lanes.follow(s, message, made.now)


def proposed(**options: Any) -> tuple[Subject, State]:
    made = leader(**options)
    made.node.propose(b"x" * 20, made.now)
    return made, made.node._state


def test_a_leader_takes_the_lane_to_all_its_followers() -> None:
    _, s = proposed(learners=("d",))
    s.broadcast = s.round_due = s.notices_due = True
    assert lanes.replicate(s)
    assert [m.to for m in s.messages] == ["b", "c", "d"] and not (s.send_due or s.broadcast or s.round_due)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: setattr(s, "sent_index", s.log.last_index),
        lambda s: setattr(s.log, "offset", s.log.last_index),
        lambda s: setattr(s.progress["c"], "state", PROBE),
        lambda s: setattr(s.progress["b"], "state", SNAPSHOT),
        lambda s: setattr(s.progress["b"], "next", s.log.last_index - 1),
        lambda s: setattr(s.progress["b"], "inflight_bytes", 1 << 30),
        lambda s: s.progress["b"].inflight.extend([(1, 1)] * 64),
        lambda s: s.append_own(1, b"x" * (1 << 20)),
    ],
)
def test_a_leader_does_not_take_it_where_one_follower_is_elsewhere(change: Callable[[State], Any]) -> None:
    _, s = proposed()
    change(s)
    with unchanged(s):
        assert not lanes.replicate(s)


@pytest.mark.parametrize("options", [{"lease": True}, {"max_append_bytes": 30}])
def test_a_leader_does_not_take_it_with_leases_or_for_several_appends(options: dict[str, Any]) -> None:
    made, s = proposed(**options)
    made.node.propose(b"x" * 20, made.now)
    with unchanged(s):
        assert not lanes.replicate(s)


NOT_ACKNOWLEDGED: list[dict[str, Any]] = [
    {"sender": "z"},
    {"to": "x"},
    {"term": 1},
    {"success": False},
    {"match_index": 100},
    {"match_index": -1},
    {"prev_index": 100},
    {"prev_index": -1},
    {"conflict_index": 1},
    {"conflict_term": 1},
    {"round": 100},
    {"round": -1},
    {"promised_ms": 1},
    {"wall_ms": -1},
    {"wall_ms": 1 << 62},
]
NO_LEADER: dict[str, Any] = {
    "role": Role.FOLLOWER,
    "now": 1e9,
    "transferring_to": "b",
    "outgoing": ("b",),
    "settle_due": True,
    "removal_pending": True,
    "configuration_index": 100,
    "term_start": 100,
}


def test_a_leader_takes_the_lane_for_answers() -> None:
    made, s = proposed()
    made.settle()
    commit = s.commit
    assert lanes.acknowledge(s, made.acknowledgement("b", round_=s.round), made.now) is True
    assert s.commit == commit + 1
    made.settle()
    assert lanes.acknowledge(s, made.acknowledgement("c", round_=s.round), made.now) is False


@pytest.mark.parametrize("difference", NOT_ACKNOWLEDGED, ids=str)
def test_a_leader_does_not_take_it_for_other_answers(difference: dict[str, Any]) -> None:
    made, s = proposed()
    made.settle()
    message = msgspec.structs.replace(made.acknowledgement("b", round_=s.round), **difference)
    with unchanged(s):
        assert lanes.acknowledge(s, message, made.now) is None


@pytest.mark.parametrize("name", NO_LEADER)
def test_a_leader_does_not_take_it_while_something_else_is_going_on(name: str) -> None:
    made, s = proposed()
    made.settle()
    setattr(s, name, NO_LEADER[name])
    with unchanged(s):
        assert lanes.acknowledge(s, made.acknowledgement("b", round_=s.round), made.now) is None


@pytest.mark.parametrize("name", ["state", "joining", "round_floor", "beat"])
def test_a_leader_does_not_take_it_for_a_follower_that_is_not_replicating_plainly(name: str) -> None:
    made, s = proposed()
    made.settle()
    s.round += 1
    s.beat = s.round
    changed = {"state": PROBE, "joining": True, "round_floor": 100, "beat": s.beat - 1}
    progress = s.progress["b"]
    progress.beat = s.beat
    setattr(progress, name, changed[name])
    with unchanged(s):
        assert lanes.acknowledge(s, made.acknowledgement("b", round_=s.round), made.now) is None


def test_every_lane_can_be_switched_off() -> None:
    """Or the simulation would go one way only."""
    made, s = proposed()
    before = {name: getattr(lanes, name) for name in LANES}
    with taken("none", 1):
        assert lanes.replicate(s) is False and lanes.advance(s) is False
        assert lanes.acknowledge(s, made.acknowledgement("b"), made.now) is None
        assert lanes.follow(s, plain_append(s), made.now) is False
    assert before == {name: getattr(lanes, name) for name in LANES}
