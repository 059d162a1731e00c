"""What the log, INFO, RAFT STATUS and the metrics say of wall clocks that are off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from leto.admin.metrics import PEER_GAUGES, STATUS_GAUGES
from leto.commands.info import raft_fields
from leto.status import status_data
from tests.replica.cluster import Cluster

HOUR = 3600.0


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged about clocks, with the level in front."""
    said: list[str] = []

    def hear(event: dict[str, Any]) -> None:
        text = formatEvent(event)
        if "clock" in text and event["log_level"] in (LogLevel.warn, LogLevel.info):
            said.append(f"{event['log_level'].name} {text}")

    globalLogPublisher.addObserver(hear)
    yield said
    globalLogPublisher.removeObserver(hear)


def only(lines: list[str], *words: str) -> None:
    """One line, with these words in it; it is forgotten."""
    (line,) = lines
    assert all(word in line for word in words), line
    lines.clear()


def test_a_member_whose_clock_is_off_is_named_once_and_again_when_it_is_right(lines):
    cluster = Cluster(3)
    off = cluster.followers[0]
    off.wall_offset = -HOUR
    cluster.advance(15.0)
    only(lines, "warn", f"clock of {off.name} is 3600.0 s behind this leader's", "NTP")
    off.wall_offset = 0.0
    cluster.advance(15.0)
    only(lines, "info", f"clock of {off.name} is like this leader's again")


def test_a_leader_whose_clock_is_off_says_so_and_what_to_do_not_that_all_others_are(lines):
    cluster = Cluster(3)
    cluster.leader.wall_offset = HOUR
    cluster.advance(15.0)
    only(lines, "warn", "this leader is 3600.0 s ahead of what a majority's stand for", "RAFT TRANSFER")
    for _ in range(3):  # to and fro
        cluster.leader.wall_offset = 0.0
        cluster.advance(2.0)
        cluster.leader.wall_offset = HOUR
        cluster.advance(2.0)
    assert not lines
    cluster.leader.wall_offset = 0.0
    cluster.advance(15.0)
    only(lines, "info", "again")


def test_a_clock_of_the_cluster_that_is_ahead_is_told_with_what_it_means(lines):
    cluster = Cluster(1)
    cluster.leader.wall_offset = HOUR
    cluster.advance(1.0)
    cluster.leader.wall_offset = 0.0
    cluster.advance(1.0)
    only(lines, "warn", "the cluster's clock is 3600.0 s ahead of", "EXAT")


def test_offsets_are_in_info_status_and_the_metrics_of_the_leader():
    cluster = Cluster(3)
    off = cluster.followers[0]
    off.wall_offset = -HOUR
    cluster.advance(1.0)
    status = cluster.leader.replica.status()
    fields = {name: str(value) for name, value in raft_fields(status)}
    told = [value for name, value in fields.items() if name.startswith("raft_member") and f"id={off.name}," in value]
    assert "clock_offset=-3600.0" in told[0]
    assert abs(float(fields["raft_clock_ahead"])) < 0.1 and fields["raft_clock_error"] == "0.000"
    assert abs(int(fields["raft_clock_ms"]) / 1000 - 1_700_000_000 - cluster.clock.seconds()) < 0.1
    data = {peer["id"]: peer["clock_offset"] for peer in status_data(status)["members"]}
    assert data[cluster.leader.name] is None and data[off.name] == pytest.approx(-HOUR, abs=0.1)
    read = {name: gauge for name, _, gauge in PEER_GAUGES}["leto_peer_clock_offset_seconds"]
    assert [read(peer) for peer in status.members if peer.id == off.name] == [data[off.name]]
    assert {name: gauge(status) for name, _, gauge in STATUS_GAUGES}["leto_clock_error_seconds"] == 0.0
    assert all(peer.clock_offset is None for peer in off.replica.status().members)
