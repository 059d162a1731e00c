"""What a leader makes of a wish for another configuration, before it proposes it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from leto.config import Address, Config
from leto.errors import ConfigurationRefused, OutcomeUnknown, Stopping
from leto.raft.configuration import Configuration, Member, demoted
from leto.raft.state import Role
from leto.replica.membership import MOST_MEETINGS, Membership
from leto.twins.store import MemoryFlusher
from tests.replica.cluster import Cluster, Outcome


def unmet(*asked: object) -> Deferred[None]:
    raise AssertionError("nobody needs to be met")


def own_address_after_a_join(raftbind: str, reached_at: str, before: str = ":15379") -> str:
    """What the configuration calls the bootstrapped node once another has asked it, at that address, to be taken in.

    Raises what the join is refused with.
    """
    proposed: list[Configuration] = []
    node = SimpleNamespace(
        id="id1",
        role=Role.LEADER,
        term=1,
        configuration=Configuration(members=(Member("id1", before, True),)),
        can_change_configuration=True,
        progress={},
        propose_configuration=lambda wanted, _: proposed.append(wanted) or 1,
    )
    config = Config(id="id1", raftbind=Address.parse(raftbind))
    membership = Membership(Clock(), config, node, lambda: None, unmet)  # type: ignore[arg-type]
    change = membership.add(
        "id2", "10.0.0.2:15379", voter=True, client_address="", reached_at=reached_at, incarnation="x"
    )
    refused: list[BaseException] = []
    change.addErrback(lambda failure: refused.append(failure.value))
    if refused:
        raise refused[0]
    member = proposed[0].member("id1")
    assert member is not None
    return member.address


@pytest.mark.parametrize(
    ("raftbind", "reached_at", "learnt"),
    [
        (":15379", "10.0.0.1", "10.0.0.1:15379"),
        (":15379", "fd00::1", "[fd00::1]:15379"),
        ("0.0.0.0:15379", "10.0.0.1", "10.0.0.1:15379"),
        ("[::]:15379", "fd00::1", "[fd00::1]:15379"),
    ],
)
def test_a_bootstrapped_node_learns_its_address_from_a_join(raftbind: str, reached_at: str, learnt: str) -> None:
    assert own_address_after_a_join(raftbind, reached_at) == learnt
    loopback = "[::1]:15379" if ":" in reached_at else "127.0.0.1:15379"
    assert own_address_after_a_join(raftbind, reached_at, loopback) == learnt  # a later join corrects it


@pytest.mark.parametrize(("raftbind", "reached_at"), [("0.0.0.0:15379", "fd00::1"), ("[::]:15379", "10.0.0.1")])
def test_it_learns_no_address_where_its_peers_port_does_not_listen(raftbind: str, reached_at: str) -> None:
    with pytest.raises(ConfigurationRefused, match="id1 has the address ':15379', which others cannot dial"):
        own_address_after_a_join(raftbind, reached_at)
    assert own_address_after_a_join(raftbind, reached_at, "127.0.0.1:15379") == "127.0.0.1:15379"


def test_of_many_that_ask_to_be_met_only_some_are_dialled_at_a_time() -> None:
    """Any client may have the leader dial anybody, and each who does not answer costs it a descriptor for seconds."""
    dialled: list[Deferred[None]] = []
    given_up: list[int] = []

    def meet(*asked: object) -> Deferred[None]:
        def give_up(meeting: Deferred[None]) -> None:
            given_up.append(dialled.index(meeting))
            meeting.errback(TimeoutError("no answer"))

        dialled.append(Deferred(give_up))
        return dialled[-1]

    node = SimpleNamespace(
        id="id1", role=Role.LEADER, configuration=Configuration(members=(Member("id1", "10.0.0.1:1", True),))
    )
    membership = Membership(Clock(), Config(id="id1"), node, lambda: None, meet)  # type: ignore[arg-type]
    refused: list[BaseException] = []
    for number in range(3 * MOST_MEETINGS):
        change = membership.add(
            f"x{number}", "10.0.0.2:1", voter=None, client_address="", reached_at="", incarnation=f"i{number}"
        )
        change.addErrback(lambda failure: refused.append(failure.value))
    assert len(dialled) == 3 * MOST_MEETINGS
    assert given_up == list(range(2 * MOST_MEETINGS)), "the oldest, for who is there answers at once"
    assert len(refused) == 2 * MOST_MEETINGS
    assert all(isinstance(error, ConfigurationRefused) for error in refused)


def test_changes_of_a_replica_that_is_dropped_are_not_resumed() -> None:
    """Where one waits for its commit and another for its turn, the collector may end the second before the first."""
    cluster = Cluster(3)
    cluster.network.partition([cluster.leader.name], [node.name for node in cluster.followers])
    membership = cluster.leader.replica.membership
    changes = [membership._change_once_free(partial(demoted, id=id)) for id in ("id2", "id3")]
    ended: list[object] = []
    for change in changes:
        Deferred.fromCoroutine(change).addBoth(ended.append)
    assert len(membership.waiting) == 1
    for change in reversed(changes):
        change.close()  # as the collector does
    assert not ended


def test_a_change_that_waits_for_its_turn_has_none_once_the_node_stops() -> None:
    cluster = Cluster(1)
    replica = cluster.leader.replica
    replica.driver._flusher = MemoryFlusher()  # nothing commits
    appended, waiting = (Outcome(replica.add_member(id, "10.0.0.1:1", voter=False)) for id in ("id2", "id3"))
    stopped = Outcome(Deferred.fromCoroutine(replica.stop()))
    assert replica.is_leader and stopped.done and stopped.error is None
    assert isinstance(appended.error, OutcomeUnknown)
    assert isinstance(waiting.error, Stopping)
    assert not replica.membership.waiting
