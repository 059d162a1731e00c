"""Situations in which a node might stand still: each is brought about on real nodes that hold many keys.

A scenario is a function of a Stage; while it runs, a steady stream of SETs goes to the leader (tests.stalls.pace), and
the nodes' meters run. Those that need the keys come before the one that deletes them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from leto.bench.loop import preload
from leto.config import Address
from tests.integration.cluster import Cluster, Node, wait_for

PATIENCE = 120.0
EXPIRING_BYTES = 16
CHUNK = 1000  # commands of one pipeline that prepares something


@dataclass(frozen=True)
class Measures:
    """How much of everything. `seconds`: of scenarios that only wait."""

    keys: int = 1_000_000
    value_bytes: int = 64
    expiring: int = 100_000
    deleted: int = 100_000
    missed: int = 200_000  # SETs that a follower misses and is brought from the log
    written_mb: int = 50  # of the log, so that it rotates
    seconds: float = 10.0
    rate: int = 5000


class Stage:
    """The cluster, and who is who in it."""

    def __init__(self, cluster: Cluster, measures: Measures) -> None:
        self.cluster = cluster
        self.measures = measures
        self.leader = cluster.leader
        self.absent = cluster.followers[0]  # the follower that scenarios may stop

    def client(self, node: Node | None = None) -> redis.Redis:
        """A client of that node, or of the leader."""
        return (node or self.leader).client(timeout=PATIENCE)

    def fill(self) -> None:
        """All the keys, once."""
        preload(Address.parse(self.leader.address), self.measures.keys, self.measures.value_bytes)
        self.rest()

    def rest(self) -> None:
        """Until no snapshot is under way and all have applied what is committed."""

        def idle() -> bool:
            infos = [node.try_info() for node in self.cluster.running]
            return all(info and info["raft_snapshot_in_progress"] == "0" for info in infos) and (
                len({info["raft_applied_index"] for info in infos}) == 1
            )

        wait_for(idle, "the nodes have nothing left to do", PATIENCE)

    def caught_up(self, node: Node) -> None:
        """Until it has applied all but what a moment of the stream brings."""

        def close() -> bool:
            index = int(node.try_info().get("raft_applied_index", "0"))
            return index > 0 and int(self.leader.info()["raft_commit_index"]) - index < 2000

        wait_for(close, f"{node.id} has caught up", PATIENCE)


def nothing(stage: Stage) -> None:
    """nothing but the stream"""
    time.sleep(stage.measures.seconds)


def snapshot(stage: Stage) -> None:
    """a snapshot at every node, one after another"""
    for node in stage.cluster:
        before = node.info()["raft_snapshot_index"]
        stage.client(node).execute_command("SNAPSHOT")
        assert node.info()["raft_snapshot_index"] != before, f"{node.id} took no snapshot"


def rotation(stage: Stage) -> None:
    """40 SETs of 100 kB a second: the log rotates; then it is compacted by a snapshot"""
    client, value = stage.client(), b"v" * 100_000
    first = stage.leader.info()["raft_first_index"]
    began = time.monotonic()
    for number in range(stage.measures.written_mb * 10):
        client.set(f"large:{number % 100}", value)
        time.sleep(max(0.0, began + number / 40 - time.monotonic()))
    client.execute_command("SNAPSHOT")
    assert stage.leader.info()["raft_first_index"] != first, "the log was not compacted"


def prepare_expiry(stage: Stage) -> None:
    """Keys that expire at one instant, some seconds from now."""
    measures = stage.measures
    due = int((time.time() + 5.0 + measures.expiring / 20_000) * 1000)
    value = b"v" * EXPIRING_BYTES
    for start in range(0, measures.expiring, CHUNK):
        pipe = stage.client().pipeline(transaction=False)
        for number in range(start, min(start + CHUNK, measures.expiring)):
            pipe.set(f"expiring:{number:08d}", value, pxat=due)
        pipe.execute()


def expiry(stage: Stage) -> None:
    """many keys expire at one instant"""

    def gone() -> bool:
        return all(_volatile(stage, node) == 0 for node in stage.cluster)

    assert not gone(), "the keys expired before their time"
    wait_for(gone, "all of them are deleted", PATIENCE)


def _volatile(stage: Stage, node: Node) -> int:
    return int(stage.client(node).info("keyspace").get("db0", {}).get("expires", 0))


def deletion(stage: Stage) -> None:
    """many keys are deleted, 1,000 by a DEL, one after another"""
    client, count = stage.client(), 0
    for start in range(0, stage.measures.deleted, CHUNK):
        end = min(start + CHUNK, stage.measures.deleted)
        count += client.delete(*(f"key:{number:012d}" for number in range(start, end)))
    assert count == stage.measures.deleted


def prepare_log(stage: Stage) -> None:
    """A follower that misses entries, which the leader still has."""
    stage.absent.terminate()
    for _ in range(0, stage.measures.missed, CHUNK):
        pipe = stage.client().pipeline(transaction=False)
        for number in range(CHUNK):
            pipe.set(f"missed:{number}", "x")
        pipe.execute()


def catch_up_by_log(stage: Stage) -> None:
    """a follower comes back and is brought what it missed, from the log"""
    stage.absent.start()
    stage.caught_up(stage.absent)


def prepare_install(stage: Stage) -> None:
    """A leader whose log does not reach back to its beginning, and a follower whose disk is lost.

    The old data go before the stream comes: their deletion, on the disk that all share, holds everyone's flushes up.
    """
    if stage.leader.info()["raft_snapshot_index"] != stage.leader.info()["raft_applied_index"]:
        stage.client().execute_command("SNAPSHOT")
    assert int(stage.leader.info()["raft_first_index"]) > 1, "the log was not compacted"
    stage.absent.terminate()
    stage.absent.forget_data()
    stage.rest()


def catch_up_by_snapshot(stage: Stage) -> None:
    """a follower without data comes back and is brought a snapshot"""
    stage.absent.start(join=stage.leader.address)
    stage.caught_up(stage.absent)
    assert "installed the leader's snapshot" in stage.absent.log()


def flush(stage: Stage) -> None:
    """FLUSHALL"""
    assert stage.client().dbsize() >= stage.measures.keys / 2
    stage.client().flushall()


Act = Callable[[Stage], None]
# name -> (what goes before it, itself)
SCENARIOS: dict[str, tuple[Act | None, Act]] = {
    "nothing": (None, nothing),
    "snapshot": (None, snapshot),
    "rotation": (None, rotation),
    "expiry": (prepare_expiry, expiry),
    "log": (prepare_log, catch_up_by_log),
    "install": (prepare_install, catch_up_by_snapshot),
    "delete": (None, deletion),
    "flush": (None, flush),
}
