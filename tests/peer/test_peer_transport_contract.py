"""What every Transport does: one suite for the one over TCP and its twin in memory."""

from __future__ import annotations

import pytest
import pytest_twisted

from leto.raft.configuration import Configuration
from leto.raft.messages import AppendEntries, Entry, InstallSnapshot, RequestVote, SnapshotMeta, TimeoutNow
from tests.peer.peer_fixtures import MemoryWorld, TcpWorld

pytestmark = pytest.mark.usefixtures("lines")


@pytest_twisted.async_yield_fixture(params=["memory", "tcp", "tcp with a secret"])
async def world(request):
    if request.param == "memory":
        world = MemoryWorld()
    else:
        world = TcpWorld(secret=b"s3cret" if "secret" in request.param else None)
    yield world
    await world.stop()


def vote(sender, to, term=1):
    return RequestVote(sender, to, term, 0, 0)


async def pair(world, **options):
    a, b = world.node("a", **options), world.node("b", **options)
    a.transport.set_peers({"b": b.address})
    b.transport.set_peers({"a": a.address})
    await world.until(lambda: a.transport.is_connected("b") and b.transport.is_connected("a"), "connections both ways")
    return a, b


@pytest_twisted.ensureDeferred
async def test_connections_come_up_both_ways_and_are_announced_once(world):
    a, b = await pair(world)
    await world.settle()
    assert a.listener.events == [("up", "b")]
    assert b.listener.events == [("up", "a")]
    assert a.transport.incoming() == {"b"}
    assert (a.transport.reached_at("b"), a.transport.reached_at("nobody")) == (b.address, "")


@pytest_twisted.ensureDeferred
async def test_messages_arrive_whole_and_in_order(world):
    a, b = await pair(world)
    sent = [
        AppendEntries("a", "b", 3, n, 2, n, (Entry(n + 1, 3, 1, bytes([n]) * n),), n, bool(n % 2), 10**12)
        for n in range(1, 50)
    ]
    a.transport.send(sent[:20])
    a.transport.send(iter(sent[20:]))
    await world.until(lambda: len(b.listener.messages) == len(sent), "all messages")
    assert b.listener.messages == sent


@pytest_twisted.ensureDeferred
async def test_each_message_goes_to_its_own_addressee(world):
    a, b = await pair(world)
    c = world.node("c")
    a.transport.set_peers({"b": b.address, "c": c.address})
    await world.until(lambda: a.transport.is_connected("c"))
    a.transport.send([vote("a", "b", 1), vote("a", "c", 2), vote("a", "b", 3), TimeoutNow("a", "c", 4)])
    await world.until(lambda: len(b.listener.messages) == 2 and len(c.listener.messages) == 2)
    assert [m.term for m in b.listener.messages] == [1, 3]
    assert sorted(m.term for m in c.listener.messages) == [2, 4]


@pytest_twisted.ensureDeferred
async def test_what_is_sent_to_an_absent_peer_is_dropped(world):
    a = world.node("a")
    a.transport.send([vote("a", "nobody")])
    assert not a.transport.is_connected("nobody")
    with pytest.raises(ConnectionError):
        await world.result(a.transport.request("nobody", b"x", 1.0))


@pytest_twisted.ensureDeferred
async def test_a_request_is_answered_by_whom_it_was_sent_to(world):
    a, b = await pair(world)
    answers = [a.transport.request("b", b"hello %d" % n, 5.0) for n in range(10)]
    assert [await world.result(answer) for answer in answers] == [b"%d olleh" % n for n in range(10)]
    assert b.listener.requests == [("a", b"hello %d" % n) for n in range(10)]


@pytest_twisted.ensureDeferred
async def test_a_request_that_fails_there_tells_why(world):
    a, _ = await pair(world)
    with pytest.raises(ConnectionError, match="no, thank you"):
        await world.result(a.transport.request("b", b"fail", 5.0))


@pytest_twisted.ensureDeferred
async def test_a_request_without_an_answer_times_out_and_is_not_sent_again(world):
    a, b = await pair(world)
    with pytest.raises(TimeoutError):
        await world.result(a.transport.request("b", b"never", 0.05))
    await world.settle()
    assert len(b.listener.requests) == 1


@pytest_twisted.ensureDeferred
async def test_outstanding_requests_are_bounded(world):
    a, _ = await pair(world)
    waiting = [a.transport.request("b", b"never", 60.0) for _ in range(1024)]
    with pytest.raises(ConnectionError, match="1024 requests"):
        await world.result(a.transport.request("b", b"one too many", 1.0))
    for answer in waiting:
        answer.addErrback(lambda failure: failure.trap(Exception) and None)
        answer.cancel()
    assert await world.result(a.transport.request("b", b"abc", 5.0)) == b"cba"


@pytest_twisted.ensureDeferred
async def test_a_stopped_peer_is_noticed_at_once_and_its_requests_fail(world):
    a, b = await pair(world)
    answer = a.transport.request("b", b"never", 60.0)
    b.transport.stop()
    with pytest.raises(ConnectionError):
        await world.result(answer)
    await world.until(lambda: ("down", "b") in a.listener.events, "the loss")
    assert not a.transport.is_connected("b")


@pytest_twisted.ensureDeferred
async def test_a_peer_that_comes_back_is_connected_again(world):
    a, b = await pair(world)
    b.transport.stop()
    await world.until(lambda: not a.transport.is_connected("b"))
    again = world.node("b", address=b.address)
    again.transport.set_peers({"a": a.address})
    await world.until(lambda: a.transport.is_connected("b"), "the reconnection")
    a.transport.send([vote("a", "b", 9)])
    await world.until(lambda: again.listener.messages == [vote("a", "b", 9)])


@pytest_twisted.ensureDeferred
async def test_a_peer_left_out_is_disconnected(world):
    members = {"a", "b"}
    a, b = await pair(world, members=members)
    a.listener.members = {"a"}
    a.listener.configuration_index = 5
    a.transport.set_peers({})
    await world.until(lambda: not a.transport.is_connected("b") and not a.transport.incoming(), "the farewell")
    await world.until(lambda: ("a", 5) in b.listener.removals, "b hears why")
    await world.settle()
    assert not a.transport.is_connected("b")


@pytest_twisted.ensureDeferred
async def test_an_unknown_node_is_refused_with_the_index_of_the_configuration(world):
    a = world.node("a", members={"a"}, index=17)
    stranger = world.node("x", index=3)
    stranger.transport.set_peers({"a": a.address})
    await world.until(lambda: stranger.listener.removals, "the refusal")
    assert stranger.listener.removals[0] == ("a", 17)
    assert not stranger.transport.is_connected("a")
    assert a.listener.events == []


@pytest_twisted.ensureDeferred
async def test_a_node_that_lags_admits_one_of_a_newer_configuration(world):
    behind = world.node("a", members={"a"}, index=3)
    leader = world.node("x", index=17)
    leader.transport.set_peers({"a": behind.address})
    await world.until(lambda: leader.transport.is_connected("a"), "the connection")
    behind.transport.set_peers({})
    await world.settle()
    assert leader.transport.is_connected("a")
    assert behind.transport.is_connected("x"), "it dialled back, to answer"


@pytest_twisted.ensureDeferred
async def test_a_joiner_dials_back_whoever_dialled_it(world):
    joiner = world.node("j", index=0)
    leader = world.node("l", index=4, client_address="127.0.0.1:7777")
    leader.transport.set_peers({"j": joiner.address})
    await world.until(lambda: joiner.transport.is_connected("l"), "the way back")
    joiner.transport.send([vote("j", "l")])
    await world.until(lambda: leader.listener.messages == [vote("j", "l")])
    assert joiner.transport.client_address("l") == "127.0.0.1:7777"


@pytest_twisted.ensureDeferred
async def test_the_way_back_ends_with_the_peer(world):
    joiner = world.node("j", index=0)
    leader = world.node("l", index=4)
    leader.transport.set_peers({"j": joiner.address})
    await world.until(lambda: joiner.transport.is_connected("l"))
    leader.transport.stop()
    await world.until(lambda: not joiner.transport.is_connected("l"))
    await world.until(lambda: ("down", "l") in joiner.listener.events, "the news")


@pytest_twisted.ensureDeferred
async def test_an_address_without_a_host_waits_for_the_peer_to_call(world):
    a, b = world.node("a"), world.node("b")
    port = a.address.rpartition(":")[2]
    b.transport.set_peers({"a": f":{port}"})
    await world.settle()
    assert not b.transport.is_connected("a")
    a.transport.set_peers({"b": b.address})
    await world.until(lambda: b.transport.is_connected("a"), "the learned way back")


@pytest_twisted.ensureDeferred
async def test_another_cluster_and_another_id_are_never_connected(world):
    a = world.node("a", cluster="d" * 32)
    b = world.node("b")
    b.transport.set_peers({"a": a.address, "c": a.address})
    await world.settle()
    assert not b.transport.is_connected("a")
    assert not b.transport.is_connected("c")
    assert a.listener.events == b.listener.events == []
    assert a.transport.incoming() == frozenset()


@pytest_twisted.ensureDeferred
async def test_the_client_address_is_known_from_either_connection(world):
    a = world.node("a", client_address="10.0.0.1:5379")
    b = world.node("b", client_address="10.0.0.2:5379")
    a.transport.set_peers({"b": b.address})
    await world.until(lambda: b.transport.is_connected("a") and a.transport.is_connected("b"))
    assert a.transport.client_address("b") == "10.0.0.2:5379"
    assert b.transport.client_address("a") == "10.0.0.1:5379"
    assert a.transport.client_address("zz") == ""


@pytest_twisted.ensureDeferred
async def test_a_snapshot_is_no_message(world):
    a, b = await pair(world)
    message = InstallSnapshot("a", "b", 1, SnapshotMeta(1, 1, Configuration()))
    with pytest.raises(ValueError, match="streamed|streams"):
        a.transport.send([message])
    await world.settle()
    assert b.listener.messages == []


@pytest_twisted.ensureDeferred
async def test_starting_again_and_stopping_again_change_nothing(world):
    a, b = await pair(world)
    a.transport.start(a.listener)
    await world.settle()
    assert a.listener.events == [("up", "b")]
    await world.result(a.transport.stop())
    await world.result(a.transport.stop())
    assert a.listener.events == [("up", "b")], "a node that stops is told nothing more"
    await world.until(lambda: ("down", "a") in b.listener.events)


@pytest_twisted.ensureDeferred
async def test_a_node_is_met_at_its_address_by_its_id_and_directory(world):
    a, b = world.node("a"), world.node("b", incarnation="xyz")
    await world.result(a.transport.meet("b", b.address, "xyz", 5.0))
    await world.result(a.transport.meet("b", b.address, None, 5.0))
    assert not a.listener.events and not b.listener.events and not b.transport.incoming(), "nothing else is said"
    for name, incarnation, words in [
        ("c", "xyz", "'[bc]'"),
        ("b", "other", "another data directory"),
        ("b", "", "anoth"),
    ]:
        with pytest.raises(ConnectionError, match=words):
            await world.result(a.transport.meet(name, b.address, incarnation, 5.0))


@pytest_twisted.ensureDeferred
async def test_a_node_of_another_cluster_or_none_is_not_met(world):
    a, b = world.node("a"), world.node("b", cluster="d" * 32)
    with pytest.raises(ConnectionError, match="cluster d"):
        await world.result(a.transport.meet("b", b.address, None, 5.0))
    b.transport.stop()
    with pytest.raises(ConnectionError, match="nobody listens there"):
        await world.result(a.transport.meet("b", b.address, None, 5.0))


@pytest_twisted.ensureDeferred
async def test_who_gives_up_a_meeting_is_told_that_nobody_answered(world):
    a, b = world.node("a"), world.node("b")
    meeting = a.transport.meet("b", b.address, None, 5.0)
    meeting.cancel()
    with pytest.raises(TimeoutError, match="no answer"):
        await world.result(meeting)


@pytest_twisted.ensureDeferred
async def test_being_met_leaves_the_connections_between_members_alone(world):
    a, b = await pair(world)
    incoming, events = b.transport.incoming(), list(b.listener.events)
    await world.result(a.transport.meet("b", b.address, "", 5.0))
    await world.settle()
    assert (b.transport.incoming(), b.listener.events) == (incoming, events)
    assert a.transport.is_connected("b")


@pytest_twisted.ensureDeferred
async def test_a_node_that_is_in_no_cluster_yet_can_be_met_and_nothing_else(world):
    a, b = world.node("a"), world.node("b", starts=False)
    a.transport.set_peers({"b": b.address})
    await world.result(a.transport.meet("b", b.address, "", 5.0))
    await world.settle()
    assert not a.transport.is_connected("b")
