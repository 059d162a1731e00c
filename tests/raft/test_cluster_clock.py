"""The cluster clock: it never goes back and never stands still, whoever leads and whatever wall clocks show."""

from __future__ import annotations

import pytest

from leto.raft import clock
from leto.raft.messages import AppendEntriesReply, RequestVoteReply
from leto.raft.state import Role
from tests.raft.small_cluster import Cluster
from tests.raft.subject import Subject, append

HOUR = 3600.0


def shown(cluster, id):
    """Seconds that the cluster clock is ahead of the time."""
    node = cluster.nodes[id]
    return node.cluster_clock(cluster.wall_ms(id), cluster.now) / 1000 - cluster.now


def rate(cluster, id, seconds=2.0):
    """How fast it goes there, compared with the monotonic clock."""
    before = shown(cluster, id)
    cluster.advance(seconds)
    return 1 + (shown(cluster, id) - before) / seconds


def settled(*ids, **settings):
    cluster = Cluster(ids, **settings)
    cluster.now += 1e6  # hours after 1970
    cluster.elect(ids[0])
    cluster.advance(0.3)
    return cluster


def hand_over(cluster, id):
    cluster.leader().transfer(id, cluster.now)
    cluster.run()
    assert cluster.leader().id == id


def test_while_clocks_agree_it_is_the_leaders_wall_clock_to_the_millisecond():
    cluster = settled("a", "b", "c")
    for _ in range(50):
        cluster.advance(0.05, step=0.0137)
        assert cluster.nodes["a"].cluster_clock(cluster.wall_ms("a"), cluster.now) == cluster.wall_ms("a")


def test_a_leaders_clock_that_is_an_hour_ahead_for_a_second_moves_nothing():
    cluster = settled("a", "b", "c")
    cluster.wall_offsets["a"] = HOUR
    for _ in range(20):
        cluster.advance(0.05)
        assert abs(shown(cluster, "a")) < 0.02
    assert cluster.nodes["a"].clock_error == pytest.approx(HOUR, abs=0.1)
    cluster.wall_offsets["a"] = 0.0
    assert rate(cluster, "a") == pytest.approx(1, abs=0.011)
    assert cluster.nodes["a"].clock_error == 0.0


def test_a_clock_that_is_ahead_of_the_confirmed_time_goes_on_a_little_slower_until_they_meet():
    """However it came to be ahead: also as the log says so, after a restart of all nodes."""
    cluster = settled("a", "b", "c")
    for node in cluster.nodes.values():
        node.clock_reached(round((cluster.now + HOUR) * 1000))
    assert shown(cluster, "a") == pytest.approx(HOUR, abs=0.01)
    assert rate(cluster, "a") == pytest.approx(1 - clock.SLEW, abs=0.002)
    hand_over(cluster, "b")
    assert shown(cluster, "b") == pytest.approx(HOUR, abs=0.1)
    assert rate(cluster, "b") == pytest.approx(1 - clock.SLEW, abs=0.002)
    cluster.wall_offsets = dict.fromkeys("abc", HOUR - 0.5)  # the wall clocks come nearer
    cluster.advance(20)
    assert shown(cluster, "b") == pytest.approx(HOUR - 0.5, abs=0.3)
    cluster.advance(60)
    assert shown(cluster, "b") == pytest.approx(HOUR - 0.5, abs=0.002)


def test_a_leadership_that_moves_to_a_clock_that_is_behind_goes_on_by_the_majoritys():
    cluster = settled("a", "b", "c")
    cluster.wall_offsets["b"] = -HOUR
    hand_over(cluster, "b")
    cluster.advance(0.3)
    assert rate(cluster, "b") == pytest.approx(1, abs=0.002)
    assert shown(cluster, "b") == pytest.approx(0, abs=0.02)
    assert cluster.nodes["b"].clock_error == pytest.approx(-HOUR, abs=0.1)


def test_of_two_voters_that_differ_neither_pulls_it_forward_nor_holds_it_back():
    for offset in (HOUR, -HOUR):
        for leader in ("a", "b"):
            cluster = settled("a", "b")
            cluster.wall_offsets["a"] = offset
            cluster.advance(0.3)
            if leader == "b":
                hand_over(cluster, "b")
            cluster.advance(0.3)
            assert abs(shown(cluster, leader)) < 0.02
            assert rate(cluster, leader) == pytest.approx(1, abs=0.001)
            assert cluster.nodes[leader].clock_error


def test_of_two_voters_both_ahead_of_it_the_slower_one_is_caught_up_with_and_behind_it_the_faster_one():
    cluster = settled("a", "b")
    cluster.wall_offsets = {"a": HOUR, "b": 60.0}
    cluster.advance(0.5)
    assert shown(cluster, "a") == pytest.approx(60, abs=0.1)
    cluster.wall_offsets = {"a": 0.0, "b": 30.0}
    cluster.advance(0.5)
    assert rate(cluster, "a") == pytest.approx(1 - clock.SLEW, abs=0.002)


def test_a_voter_alone_is_its_own_majority_and_yet_never_stands_still():
    cluster = settled("a")
    cluster.wall_offsets["a"] = HOUR
    cluster.advance(1)
    assert shown(cluster, "a") == pytest.approx(HOUR, abs=0.01)
    cluster.wall_offsets["a"] = 0.0
    assert rate(cluster, "a") == pytest.approx(1 - clock.SLEW, abs=0.002)


def test_a_jump_that_a_majority_makes_is_followed():
    """As when machines are resumed, or their time is set at last."""
    cluster = settled("a", "b", "c")
    cluster.wall_offsets.update(a=HOUR, b=HOUR)
    cluster.advance(0.3)
    assert shown(cluster, "a") == pytest.approx(HOUR, abs=0.05)
    assert cluster.nodes["a"].clock_error == 0.0


def test_a_leaders_clock_within_the_bound_is_followed_and_beyond_it_is_not():
    cluster = settled("a", "b", "c", max_clock_offset=5.0)
    cluster.wall_offsets["a"] = 4.5
    cluster.advance(0.3)
    assert shown(cluster, "a") == pytest.approx(4.5, abs=0.01)
    cluster.wall_offsets["a"] = 5.5
    cluster.advance(0.3)
    assert shown(cluster, "a") < 4.51
    cluster = settled("a", "b", "c", max_clock_offset=10.0)
    cluster.wall_offsets["a"] = 5.5
    cluster.advance(0.3)
    assert shown(cluster, "a") == pytest.approx(5.5, abs=0.01)


def test_members_of_an_earlier_version_contradict_nobody():
    subject = Subject().leads()
    for _ in range(3):
        for follower in "bc":
            subject.receives(subject.acknowledgement(follower, round_=subject.node._state.round))
        subject.waits(0.1)
    node = subject.node
    assert node.cluster_clock(int((subject.now + HOUR) * 1000), subject.now) == int((subject.now + HOUR) * 1000)
    assert node.clock_offset("b") is None


def test_answers_that_take_longer_than_a_heartbeat_tell_the_time_too():
    subject = Subject(election_timeout=2.0, heartbeat_interval=0.1).leads()
    sent: list[tuple[int, float]] = []
    for _ in range(30):  # each heartbeat is answered 0.25 s later, by clocks that are 2 s ahead
        subject.waits(0.05)
        sent.append((subject.node._state.round, subject.now))
        if len(sent) > 5:
            round_, at = sent[-6]
            wall_ms = int((at + 0.125 + 2) * 1000)
            for id in "bc":
                subject.receives(AppendEntriesReply(id, "a", 2, True, 2, round=round_, wall_ms=wall_ms))
    offset, doubt = subject.node.clock_offset("b") or (0.0, 0.0)
    assert offset == pytest.approx(2, abs=doubt) and doubt < 0.2


def test_an_answer_that_took_too_long_tells_nothing():
    subject = Subject(max_clock_offset=1.0).leads()
    subject.waits(0.1)
    round_ = subject.node._state.round
    subject.now += 1.1
    subject.receives(AppendEntriesReply("b", "a", 2, True, 2, round=round_, wall_ms=int(subject.now * 1000)))
    assert subject.node.clock_offset("b") is None


def test_votes_tell_a_new_leader_the_time_before_its_first_heartbeat():
    subject = Subject()
    subject.campaigns()
    wall_ms = int(subject.now * 1000) + 3_600_000
    for voter in "bc":
        if subject.node.role is Role.CANDIDATE:
            subject.receives(RequestVoteReply(voter, "a", 2, True, clock_ms=wall_ms, wall_ms=wall_ms))
    assert subject.node.role is Role.LEADER
    assert subject.node.clock_error == pytest.approx(-HOUR, abs=0.01)
    assert subject.node.clock_ms == wall_ms


def test_the_time_without_a_leader_passes_too():
    """However wrong the wall clock of the next one is."""
    cluster = settled("a", "b", "c")
    cluster.wall_offsets = dict.fromkeys("bc", -HOUR)
    cluster.advance(0.3)
    assert shown(cluster, "a") == pytest.approx(0, abs=0.03)
    cluster.cut.add("a")
    cluster.now += 3
    for node in cluster.nodes.values():
        node.tick(cluster.now)
    cluster.run()
    cluster.advance(2)
    leader = cluster.leader()
    assert leader.id != "a" and shown(cluster, leader.id) == pytest.approx(0, abs=0.1)


def test_the_rate_does_not_depend_on_how_often_it_is_looked_at():
    for step in (0.00003, 0.0003, 0.0071, 0.3):
        cluster = settled("a")
        node = cluster.nodes["a"]
        node.clock_reached(round((cluster.now + HOUR) * 1000))
        before, now = node.cluster_clock(0, cluster.now), cluster.now
        while now < cluster.now + 0.6:
            now += step
            node.cluster_clock(int(now * 1000), now)
        passed = (node.cluster_clock(int(now * 1000), now) - before) / 1000 / (now - cluster.now)
        assert passed == pytest.approx(1 - clock.SLEW, abs=0.004)


def test_what_a_follower_shows_on_its_own_goes_on_and_never_back():
    cluster = settled("a", "b", "c")
    cluster.wall_offsets["b"] = HOUR
    node, last = cluster.nodes["b"], 0
    for round_ in range(60):
        if round_ == 30:
            cluster.cut.add("b")
        if round_ == 50:
            cluster.cut.clear()
        cluster.advance(0.05)
        told = node.local_clock(cluster.wall_ms("b"), cluster.now)
        assert told >= last
        assert told / 1000 == pytest.approx(cluster.now, abs=0.2)
        last = told


def test_before_a_leader_was_heard_a_local_read_goes_by_the_own_wall_clock():
    cluster = Cluster(["a", "b"])
    assert cluster.nodes["a"].local_clock(5_000_000, cluster.now) == 5_000_000
    cluster.nodes["a"].clock_reached(6_000_000)
    assert cluster.nodes["a"].local_clock(5_000_000, cluster.now) == 6_000_000


def test_a_message_that_was_held_up_does_not_set_the_clock_back():
    """A process that was stopped, with an election under way, finds the votes of long ago."""
    subject = Subject()
    subject.now = 1000.0
    subject.receives(append(1, (1, 1), sender="c", clock_ms=50_000_000))
    subject.campaigns()
    subject.now += 20
    for voter in "bc":
        if subject.node.role is Role.CANDIDATE:
            subject.receives(RequestVoteReply(voter, "a", 2, True, clock_ms=50_000_100, wall_ms=40_000_000))
    assert subject.node.role is Role.LEADER
    assert subject.node.clock_ms == pytest.approx(50_020_000, abs=300)


def test_the_first_leader_of_all_begins_with_what_a_majority_stands_for():
    cluster = Cluster("abc")
    cluster.now += 1e6
    cluster.wall_offsets["a"] = HOUR
    cluster.elect("a")
    assert abs(shown(cluster, "a")) < 0.01


def test_a_clock_that_no_calendar_has_stops_no_cluster_whoever_tells_it():
    """Neither one vote nor a leader's word can bring it where messages and entries hold no later time."""
    latest = (1 << 62) - 1
    for liar in ("vote", "leader"):
        cluster = settled("a", "b", "c")
        b = cluster.nodes["b"]
        if liar == "leader":
            b.step(append(b.term + 1, (0, 0), sender="c", to="b", clock_ms=latest), cluster.now)
        else:
            cluster.cut.add("a")
            cluster.advance(5)
            b = cluster.nodes[cluster.leader().id]
            cluster.cut = {"c" if b.id == "b" else "b"}
            b.step_down(cluster.now)
            cluster.advance(0.3)
            b.campaign(cluster.now)
            told = RequestVoteReply("a", b.id, b.term, False, True, latest, latest)
            b.step(told, cluster.now)
        cluster.cut.clear()
        cluster.advance(5)
        leader = cluster.leader()
        assert clock.LATEST_MS <= leader.clock_ms < clock.LATEST_MS + 60_000
        leader.propose(b"after", cluster.now)
        cluster.advance(1)
        assert all(cluster.payloads(id)[-1:] == [b"after"] for id in cluster.nodes)
