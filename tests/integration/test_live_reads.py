"""Reads at every node while leaders come and go: time never goes back, with read rounds and with leases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.cluster import Cluster, logs_forgotten_afterwards, wait_for
from tests.integration.load import Clock, Increments

TICKS = 50


@pytest.fixture(scope="module", params=["linearizable", pytest.param("lease", marks=pytest.mark.soak)])
def module_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes that confirm reads by rounds, then three that do it by leases."""
    directory = tmp_path_factory.mktemp(request.param)
    with logs_forgotten_afterwards(), Cluster(directory, 3, "--reads", request.param) as cluster:
        yield cluster


def test_reads_never_go_back_while_leaders_fall_asleep_die_and_hand_over(cluster: Cluster) -> None:
    with Clock(cluster.nodes) as clock:
        clock.wait_ticks(TICKS)

        sleeper = cluster.leader
        sleeper.pause()
        cluster.wait_leader([node for node in cluster if node is not sleeper])
        writes = clock.writes
        wait_for(lambda: clock.writes > writes + TICKS, "writes go on without the sleeper")
        sleeper.resume()
        clock.wait_ticks(TICKS)

        killed = cluster.wait_leader()
        killed.kill()
        clock.wait_ticks(TICKS)
        killed.start()
        cluster.wait_settled()
        clock.wait_ticks(TICKS)

        target = cluster.followers[0]
        assert target.id in cluster.leader.cli("raft", "transfer", target.id)
        clock.wait_ticks(TICKS)
    assert clock.violations == []
    cluster.wait_same_state()


def test_an_increment_counts_once_or_not_at_all(cluster: Cluster) -> None:
    with Increments(cluster.nodes) as increments:
        wait_for(lambda: increments.acknowledged > TICKS, "increments are acknowledged")
        leader = cluster.leader
        leader.kill()
        before = increments.acknowledged
        wait_for(lambda: increments.acknowledged > before + TICKS, "increments go on")
        leader.start()
        cluster.wait_settled()
        cluster.leader.pause()
        before = increments.acknowledged
        wait_for(lambda: increments.acknowledged > before + TICKS, "increments go on past a sleeping leader")
        for node in cluster:
            node.resume()
        cluster.wait_settled()
    increments.check(cluster)
