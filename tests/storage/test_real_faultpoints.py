"""A node's process killed at each named step of its disk's work: it starts again and has all that it acknowledged.

`--soak` goes through every step; the default suite has some in tests/integration/test_live_disk.py, and all of them
below the node, in processes of the store alone, in test_storage_faultpoints.py.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leto.storage import watermark
from leto.storage.disk import RealDisk
from leto.storage.faultpoints import EXIT_STATUS, POINTS
from tests.integration.cluster import Cluster, Node, wait_for
from tests.integration.load import Writers

SMALL = ("--segment-bytes", "16kb", "--snapshot-entries", "60", "--trailing-entries", "5")
CREATION = ("identify.files-created", "identify.done")
INSTALL = tuple(point for point in POINTS if point.startswith(("install.", "reset.")))
TRUNCATE = tuple(point for point in POINTS if point.startswith("truncate."))
LARGE = ("snapshot.partly-synced",)
WORK = tuple(point for point in POINTS if point not in (*CREATION, *INSTALL, *TRUNCATE))


def armed(point: str) -> dict[str, str]:
    return {"LETO_FAULTPOINT": point}


@contextmanager
def nodes(directory: Path, count: int, *options: str) -> Iterator[Cluster]:
    cluster = Cluster(directory, count, *options)
    try:
        yield cluster
    finally:
        cluster.close()


def ends_at(node: Node, point: str) -> None:
    """Wait for its death at the point; a step of stopping in order is reached by TERM."""
    if point == "watermark.synced":
        node.signal(signal.SIGTERM)
    assert node.wait_exit(30) == EXIT_STATUS, f"{point} was not reached"


def check_restart(cluster: Cluster, node: Node, *writers: Writers) -> None:
    """It starts, has everything, goes on, and starts again without anything to mend."""
    node.start().wait_serving()
    for each in writers:
        each.check(cluster)
    node.client().set("after", "1")
    assert node.terminate() == 0
    node.start().wait_serving()
    assert node.client().get("after") == b"1"
    last_life = node.log().rpartition("starts\n")[2]
    assert " cut " not in last_life and "damaged" not in last_life
    assert "Traceback" not in node.log()


@pytest.mark.soak
@pytest.mark.parametrize("point", CREATION)
def test_killed_while_its_directory_is_made(tmp_path: Path, point: str) -> None:
    with nodes(tmp_path, 1) as cluster:
        (node,) = cluster.nodes
        node.start(environment=armed(point))
        ends_at(node, point)
        node.start().wait_serving()
        node.client().set("k", "v")
        assert node.terminate() == 0
        node.start().wait_serving()
        assert node.client().get("k") == b"v"


@pytest.mark.soak
@pytest.mark.parametrize("point", WORK)
def test_killed_at_work(tmp_path: Path, point: str) -> None:
    with nodes(tmp_path, 1, *SMALL) as cluster:
        (node,) = cluster.nodes
        node.start().wait_serving()
        with Writers([node], count=2, prefix="before") as before:
            wait_for(lambda: before.count > 100, "writes are acknowledged")
        if point in LARGE:
            node.client().set("large", b"x" * (9 << 20))
        node.kill()
        node.start(environment=armed(point))
        with Writers([node], count=2, prefix="during") as during:
            if point == "watermark.synced":
                wait_for(lambda: during.count > 20, "writes are acknowledged")
            ends_at(node, point)
        check_restart(cluster, node, before, *([during] if during.acknowledged else []))
        if point in LARGE:
            assert node.client().strlen("large") == 9 << 20


@pytest.mark.soak
@pytest.mark.parametrize("point", INSTALL)
def test_a_follower_killed_while_it_installs_a_snapshot(tmp_path: Path, point: str) -> None:
    with nodes(tmp_path, 3, *SMALL) as cluster:
        cluster.form()
        follower = cluster.followers[0]
        follower.kill()
        with Writers(cluster.running, count=2) as writers:
            wait_for(lambda: writers.count > 800, "the log goes beyond what is kept for followers")
        leader = cluster.leader
        wait_for(lambda: "snapshot" in leader.log(), "a snapshot")
        follower.start(environment=armed(point))
        ends_at(follower, point)
        follower.start().wait_serving()
        cluster.wait_settled()
        writers.check(cluster)
        cluster.wait_same_state()
        assert "Traceback" not in follower.log()


@pytest.mark.soak
@pytest.mark.parametrize("point", TRUNCATE)
def test_a_deposed_leader_killed_while_its_suffix_is_replaced(tmp_path: Path, point: str) -> None:
    with nodes(tmp_path, 3) as cluster:
        cluster.form()
        old = cluster.leader
        others = cluster.followers
        with old.connect() as connection:
            for node in others:
                node.kill()
            connection.sendall(b"SET lost 1\r\n")
            wait_for(lambda: b"lost" in log_bytes(old), "it is in the old leader's log")
            old.kill()
        for node in others:
            node.start()
        with Writers(others, count=2) as writers:
            wait_for(lambda: writers.count > 20, "writes go on under another leader")
            old.start(environment=armed(point))
            ends_at(old, point)
        old.start().wait_serving()
        cluster.wait_settled()
        writers.check(cluster)
        cluster.wait_same_state()
        assert cluster.leader.client().get("lost") is None, "it was never acknowledged, and its entry was replaced"


def log_bytes(node: Node) -> bytes:
    return b"".join(path.read_bytes() for path in (node.raftdir / "leto-log").iterdir())


def test_every_point_is_in_one_of_the_groups() -> None:
    assert sorted([*CREATION, *WORK, *INSTALL, *TRUNCATE]) == sorted(POINTS)


def test_an_idle_node_that_is_killed_has_marked_what_it_acknowledged(tmp_path: Path) -> None:
    """So what is cut off its log afterwards is found, as it is after a stop in order."""
    with nodes(tmp_path, 1) as cluster:
        (node,) = cluster.nodes
        for end in (node.kill, node.terminate):
            node.start().wait_serving()
            client = node.client()
            for number in range(20):
                client.set(f"k{number}", "v" * 100)
            wait_for(lambda: marked(node) == int(node.info()["raft_last_index"]), "the watermark follows")
            end()
            (segment,) = (node.raftdir / "leto-log").glob("*.segment")
            whole = segment.read_bytes()
            segment.write_bytes(whole[: len(whole.rstrip(b"\0")) - 40])
            node.start()
            assert node.wait_exit() == 1
            line = node.log().splitlines()[-1]
            assert str(segment) in line and "durable" in line
            segment.write_bytes(whole)
        node.start().wait_serving()
        assert node.client().get("k19") == b"v" * 100


def marked(node: Node) -> int:
    """The last entry that the node's watermark tells of."""
    return watermark.read(RealDisk().open(str(node.raftdir / watermark.NAME), writable=False), None)[2].index
