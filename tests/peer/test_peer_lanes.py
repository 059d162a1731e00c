"""The queue to one peer: bounded, urgent first, large messages in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leto.peer.frames import CHECKSUM, FRAGMENT_BYTES, Assembler, FrameReader, Kind, Lane
from leto.peer.lanes import URGENT_BYTES, Lanes


class Receiver:
    """What the other side makes of the bytes."""

    def __init__(self):
        self.reader = FrameReader()
        self.reader.open(CHECKSUM)
        self.assembler = Assembler()
        self.got = []

    def take(self, data):
        for kind, body in self.reader.feed(data):
            if kind == Kind.FIRST:
                self.assembler.first(body)
            elif kind == Kind.MORE:
                whole = self.assembler.more(body)
                if whole:
                    self.got.append((whole[0], bytes(whole[1])))
            else:
                self.got.append((kind, body))


def test_urgent_messages_pass_between_the_fragments_of_a_large_one():
    lanes, receiver = Lanes(1 << 30), Receiver()
    large = b"x" * (10 * FRAGMENT_BYTES + 17)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, large)
    assert lanes.holds_large(Lane.APPENDS)
    receiver.take(lanes.take(FRAGMENT_BYTES))
    lanes.put(Lane.URGENT, Kind.MESSAGE, b"vote")
    receiver.take(lanes.take(FRAGMENT_BYTES))
    assert receiver.got == [(Kind.MESSAGE, b"vote")]
    while lanes:
        receiver.take(lanes.take(FRAGMENT_BYTES))
    assert receiver.got[1:] == [(Kind.MESSAGE, large)]
    assert not lanes.holds_large(Lane.APPENDS)
    assert lanes.size == 0


def test_one_take_is_about_as_large_as_asked_for():
    lanes = Lanes(1 << 30)
    lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * (5 * FRAGMENT_BYTES))
    for _ in range(5):
        assert FRAGMENT_BYTES < len(lanes.take(FRAGMENT_BYTES)) < FRAGMENT_BYTES + 100
    assert not lanes


def test_appends_and_requests_take_turns():
    lanes, receiver = Lanes(1 << 30), Receiver()
    for number in range(3):
        lanes.put(Lane.APPENDS, Kind.MESSAGE, b"append %d" % number)
        lanes.put(Lane.REQUESTS, Kind.REQUEST, b"request %d" % number)
    receiver.take(lanes.take(1000))
    assert [kind for kind, _ in receiver.got] == [Kind.MESSAGE, Kind.REQUEST] * 3


def test_what_does_not_fit_is_dropped_and_counted():
    lanes = Lanes(1000)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 500)
    assert not lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 500)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 300)
    assert lanes.put(Lane.REQUESTS, Kind.REQUEST, b"x" * 900), "lanes do not crowd each other out"
    assert lanes.dropped == 1
    lanes.take(10_000)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 500)


def test_a_message_larger_than_the_bound_goes_alone():
    lanes = Lanes(1000)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 100_000)
    assert not lanes.put(Lane.APPENDS, Kind.MESSAGE, b"y")


def test_empty_messages_are_bounded_too():
    lanes = Lanes(1 << 30)
    count = 0
    while lanes.put(Lane.URGENT, Kind.PING, b""):
        count += 1
    assert count <= URGENT_BYTES // 64


def test_the_urgent_lane_takes_no_large_message():
    with pytest.raises(ValueError, match="too large"):
        Lanes(1 << 30).put(Lane.URGENT, Kind.MESSAGE, b"x" * (FRAGMENT_BYTES + 1))


bodies = st.one_of(
    st.binary(max_size=50), st.integers(FRAGMENT_BYTES - 2, 2 * FRAGMENT_BYTES + 2).map(lambda n: b"z" * n)
)
puts = st.lists(st.tuples(st.sampled_from([Lane.APPENDS, Lane.REQUESTS]), bodies), max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(puts, st.none()), max_size=6), st.integers(1, 3 * FRAGMENT_BYTES))
def test_each_lane_keeps_its_order_whatever_is_mixed(rounds, budget):
    lanes, receiver, sent = Lanes(1 << 30), Receiver(), {Lane.APPENDS: [], Lane.REQUESTS: []}
    kinds = {Lane.APPENDS: Kind.MESSAGE, Lane.REQUESTS: Kind.REQUEST}
    for step in rounds:
        if step is None:
            receiver.take(lanes.take(budget))
        else:
            for lane, body in step:
                assert lanes.put(lane, kinds[lane], body)
                sent[lane].append(body)
    while lanes:
        receiver.take(lanes.take(budget))
    for lane, kind in kinds.items():
        assert [body for got, body in receiver.got if got == kind] == sent[lane]
    assert lanes.size == 0


def test_a_large_message_is_taken_behind_small_ones_but_not_behind_too_much():
    """An append of 100 MB is often put right behind another client's small one: lost, it would come 12 s later."""
    lanes = Lanes(1 << 20)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * 100)
    assert lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * (5 << 20))
    assert not lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x" * (5 << 20))
    assert not lanes.put(Lane.APPENDS, Kind.MESSAGE, b"x")
    assert lanes.dropped == 2
