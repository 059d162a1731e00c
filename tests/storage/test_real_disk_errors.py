"""Disk errors under running nodes: one that meets them ends in one clear line, the others go on, nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, wait_for
from tests.integration.load import Writers
from tests.storage import failing_calls
from tests.storage.failing_calls import Failing
from tests.storage.mounts import tiny_disk

OPTIONS = ("--segment-bytes", "64kb", "--election-timeout-ms", "600")


@contextmanager
def cluster_of_three(directory: Path) -> Iterator[Cluster]:
    cluster = Cluster(directory, 3, *OPTIONS)
    try:
        first, *others = cluster.nodes
        failing_calls.start(first)
        for node in others:
            failing_calls.start(node, join=first.address)
        cluster.wait_settled()
        yield cluster
    finally:
        cluster.close()


def last_words(node: Node) -> str:
    """The one line in which the node's last life ended."""
    life = node.log().rpartition(f"--- {node.id} starts\n")[2]
    assert "Traceback" not in life
    lines = [line for line in life.splitlines() if "stopping at once" in line]
    assert len(lines) == 1, life
    return lines[0]


EIO = "Input/output error; the disk failed: check it before starting again"
ENOSPC = "No space left on device; make space, then start again: nothing acknowledged is lost"
FAULTS = (  # fsync is that of a directory: it fails at the next segment
    ("fdatasync", "EIO", EIO),
    ("pwritev", "EIO", EIO),
    ("pwritev", "ENOSPC", ENOSPC),
    ("fsync", "EIO", EIO),
)


@pytest.mark.parametrize("faults", [FAULTS[:1], pytest.param(FAULTS[1:], marks=pytest.mark.soak)], ids=["one", "more"])
def test_leaders_whose_disks_fail_end_and_nothing_is_lost(tmp_path: Path, faults: tuple[tuple[str, ...], ...]) -> None:
    with cluster_of_three(tmp_path) as cluster:
        for number, (call, error, words) in enumerate(faults):
            leader = cluster.leader
            with Writers(cluster.nodes, prefix=f"w{number}") as writers:
                wait_for(lambda writers=writers: writers.count > 50, "writes are acknowledged")
                with Failing(leader, call, error):
                    assert leader.wait_exit() == 1
                before = writers.count
                wait_for(lambda writers=writers, before=before: writers.count > before + 50, "writes go on")
            line = last_words(leader)
            assert line.endswith(words)
            assert str(leader.raftdir) in line
            writers.check(cluster)
            failing_calls.start(leader)
            cluster.wait_settled()
            writers.check(cluster)
            cluster.wait_same_state()


def test_a_node_ends_though_the_sync_that_failed_was_nobodys(tmp_path: Path) -> None:
    """Of the thread that syncs every second: no write is told of it, and none comes after it."""
    node = failing_calls.start(Node(tmp_path, "id1", [*OPTIONS, "--fsync", "everysec"]))
    try:
        node.wait_serving()
        with Failing(node, "fdatasync", "EIO"):
            node.client().set("a", "b")
            assert node.wait_exit() == 1
        assert last_words(node).endswith(EIO)
    finally:
        node.close()


@pytest.mark.soak
def test_a_follower_that_cannot_store_its_vote_ends_without_giving_it(tmp_path: Path) -> None:
    with cluster_of_three(tmp_path) as cluster:
        leader = cluster.leader
        voter, other = cluster.followers
        leader.client().set("k", "v")
        other.kill()
        term = int(voter.info()["raft_term"])
        with Failing(voter, "fdatasync", "EIO"):
            leader.kill()
            other.start()  # one of the two must store a vote before there can be a leader
            assert voter.wait_exit() == 1
        assert "leto.hard-state" in last_words(voter)
        assert other.role() != "leader"
        leader.start()
        voter.start()
        cluster.wait_settled()
        assert int(cluster.leader.info()["raft_term"]) > term
        assert cluster.leader.client().get("k") == b"v"


def test_a_full_disk_ends_a_node_until_there_is_space(tmp_path: Path) -> None:
    options = (*OPTIONS, "--snapshot-entries", "1000000", "--min-free-bytes", "0")
    cluster = Cluster(tmp_path, 3, *options)
    first, *others = cluster.nodes
    with tiny_disk(first.raftdir, "2m") as tiny:
        try:
            failing_calls.start(first)
            for node in others:
                failing_calls.start(node, join=first.address)
            assert cluster.wait_settled() is first
            with Writers(cluster.nodes) as writers:
                wait_for(lambda: writers.count > 20, "writes are acknowledged")
                if tiny:
                    fill(first)
                else:
                    with Failing(first, "pwritev", "ENOSPC"):
                        assert first.wait_exit() == 1
                assert first.wait_exit() == 1
                before = writers.count
                wait_for(lambda: writers.count > before + 20, "writes go on")
            assert "No space left on device; make space, then start again" in last_words(first)
            writers.check(cluster)
            if tiny:
                first.start()  # still full
                wait_for(lambda: not first.is_running or first.follows(), "it says so, or serves")
                if first.is_running:
                    first.kill()
                else:
                    assert first.wait_exit() == 1
                    assert "No space left on device" in first.log().splitlines()[-1]
                assert "Traceback" not in first.log()
                resize = ["mount", "-o", "remount,size=64m", str(first.raftdir)]
                subprocess.run(resize, check=True)
            failing_calls.start(first)
            cluster.wait_settled()
            writers.check(cluster)
            cluster.wait_same_state()
        finally:
            cluster.close()


def fill(node: Node) -> None:
    """Write until its disk is full."""
    client = node.client()
    for number in range(200):
        try:
            client.set(f"filler:{number}", "x" * 50_000)
        except Exception:  # noqa: BLE001 - what becomes of it is the test's to say
            return
    raise AssertionError("the disk never became full")
