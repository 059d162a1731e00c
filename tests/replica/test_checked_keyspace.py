"""A node that is told to check its keyspace ends with a clear line once it is not as it must be."""

from __future__ import annotations

import pytest

from leto.config import Config
from leto.keyspace.checked import CheckedMachine
from leto.keyspace.machine import Machine
from leto.process.service import machine_of
from tests.replica import cluster as clusters
from tests.replica.cluster import Cluster, Outcome, packed


def answered(cluster: Cluster, *words: bytes) -> list:
    done = Outcome(cluster.leader.replica.write(packed(*words), 1))
    cluster.until(lambda: done.done or any(node.fatal for node in cluster.running))
    return done.value


@pytest.mark.parametrize("machine", [CheckedMachine, Machine])
def test_a_forgotten_checksum_ends_the_node_that_checks(monkeypatch, machine):
    monkeypatch.setattr(clusters, "Machine", machine)
    cluster = Cluster(3)
    cluster.until(lambda: any(node.replica.is_leader for node in cluster.running))
    answered(cluster, b"SET", b"a", b"1")
    cluster.settle()
    leader = cluster.leader
    assert not leader.fatal
    leader.replica.machine.database.check_sum += 1
    answered(cluster, b"SET", b"b", b"2")
    if machine is Machine:
        assert not leader.fatal
        return
    [line] = leader.fatal
    assert "the keyspace is not as it must be after entry " in line
    assert "the sum of the records' checksums is kept as " in line
    assert "\n" not in line


@pytest.mark.parametrize(("checks", "machine"), [(True, CheckedMachine), (False, Machine)])
def test_the_option_chooses_the_machine(checks, machine):
    assert type(machine_of(Config(id="a", check_invariants=checks), lambda: 0.5)) is machine
