"""A disk that fails under a running node, and a process that dies at the worst steps of its writing."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.integration.cluster import Cluster, Node, wait_for
from tests.integration.load import Writers

PAST_THE_LOGS = 64 << 10  # bytes: files of log lines stay below it, the node's own log is beyond it
CRASH_STATUS = 137


def test_a_leader_whose_disk_fails_ends_and_loses_nothing(tmp_path: Path) -> None:
    """The kernel refuses its writes (a limit on the size of files): fail-stop, with one clear line."""
    with Cluster(tmp_path, 3) as cluster:
        leader = cluster.leader
        leader.client().mset({f"filler:{i}": "x" * 1000 for i in range(500)})
        with Writers(cluster.nodes) as writers:
            wait_for(lambda: writers.count > 50, "writes are acknowledged")
            resource.prlimit(leader.pid, resource.RLIMIT_FSIZE, (PAST_THE_LOGS, PAST_THE_LOGS))
            assert leader.wait_exit() == 1
            before = writers.count
            wait_for(lambda: writers.count > before + 50, "writes go on")
        assert "File too large" in leader.log()
        assert "Traceback" not in leader.log()
        writers.check(cluster)
        leader.start()
        cluster.wait_settled()
        writers.check(cluster)


@pytest.mark.parametrize(
    "step",
    ["append.written:20", "rotate.new-synced:3", "snapshot.renamed", "compact.unlinked"],
)
def test_a_node_that_dies_at_a_step_of_its_writing_keeps_what_it_acknowledged(tmp_path: Path, step: str) -> None:
    node = Node(tmp_path, "id1", ["--segment-bytes", "16kb", "--snapshot-entries", "60", "--trailing-entries", "5"])
    cluster = Cluster(tmp_path, 0)
    cluster.nodes.append(node)
    try:
        node.start(environment={"LETO_FAULTPOINT": step}).wait_serving()
        with Writers([node], count=2) as writers:
            assert node.wait_exit(30) == CRASH_STATUS, f"{step} was not reached"
        node.start().wait_serving()
        writers.check(cluster)
        assert "Traceback" not in node.log()
    finally:
        cluster.close()
