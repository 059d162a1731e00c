"""Which clusters are healthy, and what is said of the others."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from leto.ctl.table import COLUMNS, member_rows, print_cluster, tolerance
from leto.status import LAG_LIMIT, cluster_leader, cluster_members, cluster_problems, losses_survived
from tests.ctl.cluster_views import cluster_view, healthy_cluster, node_view

LOST = cluster_view(node_view("id1"), node_view("id2"), unreachable={"id3": "connection refused"})
NO_LEADER = cluster_view(*(node_view(i, leader="", role="follower", leader_id="") for i in ("id1", "id2", "id3")))


@pytest.mark.parametrize(
    ("cluster", "problems"),
    [
        (healthy_cluster(), []),
        (LOST, ["id3 does not answer: connection refused"]),
        (cluster_view(node_view("id1"), node_view("id2")), ["id3 does not answer"]),
        (NO_LEADER, ["no leader is known"]),
        (
            cluster_view(node_view("id1", has_quorum=False), node_view("id2"), node_view("id3")),
            ["the leader id1 does not hear from a quorum"],
        ),
        (
            cluster_view(node_view("id1"), node_view("id2", leader_id=""), node_view("id3")),
            ["id2 follows nobody, not the leader id1"],
        ),
        (
            cluster_view(
                node_view("id1", commit=LAG_LIMIT + 51, applied=LAG_LIMIT + 51), node_view("id2"), node_view("id3")
            ),
            [f"id2 is {LAG_LIMIT + 1} entries behind", f"id3 is {LAG_LIMIT + 1} entries behind"],
        ),
        (
            cluster_view(node_view("id1"), node_view("id2"), node_view("id3", digest=98)),
            ["the states of id1/id2 and id3 differ at index 50"],
        ),
        (
            cluster_view(node_view("id1"), node_view("id2"), node_view("id3", digest=98, digest_index=49)),
            [],
        ),
        (
            cluster_view(node_view("id1"), node_view("id2"), node_view("id3"), node_view("id4", role="removed")),
            ["id4 is no member of the cluster"],
        ),
    ],
)
def test_problems(cluster: dict[str, Any], problems: list[str]) -> None:
    assert cluster_problems(cluster) == problems


def test_an_old_leader_that_does_not_know_it_yet_is_not_the_leader() -> None:
    cluster = cluster_view(
        node_view("id1", has_quorum=False),
        node_view("id2", leader="id2", term=4),
        node_view("id3", leader="id2", term=4),
    )
    assert cluster_leader(cluster) == "id2"
    assert cluster_problems(cluster) == ["id1 follows id1, not the leader id2"]


def test_a_leader_that_did_not_answer_is_known_by_name() -> None:
    cluster = cluster_view(node_view("id2"), node_view("id3"), unreachable={"id1": "timed out"})
    assert cluster_leader(cluster) == "id1"
    assert list(cluster_members(cluster)) == ["id1", "id2", "id3"]


def test_members_come_from_the_leader_not_from_one_that_missed_a_change() -> None:
    late = node_view("id2", ids=("id1", "id2"), configuration_index=4)
    cluster = cluster_view(late, node_view("id1"), node_view("id3"))
    assert list(cluster_members(cluster)) == ["id1", "id2", "id3"]


def test_rows_show_every_member_also_those_that_do_not_answer() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in member_rows(LOST)]
    assert [row["id"] for row in rows] == ["id1", "id2", "id3"]
    assert rows[0]["role"] == "leader"
    assert rows[1] == {
        "id": "id2",
        "raft address": "10.0.0.2:15379",
        "client address": "10.0.0.2:5379",
        "role": "follower",
        "term": "3",
        "commit": "50",
        "applied": "50",
        "lag": "0",
        "connected": "yes",
        "clock": "-",
        "snapshot": "20",
        "keys": "0",
        "log": "0B",
        "disk free": "-",
        "up": "0s",
        "version": "-",
        "level": "-",
    }
    assert (rows[2]["role"], rows[2]["connected"], rows[2]["applied"]) == ("voter", "no", "-")


def test_lag_counts_from_the_highest_commit_index_known() -> None:
    rows = member_rows(cluster_view(node_view("id1", commit=70, applied=70), node_view("id2"), node_view("id3")))
    assert [row[COLUMNS.index("lag")] for row in rows] == ["0", "20", "20"]


@pytest.mark.parametrize(
    ("cluster", "survived", "sentence"),
    [
        (healthy_cluster(), 1, "survives the loss of 1 more voter"),
        (LOST, 0, "survives the loss of no further voter"),
        (cluster_view(node_view("id1"), unreachable={"id2": "x", "id3": "x"}), -1, "no quorum of the voters answers"),
    ],
)
def test_how_many_losses_are_survived(cluster: dict[str, Any], survived: int, sentence: str) -> None:
    assert losses_survived(cluster) == survived
    assert tolerance(cluster) == sentence


def test_a_joint_configuration_needs_both_majorities() -> None:
    leader = node_view("id1")
    leader["members"] = [{**member, "role": "voter"} for member in leader["members"]]
    leader["members"] += [{**leader["members"][0], "id": f"old{n}", "role": "outgoing"} for n in (1, 2, 3)]
    old = [node_view(f"old{n}") for n in (1, 2)]
    assert losses_survived(cluster_view(leader, node_view("id2"), node_view("id3"), *old)) == 0
    assert losses_survived(cluster_view(leader, node_view("id2"), node_view("id3"), old[0])) == -1


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (65, "1m 5s"), (7300, "2h 1m"), (900_000, "10d 10h")])
def test_a_row_tells_keys_log_uptime_version_and_level(seconds: int, text: str) -> None:
    view = node_view("id1", keys=12, log_bytes=1536, uptime=float(seconds), version="1.2.3", level=2)
    view |= {"disk_free": 3 << 30, "disk_total": 9 << 30, "disk_state": "ok"}
    [row, *_] = member_rows(cluster_view(view, node_view("id2"), node_view("id3")))
    assert row[COLUMNS.index("keys") :] == ("12", "1.50K", "3.00G", text, "1.2.3", "2")


def test_a_disk_that_is_low_is_a_problem_and_marked() -> None:
    low = {"disk_free": 100 << 20, "disk_total": 9 << 30, "disk_state": "low", "snapshot_found_no_room": True}
    warning = low | {"disk_state": "warning", "snapshot_found_no_room": False}
    refusing = {"growth_refusal": "too many disks are low: writes that add data are refused"}
    cluster = cluster_view(node_view("id1") | refusing, node_view("id2") | low, node_view("id3") | warning)
    assert cluster_problems(cluster) == [
        "id1: too many disks are low: writes that add data are refused",
        "id2's disk is low: 100 MB are left",
        "id2 found no room for a snapshot",
    ]
    free = [row[COLUMNS.index("disk free")] for row in member_rows(cluster)]
    assert free == ["-", "100.00M (low)", "100.00M (warning)"]


def test_clocks_that_are_off_are_a_problem_and_shown_as_the_leader_tells_them() -> None:
    def told(**changes: object) -> dict[str, object]:
        leader = node_view("id1", **{"max_clock_offset": 5.0, "clock_ahead": 0.001, "clock_error": 0.0, **changes})
        for peer, offset in zip(leader["members"], (None, -3600.0, 0.0124), strict=True):
            peer["clock_offset"] = offset
        return cluster_view(leader, node_view("id2"), node_view("id3"))

    view = told()
    assert [row[COLUMNS.index("clock")] for row in member_rows(view)] == ["-", "-3600.000 s", "+0.012 s"]
    assert cluster_problems(view) == ["the wall clock of id2 is -3600.0 s off the leader's"]
    assert cluster_problems(told(clock_ahead=60.0)) == [
        "the cluster's clock is 60.0 s ahead of the wall clocks",
        "the wall clock of id2 is -3600.0 s off the leader's",
    ]
    assert cluster_problems(told(clock_error=3600.0)) == [
        "the wall clock of the leader id1 is +3600.0 s off what a majority's stand for"
    ]


def test_everything_that_is_told_fits_an_ordinary_terminal() -> None:
    views = [
        node_view(i, keys=1_000_000, log_bytes=64 << 20, uptime=90_000.0, version="0.2.0", level=2)
        | {"disk_free": 100 << 30, "disk_total": 200 << 30, "disk_state": "warning", "commit": 123_456_789}
        for i in ("id1", "id2", "id3")
    ]
    written = io.StringIO()
    print_cluster(cluster_view(*views), Console(file=written, width=100))
    text = written.getvalue()
    told = ("10.0.0.2:15379", "10.0.0.2:5379", "123456789", "64.00M", "100.00G (warning)", "1d 1h", "0.2.0", "follower")
    assert [word for word in (*COLUMNS, *told) if word not in text] == []
