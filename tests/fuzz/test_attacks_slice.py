"""A few connections of each attack, on a real node alone; `--soak`: all of them, many, on a cluster of three."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.attacks import ATTACKS, OPTIONS, Victim, attack
from tests.integration.cluster import Cluster

MORE = 64.0  # MiB that a node under attack may take, at that many connections


def run(cluster: Cluster, name: str, scale: float) -> list[str]:
    leader = cluster.leader
    victim = Victim(leader, leader.info()["raft_cluster_id"], scale)
    before = victim.rss()
    lines = list(attack(name, victim))
    assert victim.rss() < before + MORE, lines
    return lines


def test_a_node_under_attack_serves_and_changes_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, *OPTIONS) as cluster:
        for name in ("no-descriptors", "promise", "peer-nonsense", "peer-impostor"):
            assert len(run(cluster, name, 0.02)) == 1


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_every_attack(tmp_path: Path) -> None:
    with Cluster(tmp_path, 3, *OPTIONS) as cluster:
        for name in ATTACKS:
            print(*run(cluster, name, 0.2))
