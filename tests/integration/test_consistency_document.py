"""What docs/consistency.md says of single replies and commands, tried on real nodes."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from tests.integration.cluster import Cluster, Node, wait_for


def error_of(node: Node, *words: str) -> str:
    """The error reply to one command."""
    with pytest.raises(redis.ResponseError) as raised:
        node.client(timeout=30.0).execute_command(*words)
    return str(raised.value)


def test_a_pause_holds_one_node_back_and_keys_expire_meanwhile(cluster: Cluster) -> None:
    leader, follower = cluster.leader, cluster.followers[0]
    leader.client().set("volatile", "x", px=300)
    leader.client().set("lasting", "x")
    leader.client().execute_command("CLIENT", "PAUSE", "1500", "ALL")
    paused_at = time.monotonic()
    held = threading.Thread(target=leader.client().set, args=("held", "x"))
    held.start()
    assert follower.client().get("lasting") == b"x"
    wait_for(lambda: follower.client().exists("volatile") == 0, "the key expires")
    wait_for(lambda: follower.client().dbsize() == 1, "and is deleted through the log, the leader paused or not")
    assert time.monotonic() - paused_at < 1.5, "the pause was over: this machine is too slow to tell"
    assert follower.client().exists("held") == 0
    held.join(20.0)
    assert time.monotonic() - paused_at >= 1.4
    assert follower.client().get("held") == b"x"


def test_wait_counts_and_does_not_wait(cluster: Cluster) -> None:
    client = cluster.leader.client()
    client.set("a", "b")
    assert 1 <= client.wait(5, 0) <= 2  # of three nodes; a timeout of 0 would be for ever in Redis


def test_arguments_are_judged_before_leadership_and_a_refusal_changes_nothing(cluster: Cluster) -> None:
    leader, follower = cluster.leader, cluster.followers[0]
    assert "wrong number of arguments" in error_of(follower, "SET", "a")
    assert error_of(follower, "SET", "refused", "x") == "not leader"
    leader.client().set("text", "abc")
    assert "not an integer" in error_of(leader, "INCR", "text")
    assert "syntax error" in error_of(leader, "SET", "text", "y", "NX", "XX")
    for node in cluster:
        assert node.client().mget("text", "refused") == [b"abc", None]
    cluster.wait_same_state()


def test_a_transaction_refused_at_a_follower_leaves_no_part_of_itself(cluster: Cluster) -> None:
    follower = cluster.followers[0]
    with follower.client().pipeline(transaction=True) as pipe:
        pipe.set("part1", "x")
        pipe.get("part1")
        pipe.set("part2", "x")
        with pytest.raises(redis.ResponseError, match="^not leader$"):
            pipe.execute()
    assert cluster.leader.client().exists("part1", "part2") == 0


def test_a_failed_command_in_a_transaction_leaves_the_others_done(cluster: Cluster) -> None:
    client = cluster.leader.client()
    client.set("text", "abc")
    with client.pipeline(transaction=True) as pipe:
        pipe.set("before", "1")
        pipe.incr("text")
        pipe.set("after", "1")
        first, second, third = pipe.execute(raise_on_error=False)
    assert (first, third) == (True, True)
    assert "not an integer" in str(second)
    assert cluster.followers[0].client().mget("before", "text", "after") == [b"1", b"abc", b"1"]


def test_without_a_quorum_only_local_reads_are_answered(cluster: Cluster) -> None:
    leader = cluster.leader
    lonely, other = cluster.followers
    leader.client().set("seen", "x")
    assert lonely.client().get("seen") == b"x"
    client = lonely.client(timeout=30.0)
    client.get("seen")
    leader.pause()
    other.pause()
    try:
        assert error_of(lonely, "GET", "seen").startswith("NOQUORUM")
        client.execute_command("READONLY")
        assert client.get("seen") == b"x"
        client.execute_command("READWRITE")
        with pytest.raises(redis.ResponseError, match="^NOQUORUM"):
            client.get("seen")
        with pytest.raises(redis.ResponseError, match="^NOQUORUM"):
            client.execute_command("WATCH", "seen")
        assert error_of(lonely, "SET", "seen", "y") == "not leader"
    finally:
        leader.resume()
        other.resume()
    cluster.wait_settled()
    client.execute_command("MULTI")
    client.execute_command("GET", "seen")
    assert client.execute_command("EXEC") is None  # for its WATCH failed, and it cannot know what changed
    assert lonely.client().get("seen") == b"x"


def test_a_scan_returns_what_is_there_all_the_time(cluster: Cluster) -> None:
    client, writer = cluster.followers[0].client(), cluster.leader.client()
    lasting = {b"lasting:%d" % number for number in range(2000)}
    writer.mset(dict.fromkeys(lasting, "x"))
    cursor, found = client.scan(0, count=100)
    rounds = 0
    while cursor:
        with writer.pipeline(transaction=False) as pipe:
            for number in range(50):
                pipe.set(f"fleeting:{rounds}:{number}", "x")
                pipe.delete(f"fleeting:{rounds - 1}:{number}")
            pipe.execute()
        rounds += 1
        cursor, page = client.scan(cursor, count=100)
        found += page
    assert rounds > 10
    assert lasting <= set(found)


@pytest.fixture(autouse=True)
def empty(cluster: Cluster) -> None:
    """Each test begins with no keys."""
    cluster.leader.client().flushall()
