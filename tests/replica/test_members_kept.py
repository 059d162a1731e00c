"""What a member is stays what the cluster was told, and who leads next is the one that a reader would name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leto.config import Address
from leto.errors import ConfigurationRefused, UnknownMember
from leto.interfaces.store import Identity
from leto.keyspace.machine import understood
from leto.raft.configuration import Member
from leto.twins.transport import MemoryTransport
from tests.replica.cluster import CLUSTER_ID, Cluster, Node, Outcome


def asked(cluster: Cluster, node: Node, incarnation: str, *, voter: bool | None = None) -> None:
    """JOIN (voter=None) or RAFT ADD, and what came of it."""
    if voter is None and node.replica is None:
        node.introduce(incarnation)
    change = Outcome(
        cluster.leader.replica.add_member(
            node.name, str(node.config.raftbind), voter=voter, incarnation=incarnation, client_address=""
        )
    )
    cluster.until(lambda: change.done)
    if change.error is not None:
        raise change.error


def member(cluster: Cluster, name: str) -> Member:
    found = cluster.leader.replica.node.configuration.member(name)
    assert found is not None
    return found


def test_a_learner_that_was_added_as_one_stays_one_when_its_node_comes() -> None:
    cluster = Cluster(3)
    node = cluster.add("id4")
    asked(cluster, node, "", voter=False)
    node.incarnation = "first"
    asked(cluster, node, "first")
    node.start()
    cluster.until(lambda: node.replica.machine.applied == cluster.leader.replica.machine.applied)
    cluster.advance(5.0)
    assert (member(cluster, "id4").voter, member(cluster, "id4").joining) == (False, False)
    # Its directory is lost: still a learner, until somebody promotes it.
    node.crash()
    node.store = type(node.store)()
    node.incarnation = "second"
    cluster.advance(2.0)
    asked(cluster, node, "second")
    node.start()
    cluster.until(lambda: node.replica.machine.applied == cluster.leader.replica.machine.applied)
    cluster.advance(5.0)
    assert (member(cluster, "id4").voter, member(cluster, "id4").joining) == (False, False)
    promoted = Outcome(cluster.leader.replica.promote("id4"))
    cluster.until(lambda: promoted.done)
    assert promoted.error is None
    assert member(cluster, "id4").voter


def test_a_demoted_voter_that_joins_again_stays_a_learner_unless_added_as_a_voter() -> None:
    cluster = Cluster(3)
    demoted = Outcome(cluster.leader.replica.demote("id3"))
    cluster.until(lambda: demoted.done)
    asked(cluster, cluster.nodes["id3"], "id3x1")
    cluster.advance(5.0)
    assert not member(cluster, "id3").voter
    asked(cluster, cluster.nodes["id3"], "", voter=True)
    cluster.until(lambda: member(cluster, "id3").voter)


def test_a_voter_is_not_made_a_learner_by_adding_it_as_one() -> None:
    cluster = Cluster(3)
    with pytest.raises(ConfigurationRefused, match="id3 is a member already, and not a learner: demote it"):
        asked(cluster, cluster.nodes["id3"], "", voter=False)
    assert member(cluster, "id3").voter


def test_the_removal_of_an_unknown_id_is_refused() -> None:
    cluster = Cluster(1)
    removal = Outcome(cluster.leader.replica.remove_member("nobody"))
    cluster.until(lambda: removal.done)
    assert isinstance(removal.error, UnknownMember)


@pytest.mark.parametrize("size", [3, 5])
def test_a_leader_that_stops_hands_over_to_the_lowest_of_those_that_are_level(size: int) -> None:
    cluster = Cluster(size)
    cluster.do("SET", "a", "b")
    cluster.settle()
    cluster.advance(0.5)
    assert cluster.leader.name == "id1"
    transfer = Outcome(cluster.leader.replica.transfer(None))
    cluster.until(lambda: transfer.done)
    assert transfer.value == "id2"


def test_a_leader_that_is_removed_hands_over_to_the_lowest_of_those_that_are_level() -> None:
    cluster = Cluster(3)
    cluster.do("SET", "a", "b")
    cluster.settle()
    cluster.advance(0.5)
    removal = Outcome(cluster.leader.replica.remove_member("id1"))
    cluster.until(lambda: removal.done and cluster.nodes["id2"].replica.is_leader)


def test_one_that_lacks_what_is_committed_is_passed_over() -> None:
    cluster = Cluster(3)
    cluster.network.cut("id1", "id2")
    for number in range(5):
        cluster.do("SET", f"k{number}", "v")
    transfer = Outcome(cluster.leader.replica.transfer(None))
    cluster.until(lambda: transfer.done)
    assert transfer.value == "id3"


def test_a_node_that_cannot_be_reached_is_not_taken_in() -> None:
    cluster = Cluster(3)
    node = cluster.add("id4")
    before = cluster.leader.replica.node.configuration
    with pytest.raises(ConfigurationRefused, match=r"cannot reach id4 at 10\.0\.0\.1:\d+, .*: nobody listens there"):
        join_unseen(cluster, node, "first")
    node.introduce("second")
    with pytest.raises(ConfigurationRefused, match="another data directory of that id answers there"):
        join_unseen(cluster, node, "first")
    cluster.network.cut("id1", "id4")
    with pytest.raises(ConfigurationRefused, match="no answer"):
        join_unseen(cluster, node, "second")
    cluster.network.heal_all()
    with pytest.raises(ConfigurationRefused, match="'id4' answers there"):
        join_unseen(cluster, node, "", server_id="id5")
    assert cluster.leader.replica.node.configuration == before
    join_unseen(cluster, node, "second")
    assert member(cluster, "id4").incarnation == "second"


def test_a_known_member_moves_only_to_where_its_own_directory_answers() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id3"]
    with pytest.raises(ConfigurationRefused, match="nobody listens there"):
        join_unseen(cluster, node, "", address="10.0.0.7:1")
    stranger = answering(cluster, "another", "10.0.0.7:1")
    with pytest.raises(ConfigurationRefused, match="another data directory of that id answers there"):
        join_unseen(cluster, node, "", address="10.0.0.7:1")
    cluster.network.remove(stranger)
    answering(cluster, "id3x1", "10.0.0.7:1")
    join_unseen(cluster, node, "", address="10.0.0.7:1")
    moved = member(cluster, "id3")
    assert (moved.address, moved.voter) == ("10.0.0.7:1", True)
    assert moved.client_address == f"10.0.0.7:{node.config.listen.port}", "it moved along"


def test_a_known_member_at_its_address_need_not_be_met_to_change_its_client_address() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id3"]
    cluster.network.cut("id1", "id3")
    join_unseen(cluster, node, "id3x1", client="10.0.0.1:9")
    assert member(cluster, "id3").client_address == "10.0.0.1:9"


def answering(cluster: Cluster, incarnation: str, address: str) -> MemoryTransport:
    """What answers there as id3 on that directory, of this version."""
    transport = MemoryTransport(cluster.network, Identity(CLUSTER_ID, "id3", incarnation), address, level=understood())
    transport.introduce()
    return transport


def join_unseen(
    cluster: Cluster, node: Node, incarnation: str, *, address: str = "", server_id: str = "", client: str = ""
) -> None:
    """JOIN of what does not show itself by this."""
    change = Outcome(
        cluster.leader.replica.add_member(
            server_id or node.name,
            address or str(node.config.raftbind),
            voter=None,
            incarnation=incarnation,
            client_address=client,
        )
    )
    cluster.until(lambda: change.done)
    if change.error is not None:
        raise change.error


def moving(cluster: Cluster, name: str, address: str, **options: str) -> None:
    change = Outcome(cluster.leader.replica.move_member(name, address, **options))
    cluster.until(lambda: change.done)
    if change.error is not None:
        raise change.error


def test_moving_is_for_members_on_their_own_directories_where_they_are() -> None:
    cluster = Cluster(3)
    with pytest.raises(UnknownMember):
        moving(cluster, "id9", "10.0.0.7:1")
    with pytest.raises(ConfigurationRefused, match="id3 is another data directory's id by now"):
        moving(cluster, "id3", "10.0.0.7:1", incarnation="another")
    with pytest.raises(ConfigurationRefused, match="nobody listens there"):
        moving(cluster, "id3", "10.0.0.7:1", incarnation="id3x1")
    answering(cluster, "id3x1", "10.0.0.7:1")
    moving(cluster, "id3", "10.0.0.7:1", incarnation="id3x1", client_address=":7")
    found = member(cluster, "id3")
    assert (found.address, found.client_address, found.voter) == ("10.0.0.7:1", "10.0.0.7:7", True)


def test_a_leader_moves_itself_to_where_its_options_say_and_nowhere_else() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id1"]
    with pytest.raises(ConfigurationRefused, match=r"id1, which leads, is at 10\.0\.0\.1:\d+ by its own options"):
        moving(cluster, "id1", "10.0.0.8:1")
    with pytest.raises(ConfigurationRefused, match="by its own options, not at"):
        join_unseen(cluster, node, "", address="10.0.0.8:1")
    node.crash()
    node.raft_address = "10.0.0.8:1"
    node.config = replace(node.config, raftbind=Address("10.0.0.8", 1))
    node.start()
    cluster.settle()
    handed = Outcome(cluster.leader.replica.transfer("id1"))
    cluster.until(lambda: handed.done and node.replica.is_leader)
    moving(cluster, "id1", "10.0.0.8:1", client_address="10.0.0.8:2")
    assert (member(cluster, "id1").address, member(cluster, "id1").client_address) == ("10.0.0.8:1", "10.0.0.8:2")


def test_a_leader_writes_down_where_a_member_is_that_came_back_on_another_host() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id3"]
    was = member(cluster, "id3")
    node.crash()
    node.raft_address = "10.0.0.9:15379"
    node.start()
    cluster.settle()
    cluster.advance(3.0)
    assert member(cluster, "id3") == was, "it may be there for a moment only"
    cluster.until(lambda: member(cluster, "id3").address == "10.0.0.9:15379")
    found = member(cluster, "id3")
    assert (found.voter, found.incarnation) == (was.voter, was.incarnation)
    assert found.client_address == f"10.0.0.9:{node.config.listen.port}"
    cluster.assert_equal_state()


def test_a_member_that_still_answers_at_its_old_address_too_is_left_there() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id3"]
    was = member(cluster, "id3")
    node.crash()
    node.raft_address = "10.0.0.9:15379"
    node.start()
    cluster.until(lambda: cluster.leader.transport.reached_at("id3") == node.raft_address)
    answering(cluster, "id3x1", was.address)
    cluster.advance(20.0)
    assert member(cluster, "id3") == was


def test_a_member_at_a_name_is_left_there() -> None:
    cluster = Cluster(3)
    node = cluster.nodes["id3"]
    answering(cluster, "id3x1", "db3.example:1")
    moving(cluster, "id3", "db3.example:1")
    cluster.network.remove(cluster.network.find("db3.example:1"))
    node.crash()
    node.start()
    cluster.settle()
    cluster.advance(20.0)
    assert member(cluster, "id3").address == "db3.example:1"
