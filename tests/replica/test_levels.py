"""Members of different versions: nothing is appended that one of them does not understand, nothing is passed over."""

import pytest

from leto.errors import NotLeader, UnknownEntry
from leto.keyspace import batch
from leto.keyspace.machine import understood
from leto.peer import requests
from leto.peer.requests import Forward, ForwardInTerm
from leto.replica import forwarding
from leto.vocabulary.registry import KEYSPACE, Registry
from leto.vocabulary.replies import OK, SYNTAX_ERROR
from tests.replica.cluster import Cluster, Node, Outcome, packed
from tests.vocabulary.earlier import EARLIER, LEVEL

BEFORE = understood(EARLIER)
NEWER = Registry(KEYSPACE)
FACTS = {"group": "generic", "since": "9.0.0", "summary": "A toy of a later version"}


@NEWER.add("TOY", -2, "write fast", keys=(1, 1, 1), level=LEVEL, **FACTS)
def toy(db, argv):
    db.store(argv[1], b"toy")
    return OK


@NEWER.add("TOYS", -2, "write fast", keys=(1, 1, 1), **FACTS)
def toys(db, argv):
    """A command that all know, and its later version takes a word more."""
    if len(argv) > 2 and db.level < LEVEL:
        return SYNTAX_ERROR
    db.store(argv[1], b"".join(argv[1:]))
    return OK


def upgrade(node: Node) -> None:
    node.commands = NEWER


def restart(node: Node) -> None:
    node.crash()
    node.start()


def mixed(**options) -> Cluster:
    """Three of the earlier version, of which all but id3 were replaced by the later one, one after another."""
    cluster = Cluster(3, commands=EARLIER, **options)
    for name in ("id1", "id2"):
        upgrade(cluster.nodes[name])
        restart(cluster.nodes[name])
        cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
        cluster.settle()
    cluster.advance(2.0)
    return cluster


def leading(cluster: Cluster, name: str) -> Node:
    """Have that node lead."""
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    if cluster.leader.name != name:
        done = Outcome(cluster.leader.replica.transfer(name))
        cluster.until(lambda: done.done)
        assert done.error is None
    cluster.until(lambda: cluster.nodes[name].replica.is_leader)
    cluster.settle()
    return cluster.nodes[name]


def levels(cluster: Cluster) -> set[int]:
    return {node.replica.machine.level for node in cluster.running}


def forwarded(cluster: Cluster, payload: bytes) -> requests.ForwardReply:
    leader = cluster.leader
    answer = Outcome(leader.replica.listener.peer_request("id3", requests.encode(Forward(payload, 1))))
    cluster.until(lambda: answer.done)
    assert answer.error is None
    return requests.decode_answer(answer.value)


@pytest.fixture(autouse=True)
def newer_leaders(monkeypatch):
    """What a leader of the later version lets through; the machine of each node knows what it knows."""
    monkeypatch.setattr(forwarding, "KEYSPACE", NEWER)


def test_this_versions_level_is_the_highest_of_its_commands_and_formats():
    assert understood() == max([*KEYSPACE.levels(), *batch.LEVELS.values()])
    assert understood(NEWER) == LEVEL


def test_a_mixed_cluster_stays_at_the_level_of_its_oldest_member():
    cluster = mixed()
    leader = leading(cluster, "id1")
    assert levels(cluster) == {BEFORE}
    last = leader.replica.node.last_index
    reply = forwarded(cluster, packed("TOY", "a"))
    assert reply.error == requests.Outcome.REFUSED
    assert reply.reason == (
        f"the command 'toy' is understood from level {LEVEL} on, and this cluster is at level {BEFORE}: "
        "each member must run a version that knows it"
    )
    assert leader.replica.node.last_index == last
    cluster.do("SET", "a", "b")
    cluster.assert_equal_state()


def test_once_the_last_member_is_replaced_the_level_rises_and_the_command_works_everywhere():
    cluster = mixed()
    upgrade(cluster.nodes["id3"])
    restart(cluster.nodes["id3"])
    cluster.until(lambda: levels(cluster) == {LEVEL})
    assert forwarded(cluster, packed("TOY", "a")).error == requests.Outcome.DONE
    cluster.assert_equal_state()
    assert {node.replica.machine.query([b"GET", b"a"], 0) for node in cluster.running} == {b"toy"}
    for node in cluster.running:
        status = node.replica.status()
        assert (status.level, status.cluster_level) == (LEVEL, LEVEL)
        assert {member.level for member in status.members} == {LEVEL}


def test_a_member_that_is_not_heard_of_holds_the_level():
    cluster = mixed()
    upgrade(cluster.nodes["id3"])
    cluster.nodes["id3"].crash()
    leader = leading(cluster, "id1")
    cluster.advance(5.0)
    assert leader.replica.machine.level == BEFORE
    cluster.nodes["id3"].start()
    cluster.until(lambda: levels(cluster) == {LEVEL})


def test_the_level_survives_restarts_and_snapshots():
    cluster = mixed()
    upgrade(cluster.nodes["id3"])
    restart(cluster.nodes["id3"])
    cluster.until(lambda: levels(cluster) == {LEVEL})
    cluster.do("SET", "a", "b")
    for node in list(cluster.running):
        taken = Outcome(node.replica.snapshot())
        cluster.until(lambda taken=taken: taken.done)
        restart(node)
        assert node.replica.machine.level == LEVEL
        cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    late = cluster.add("id4")
    upgrade(late)
    cluster.join(late)
    cluster.settle()
    assert levels(cluster) == {LEVEL}


def raised() -> Cluster:
    cluster = mixed()
    upgrade(cluster.nodes["id3"])
    restart(cluster.nodes["id3"])
    cluster.until(lambda: levels(cluster) == {LEVEL})
    cluster.settle()
    return cluster


def test_an_older_version_does_not_start_on_a_log_of_a_higher_level():
    cluster = raised()
    node = cluster.nodes["id3"]
    node.crash()
    node.commands = EARLIER
    with pytest.raises(
        UnknownEntry, match=f"the cluster is at level {LEVEL} since entry .* understands level {BEFORE}"
    ):
        node.start()


def test_a_joining_node_of_a_lower_level_is_not_talked_to():
    cluster = raised()
    older = cluster.add("id4")
    older.incarnation = "i4"
    done = Outcome(cluster.leader.replica.add_member("id4", str(older.config.raftbind), voter=True, incarnation="i4"))
    cluster.until(lambda: done.done)
    older.start()
    cluster.advance(3.0)
    assert older.replica.node.last_index == 0
    assert older.transport.incoming() == frozenset()
    cluster.do("TOY", "a")
    assert not any(node.fatal for node in cluster.running)


def test_a_node_that_meets_a_command_it_does_not_know_stops_and_does_not_pass_over_it():
    """As it would be without the leader's check: an older version's leader, or a forged one."""
    cluster = mixed()
    leader = leading(cluster, "id1")
    leader.replica.write(packed("TOY", "a"), 1)  # past the check of forwarded writes, and of clients' commands
    cluster.until(lambda: cluster.nodes["id3"].fatal)
    [line] = cluster.nodes["id3"].fatal
    assert line.startswith("entry ") and "is of a later version" in line and "'TOY'" in line
    assert cluster.nodes["id3"].replica.machine.query([b"GET", b"a"], 0) is None


def test_what_a_known_command_learns_later_waits_for_the_level_too():
    cluster = mixed()
    for node in cluster.running:
        node.commands = NEWER
        node.replica.machine._commands = NEWER
    leading(cluster, "id1")
    assert cluster.leader.replica.machine.level == BEFORE
    assert cluster.do("TOYS", "a", "x") == SYNTAX_ERROR
    assert cluster.do("TOYS", "a") == OK
    restart(cluster.nodes["id3"])
    cluster.until(lambda: levels(cluster) == {LEVEL})
    assert cluster.do("TOYS", "a", "x") == OK
    cluster.assert_equal_state()


def test_a_level_is_never_lowered():
    cluster = raised()
    lowered = Outcome(
        cluster.leader.replica.membership.change(lambda known: type(known)(known.members, known.outgoing, BEFORE))
    )
    cluster.until(lambda: lowered.done)
    assert "never falls" in str(lowered.error)


def test_a_lone_newer_node_raises_its_level_by_itself():
    cluster = Cluster(1, commands=EARLIER)
    upgrade(cluster.nodes["id1"])
    restart(cluster.nodes["id1"])
    cluster.until(lambda: levels(cluster) == {LEVEL})


def upgraded() -> Cluster:
    """Three of the later version, at its level."""
    cluster = mixed(on_follower="proxy")
    upgrade(cluster.nodes["id3"])
    restart(cluster.nodes["id3"])
    cluster.until(lambda: levels(cluster) == {LEVEL})
    cluster.settle()
    return cluster


def test_a_forwarded_write_tells_its_term_to_members_that_know_of_it_alone(monkeypatch):
    cluster = mixed(on_follower="proxy")
    leading(cluster, "id1")
    monkeypatch.setattr(forwarding, "TERM_LEVEL", LEVEL)
    asked = []
    cluster.network.fate = lambda sender, to, what: asked.append((to, what)) or (0.0,)

    def sent() -> type:
        """What a follower's client's write was sent to the leader as."""
        del asked[:]
        cluster.do("SET", "a", "1", node=cluster.followers[0])
        (body,) = [what for to, what in asked if to == cluster.leader.name and isinstance(what, bytes)]
        return type(requests.decode_request(body))

    assert sent() is ForwardInTerm  # though the cluster is at the lower level
    leading(cluster, "id3")
    assert sent() is Forward


def test_a_write_that_was_forwarded_to_a_leader_of_an_earlier_term_is_not_appended_behind_later_ones():
    """It is on its way to a leader that loses an election and wins the next, and its client's next write overtakes it,
    by way of the leader in between."""
    cluster = upgraded()
    leading(cluster, "id1")
    follower = next(node for node in cluster.followers if node.name == "id3")

    def slow(sender, to, what):
        is_forward = isinstance(what, bytes) and (sender, to) == ("id3", "id1")
        return (3.0,) if is_forward and b"older" in what else (0.0,)

    cluster.network.fate, cluster.network.ordered = slow, False
    older = cluster.write("SET", "a", "older", node=follower)
    leading(cluster, "id2")
    cluster.do("SET", "a", "newer", node=follower)
    leading(cluster, "id1")
    assert cluster.nodes["id1"].replica.is_leader and not older.done
    cluster.until(lambda: older.done)
    assert isinstance(older.error, NotLeader)
    assert cluster.get(b"a") == b"newer"
    cluster.assert_equal_state()
