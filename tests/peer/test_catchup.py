"""Streaming a snapshot: losses, resumption, pace, and what the receiver does not take."""

from __future__ import annotations

import random

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from leto.errors import ProtocolError, StorageError
from leto.interfaces.store import Identity
from leto.peer.requests import (
    SnapshotChunk,
    SnapshotFinish,
    SnapshotOffer,
    SnapshotProgress,
    decode_request,
    encode,
)
from leto.raft.configuration import Configuration, Member
from leto.raft.messages import InstallSnapshot, SnapshotMeta
from leto.replica.catchup import SnapshotReceiver, SnapshotRefused, SnapshotSender, SnapshotUndelivered
from leto.twins.transport import MemoryNetwork, MemoryTransport
from tests.peer.peer_fixtures import CLUSTER, Recorder

CONFIGURATION = Configuration((Member("f", "h:2", True), Member("l", "h:1", True)))


def meta(index=10, term=2):
    return SnapshotMeta(index, term, CONFIGURATION, 1)


def message(index=10, term=3, sender="l"):
    return InstallSnapshot(sender, "f", term, meta(index))


class Source:
    def __init__(self, payload, token=1, index=10):
        self.payload, self.size, self.token, self.meta = payload, len(payload), token, meta(index)
        self.reads = []
        self.closed = False

    def read(self, offset, size):
        self.reads.append(offset)
        return self.payload[offset : offset + size]

    def close(self):
        self.closed = True


class Disk:
    """Where sinks go: partial ones by (meta, size, token), as a store keeps them, and the committed one."""

    def __init__(self):
        self.partial = {}
        self.committed = None
        self.opened = []
        self.aborted = []
        self.fail_next = None

    def open(self, meta, size, token):
        sink = Sink(self, (meta, size, token))
        self.opened.append(sink)
        return sink


class Sink:
    def __init__(self, disk, key):
        self.disk, self.key = disk, key
        self.data = bytearray(disk.partial.get(key, b""))
        self.offset = len(self.data)

    def write(self, data):
        if self.disk.fail_next:
            error, self.disk.fail_next = self.disk.fail_next, None
            raise error
        self.data += data

    def commit(self):
        self.disk.committed = bytes(self.data)

    def abort(self, keep_partial=False):
        self.disk.aborted.append(keep_partial)
        self.disk.partial = {self.key: bytes(self.data)} if keep_partial else {}


def run_now(job):
    try:
        return succeed(job())
    except StorageError as error:
        return fail(error)


class Follower:
    """A receiver and the disk below it."""

    def __init__(self, disk=None, submit=run_now, **options):
        self.disk = disk or Disk()
        self.complete = []
        self.receiver = SnapshotReceiver(self.disk.open, submit, self.complete.append, **options)

    def answer(self, sender, body):
        return self.receiver.answer(sender, decode_request(body)).addCallback(encode)


class Cluster:
    """A leader "l" and a follower "f" on a network in memory."""

    def __init__(self, rate=1 << 40, chunk=1000, **network):
        self.clock = Clock()
        self.network = MemoryNetwork(self.clock, **network)
        self.leader, self.address = self.transport("l", "127.0.0.1:1"), "127.0.0.1:2"
        self.follower = Follower()
        self.start_follower()
        self.leader.set_peers({"f": self.address})
        self.sender = SnapshotSender(self.leader, self.clock, rate, chunk)
        self.run(lambda: self.leader.is_connected("f"))

    def transport(self, name, address, listener=None):
        transport = MemoryTransport(self.network, Identity(CLUSTER, name), address)
        transport.start(listener or Recorder(name))
        return transport

    def start_follower(self):
        listener = Recorder("f")
        listener.respond = lambda sender, body: self.follower.answer(sender, body)
        self.follower_transport = self.transport("f", self.address, listener)

    def send(self, source, **which):
        box = []
        stream = self.sender.send("f", source, message(**which))
        stream.addBoth(box.append)
        return stream, box

    def run(self, condition, seconds=200.0, step=0.001):
        deadline = self.clock.seconds() + seconds
        while not condition():
            assert self.clock.seconds() < deadline, "it did not come about"
            self.clock.advance(step)


def payload(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 25_000])
def test_a_snapshot_arrives_whole_and_is_reported_once(size):
    cluster, source = Cluster(), Source(payload(size))
    _, box = cluster.send(source)
    cluster.run(lambda: box)
    assert box == [None]
    assert cluster.follower.disk.committed == source.payload
    assert cluster.follower.complete == [message()]
    assert not source.closed, "it is the caller's"


@pytest.mark.parametrize("seed", range(6))
def test_every_part_of_it_may_be_lost_late_or_reset(seed):
    trouble = random.Random(seed)
    lost = []

    def fate(sender, to, what):
        if trouble.random() < 0.15:
            lost.append(what)
            return ()
        return (trouble.random() * 0.02,)

    cluster = Cluster(fate=fate)
    source = Source(payload(60_000, seed))
    _, box = cluster.send(source)
    resets = 0
    while not box:
        cluster.clock.advance(0.01)
        if trouble.random() < 0.03 and resets < 15:
            cluster.network.reset("l", "f")
            resets += 1
        assert cluster.clock.seconds() < 2000
    assert box == [None]
    assert len(lost) > 3 and resets == 15
    assert cluster.follower.disk.committed == source.payload
    assert set(cluster.follower.complete) == {message()}
    assert len(cluster.follower.disk.opened) == 1, "what had come was kept"


def test_after_a_reset_it_goes_on_where_it_was():
    cluster, source = Cluster(rate=10_000), Source(payload(20_000))
    _, box = cluster.send(source)
    cluster.run(lambda: len(source.reads) > 10)
    cluster.network.reset("l", "f")
    cluster.run(lambda: box)
    assert box == [None]
    assert cluster.follower.disk.committed == source.payload
    assert len(source.reads) <= 22, "nothing but the lost chunk was read twice"
    assert len(cluster.follower.disk.opened) == 1


def test_a_restarted_follower_resumes_what_it_had_kept():
    cluster, source = Cluster(rate=10_000), Source(payload(20_000))
    _, box = cluster.send(source)
    cluster.run(lambda: len(source.reads) > 10)
    before = cluster.follower
    before.receiver.stop()
    cluster.follower_transport.stop()
    assert before.disk.aborted == [True]
    cluster.follower = Follower(before.disk)
    cluster.start_follower()
    cluster.run(lambda: box)
    assert box == [None]
    assert cluster.follower.disk.committed == source.payload
    assert cluster.follower.disk.opened[-1].offset > 8000
    assert len(source.reads) <= 23


def test_it_is_paced():
    cluster, source = Cluster(rate=10_000, chunk=1000), Source(payload(20_000))
    began = cluster.clock.seconds()
    _, box = cluster.send(source)
    cluster.run(lambda: box)
    assert 1.8 < cluster.clock.seconds() - began < 2.3


def test_it_is_given_up_after_bounded_failures():
    cluster, source = Cluster(), Source(payload(5000))
    cluster.follower_transport.stop()
    began = cluster.clock.seconds()
    _, box = cluster.send(source)
    cluster.run(lambda: box, step=0.05)
    assert box[0].check(SnapshotUndelivered)
    assert "'f'" in str(box[0].value)
    assert cluster.clock.seconds() - began < 60


def test_a_pause_of_seconds_does_not_end_it():
    cluster, source = Cluster(rate=10_000), Source(payload(20_000))
    _, box = cluster.send(source)
    cluster.run(lambda: len(source.reads) > 5)
    cluster.follower_transport.stop()
    cluster.clock.pump([0.01] * 500)
    cluster.start_follower()
    cluster.run(lambda: box)
    assert box == [None]
    assert cluster.follower.disk.committed == source.payload


def test_cancelled_it_stops_asking():
    cluster, source = Cluster(rate=10_000), Source(payload(20_000))
    stream, box = cluster.send(source)
    cluster.run(lambda: len(source.reads) > 3)
    stream.cancel()
    assert box[0].check(CancelledError)
    reads = len(source.reads)
    cluster.clock.pump([0.05] * 100)
    assert len(source.reads) == reads
    assert cluster.follower.disk.committed is None


def test_a_source_that_ends_early_is_an_error():
    cluster, source = Cluster(), Source(payload(5000))
    source.size = 6000
    _, box = cluster.send(source)
    cluster.run(lambda: box)
    assert box[0].check(SnapshotUndelivered)
    assert cluster.follower.disk.committed is None


def test_a_disk_that_fails_there_discards_what_was_written_and_starts_over():
    cluster, source = Cluster(), Source(payload(5000))
    cluster.follower.disk.fail_next = StorageError("no space")
    _, box = cluster.send(source)
    cluster.run(lambda: box)
    assert box == [None]
    assert cluster.follower.disk.committed == source.payload
    assert cluster.follower.disk.aborted == [False]


# the receiver alone --------------------------------------------------------------------------------


def ask(follower, request, sender="l"):
    box = []
    follower.receiver.answer(sender, request).addBoth(box.append)
    (result,) = box
    if not isinstance(result, SnapshotProgress):
        result.raiseException()
    return result


def offer(size=10, token=1, **which):
    return SnapshotOffer(message(**which), size, token)


def test_chunks_are_written_in_order_alone():
    follower = Follower()
    assert ask(follower, offer()) == SnapshotProgress(1, 0)
    assert ask(follower, SnapshotChunk(1, 5, b"56789")) == SnapshotProgress(1, 0)
    assert ask(follower, SnapshotChunk(1, 0, b"01234")) == SnapshotProgress(1, 5)
    assert ask(follower, SnapshotChunk(1, 0, b"01234")) == SnapshotProgress(1, 5), "a repeated one"
    assert ask(follower, SnapshotChunk(1, 3, b"345")) == SnapshotProgress(1, 5)
    assert ask(follower, SnapshotChunk(1, 5, b"")) == SnapshotProgress(1, 5)
    assert ask(follower, SnapshotFinish(1)) == SnapshotProgress(1, 5), "not before the end"
    assert follower.complete == []
    assert ask(follower, SnapshotChunk(1, 5, b"56789")) == SnapshotProgress(1, 10)
    assert ask(follower, SnapshotFinish(1)) == SnapshotProgress(1, 10, done=True)
    assert follower.disk.committed == b"0123456789"
    assert ask(follower, SnapshotFinish(1)) == SnapshotProgress(1, 10, done=True), "its answer was lost"
    assert follower.complete == [message()]


def test_a_chunk_beyond_the_end_is_not_written():
    follower = Follower()
    ask(follower, offer())
    with pytest.raises(ProtocolError, match="beyond"):
        ask(follower, SnapshotChunk(1, 0, b"01234567890"))
    assert bytes(follower.disk.opened[0].data) == b""


def test_the_same_offer_again_goes_on_under_a_new_number():
    follower = Follower()
    ask(follower, offer())
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    assert ask(follower, offer()) == SnapshotProgress(2, 5)
    with pytest.raises(ProtocolError, match="offer the snapshot again"):
        ask(follower, SnapshotChunk(1, 5, b"56789"))
    assert ask(follower, SnapshotChunk(2, 5, b"56789")) == SnapshotProgress(2, 10)


def test_a_newer_offer_replaces_an_older_one():
    follower = Follower()
    ask(follower, offer(index=10))
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    assert ask(follower, offer(index=20)) == SnapshotProgress(2, 0)
    assert follower.disk.aborted == [False]
    with pytest.raises(ProtocolError):
        ask(follower, SnapshotChunk(1, 5, b"56789"))


def test_another_nodes_file_of_the_same_index_is_never_mixed_in():
    follower = Follower()
    ask(follower, offer(token=1))
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    assert ask(follower, offer(token=2, term=4, sender="m"), sender="m") == SnapshotProgress(2, 0)


def test_an_older_leader_is_refused():
    follower = Follower()
    ask(follower, offer(term=5))
    stale = ask(follower, offer(term=4, sender="m"), sender="m")
    assert "not the leader" in stale.refused
    assert ask(follower, SnapshotChunk(1, 0, b"01234")) == SnapshotProgress(1, 5), "the first goes on"


def test_whom_this_node_does_not_follow_is_refused():
    follower = Follower(follows=lambda sender, term: (sender, term) == ("l", 3))
    assert ask(follower, offer(sender="m"), sender="m").refused
    assert ask(follower, offer(term=4)).refused
    assert ask(follower, offer(term=3)) == SnapshotProgress(1, 0)


def test_a_newer_snapshot_waits_until_the_complete_one_is_installed():
    installing = []
    follower = Follower(is_installing=lambda: bool(installing))
    ask(follower, offer())
    installing.append(True)  # the complete file is still needed: a new transfer would take its place
    opened = len(follower.disk.aborted)
    assert "installed" in ask(follower, offer(token=2)).refused
    assert len(follower.disk.aborted) == opened
    installing.clear()
    assert ask(follower, offer(token=2)) == SnapshotProgress(2, 0)


def test_nobody_offers_or_sends_in_anothers_name():
    follower = Follower()
    with pytest.raises(ProtocolError):
        ask(follower, offer(sender="m"), sender="l")
    ask(follower, offer())
    with pytest.raises(ProtocolError):
        ask(follower, SnapshotChunk(1, 0, b"01234"), sender="m")
    with pytest.raises(ProtocolError):
        ask(follower, SnapshotFinish(1), sender="m")


def test_one_that_is_here_already_is_reported_again_and_not_sent_again():
    follower = Follower()
    ask(follower, offer(size=5))
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    ask(follower, SnapshotFinish(1))
    again = ask(follower, offer(size=5, term=7))
    assert again.done
    assert follower.complete == [message(term=3), message(term=7)]


def test_one_that_gave_way_to_another_is_sent_again():
    follower = Follower()
    ask(follower, offer(size=5))
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    ask(follower, SnapshotFinish(1))  # its leader was deposed meanwhile: nobody installs it
    assert not ask(follower, offer(size=7, index=20, term=4)).done
    again = ask(follower, offer(size=5, term=5))
    assert (again.done, again.offset) == (False, 0)
    assert follower.complete == [message(term=3)]


def test_a_refusal_ends_the_senders_stream():
    cluster = Cluster()
    cluster.follower.receiver = SnapshotReceiver(
        cluster.follower.disk.open, run_now, cluster.follower.complete.append, follows=lambda sender, term: False
    )
    _, box = cluster.send(Source(b"x"))
    cluster.run(lambda: box)
    assert box[0].check(SnapshotRefused)


def test_requests_wait_for_the_disk_in_turn():
    jobs = []

    def submit(job):
        waiting = Deferred()
        jobs.append((job, waiting))
        return waiting

    def work():
        job, waiting = jobs.pop(0)
        waiting.callback(job())

    follower = Follower(submit=submit)
    answers = []
    for request in (offer(), SnapshotChunk(1, 0, b"01234"), SnapshotChunk(1, 5, b"56789"), SnapshotFinish(1)):
        follower.receiver.answer("l", request).addCallback(answers.append)
    assert len(jobs) == 1
    work()
    assert answers == [SnapshotProgress(1, 0)]
    work()
    work()
    assert follower.complete == []
    work()
    assert answers[1:] == [SnapshotProgress(1, 5), SnapshotProgress(1, 10), SnapshotProgress(1, 10, done=True)]
    assert follower.complete == [message()]


def test_stopped_it_takes_nothing_more():
    follower = Follower()
    ask(follower, offer())
    ask(follower, SnapshotChunk(1, 0, b"01234"))
    follower.receiver.stop()
    assert "stopping" in ask(follower, offer()).refused
    assert follower.disk.partial == {(meta(), 10, 1): b"01234"}
