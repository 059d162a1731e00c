"""What no node can apply is not appended; a log that holds it from before is told, and can be got past."""

import msgspec
import pytest
from twisted.internet.defer import Deferred

from leto.errors import ProtocolError
from leto.keyspace import batch
from leto.peer import requests
from leto.peer.requests import Forward, Outcome, SnapshotOffer
from leto.raft import configuration
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import AppendEntries, Entry, EntryKind, InstallSnapshot, SnapshotMeta
from leto.vocabulary.replies import OK, Error
from tests.replica.cluster import Cluster, packed
from tests.replica.cluster import Outcome as Result

NOW = 1_700_000_000_000
GARBAGE = [
    (b"garbage", 1),
    (packed("SET", "a", "b"), 2),
    (packed("SET", "a", "b"), 1 << 33),
    (packed("SET", "a", "b")[:-4], 1),
    (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-1\r\n", 1),
    (b"*2147483647\r\n$3\r\nDEL\r\n", 1),
    (packed("NOSUCH"), 1),
    (packed("EXPIRED", "a"), 1),
    (packed("MULTI") + packed("SET", "a", "b"), 1),
]


def forward(cluster: Cluster, payload: bytes, count: int) -> requests.ForwardReply:
    """What the leader answers to a follower that forwards this."""
    leader, follower = cluster.leader, cluster.followers[0]
    answer = Result(leader.replica.listener.peer_request(follower.name, requests.encode(Forward(payload, count))))
    cluster.until(lambda: answer.done)
    assert answer.error is None
    reply = requests.decode_answer(answer.value)
    assert isinstance(reply, requests.ForwardReply)
    return reply


@pytest.mark.parametrize(("payload", "count"), GARBAGE)
def test_a_malformed_forwarded_write_is_refused_and_nothing_is_appended(payload, count):
    cluster = Cluster(3)
    last = cluster.leader.replica.node.last_index
    reply = forward(cluster, payload, count)
    assert reply.error == Outcome.REFUSED
    assert reply.reason
    assert cluster.leader.replica.node.last_index == last
    cluster.do("SET", "a", "c")
    cluster.assert_equal_state()


def test_a_forwarded_string_is_no_longer_than_a_clients():
    cluster = Cluster(3, max_bulk_bytes=1024)
    assert forward(cluster, packed("SET", "a", "x" * 1024), 1).error == Outcome.DONE
    assert forward(cluster, packed("SET", "a", "x" * 1025), 1).error == Outcome.REFUSED


def test_a_refused_forward_is_told_to_the_client_as_such():
    cluster = Cluster(3, on_follower="proxy")
    outcome = cluster.write("NOSUCH", node=cluster.followers[0])
    cluster.until(lambda: outcome.done)
    assert "unknown command 'NOSUCH'" in str(outcome.error)


def poisoned(cluster: Cluster, payload: bytes) -> int:
    """Have the leader append what an earlier version could be made to, and end by it; the index."""
    leader = cluster.leader.replica
    index = leader.node.propose(payload, cluster.clock.seconds())
    leader.driver.schedule()
    cluster.until(lambda: cluster.nodes[leader.config.id].fatal)
    return index


def test_a_log_that_holds_such_an_entry_ends_the_nodes_and_says_where_and_what_to_do():
    cluster = Cluster(3)
    index = poisoned(cluster, batch.encode(NOW, 1, b"garbage"))
    for _ in range(2):
        [line] = [line for node in cluster.nodes.values() for line in node.fatal[:1]]
        assert line.startswith(f"entry {index} of the log cannot be applied, by any node: ")
        assert f"--skip-entry {index} " in line
        restart(cluster)
        cluster.until(lambda: any(node.fatal for node in cluster.running))


def restart(cluster: Cluster, **options) -> None:
    for node in cluster.running:
        node.crash()
    for node in cluster.nodes.values():
        node.fatal.clear()
        for name, value in options.items():
            object.__setattr__(node.config, name, value)
        node.start()


def test_an_operator_gets_past_it_on_all_nodes_alike():
    cluster = Cluster(3)
    cluster.do("SET", "a", "1")
    index = poisoned(cluster, batch.encode(NOW, 3, packed("SET", "a", "2") + b"?"))
    restart(cluster, skip_entries=frozenset({index}))
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    assert cluster.get(b"a") == b"1"
    assert cluster.do("SET", "a", "3") == OK
    cluster.assert_equal_state()


def test_nothing_that_applies_is_skipped():
    cluster = Cluster(3)
    cluster.do("SET", "a", "1")
    restart(cluster, skip_entries=frozenset(range(1, 100)))
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    cluster.do("SET", "b", "2")
    assert (cluster.get(b"a"), cluster.get(b"b")) == (b"1", b"2")
    cluster.assert_equal_state()


def test_an_entry_of_a_later_version_is_never_skipped():
    cluster = Cluster(3)
    index = poisoned(cluster, batch.encode(NOW, 1, packed("NOSUCH", "a")))
    restart(cluster, skip_entries=frozenset({index}))
    cluster.until(lambda: any(node.fatal for node in cluster.running))
    [line] = [line for node in cluster.nodes.values() for line in node.fatal[:1]]
    assert line.startswith(f"entry {index} of the log is of a later version: ")
    assert "'NOSUCH'" in line


def members(**change):
    """The payload of a configuration with one member that is not as JOIN makes it."""
    odd = msgspec.structs.replace(Member("id1", "h:1", True), **change)
    return configuration.encode(Configuration((odd,)))


ODD_MEMBERS = [
    {"id": "x" * 256},
    {"id": "a\nb"},
    {"address": "nowhere"},
    {"client_address": "h:99999"},
    {"client_address": "h" * 300 + ":1"},
    {"incarnation": "i" * 256},
]


@pytest.mark.parametrize("change", ODD_MEMBERS)
def test_a_snapshot_of_impossible_members_is_not_begun(change):
    cluster = Cluster(3)
    leader, follower = cluster.leader.replica.node, cluster.followers[0]
    term = leader.term
    good = SnapshotMeta(leader.commit + 9, term, leader.configuration, 1)
    odd = msgspec.structs.replace(good, configuration=configuration.decode(members(**change)))
    for meta, in_term in ((odd, term), (good, term + (1 << 40)), (msgspec.structs.replace(good, term=term + 1), term)):
        offer = SnapshotOffer(InstallSnapshot(leader.id, follower.name, in_term, meta), 1 << 40, 7)
        answer = Result(follower.replica.listener.peer_request(leader.id, requests.encode(offer)))
        cluster.until(lambda answer=answer: answer.done)
        assert isinstance(answer.error, ProtocolError)
    assert follower.replica.upkeep.streams._receiver.receiving is None
    cluster.do("SET", "a", "b")
    cluster.assert_equal_state()


@pytest.mark.parametrize(
    "entry",
    [
        *(Entry(0, 0, EntryKind.CONFIGURATION, members(**change)) for change in ODD_MEMBERS),
        Entry(0, 0, EntryKind.COMMAND, b"\x07" + bytes(40)),
        Entry(0, 0, EntryKind.COMMAND, b"\x01short"),
        Entry(0, 0, 9, b""),
        Entry(0, 0, EntryKind.CONFIGURATION, b"none"),
    ],
)
def test_an_entry_of_an_unknown_kind_or_format_is_not_appended(entry):
    cluster = Cluster(3)
    leader, follower = cluster.leader.replica.node, cluster.followers[0]
    last, term = leader.last_index, leader.term
    forged = Entry(last + 1, term, entry.kind, entry.payload)
    node = follower.replica.node
    append = AppendEntries(leader.id, node.id, term, last, leader._state.log.last_term, last, (forged,))
    with pytest.raises(Exception, match="unknown|shorter|not a configuration|no id|not an address|incarnation of"):
        follower.replica.listener.peer_message(append)
    assert node.last_index == last
    assert not follower.fatal
    cluster.do("SET", "a", "b")
    cluster.assert_equal_state()


def test_a_command_that_fails_unforeseen_is_answered_and_ends_no_node(monkeypatch):
    cluster = Cluster(3)

    def faulty(db, argv):
        raise OverflowError("no such number")

    for node in cluster.running:
        monkeypatch.setitem(node.replica.machine._applies, b"INCR", (faulty, 2, 2))
    reply = cluster.do("INCR", "a")
    assert isinstance(reply, Error)
    assert reply.text.startswith(b"ERR internal error")
    cluster.do("SET", "a", "b")
    cluster.assert_equal_state()
    stopped = Result(Deferred.fromCoroutine(cluster.followers[0].replica.stop()))
    cluster.until(lambda: stopped.done)
