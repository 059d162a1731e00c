"""When a node has reason to think that it has moved: by its own options, or because it hears no leader."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from leto.config import Address, Config
from leto.interfaces.store import Identity
from leto.raft.configuration import Configuration, Member
from leto.replica.announcing import Announcer
from tests.replica.cluster import CLUSTER_ID

MEMBERS = (
    Member("id1", "10.0.0.1:15379", voter=True, client_address="10.0.0.1:5379"),
    Member("id2", "10.0.0.2:15379", voter=True, client_address="10.0.0.2:5379"),
)


def asked_without_a_leader(monkeypatch: pytest.MonkeyPatch, listen: str, raftbind: str) -> bool:
    """Whether id1, which has heard no leader for 30 s, tells the others that it is elsewhere."""
    asked: list[Address] = []

    async def connect(_reactor: object, _config: Config, member: Address) -> None:
        asked.append(member)
        raise ConnectionRefusedError

    monkeypatch.setattr("leto.replica.announcing.Asked.connect", connect)
    clock = Clock()
    config = Config(id="id1", listen=Address.parse(listen), raftbind=Address.parse(raftbind))
    node = SimpleNamespace(id="id1", leader_id="", configuration=Configuration(MEMBERS))
    addresses = SimpleNamespace(of_client={member.id: member.client_address for member in MEMBERS}.get)
    replica = SimpleNamespace(node=node, addresses=addresses, is_leader=False)
    announcer = Announcer(clock, config, Identity(CLUSTER_ID, "id1"), replica)  # type: ignore[arg-type]
    announcer.start()
    clock.pump([0.1] * 300)
    announcer.stop()
    return Address.parse("10.0.0.2:5379") in asked


def test_where_its_options_name_no_host_a_node_that_hears_no_leader_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_without_a_leader(monkeypatch, ":5379", ":15379")
    assert asked_without_a_leader(monkeypatch, "10.0.0.1:5379", "0.0.0.0:15379")


def test_where_they_name_those_that_the_members_know_it_has_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asked_without_a_leader(monkeypatch, "10.0.0.1:5379", "10.0.0.1:15379")


def test_where_they_name_others_it_has_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_without_a_leader(monkeypatch, "10.0.0.9:5379", "10.0.0.9:15379")
