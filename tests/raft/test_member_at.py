"""Which configuration a node last found itself in: by it a node that was removed while it was away knows its place."""

from __future__ import annotations

import pytest

from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState
from leto.raft.node import Node
from leto.raft.settings import Settings
from leto.raft.state import Role


class Log:
    """A LogReader over entries from index 1."""

    first_index = 1

    def __init__(self, entries: list[Entry]) -> None:
        self.stored = entries
        self.last_index = len(entries)

    def term(self, index: int) -> int:
        return self.stored[index - 1].term if index else 0

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        return self.stored[low - 1 : high - 1]

    def configurations(self) -> list[Entry]:
        return [entry for entry in self.stored if entry.kind == EntryKind.CONFIGURATION]


def node_with(*memberships: str, commit: int, incarnation: str | None = None) -> Node:
    """Node c, whose log holds a configuration for each text such as "abc"; a capital has lost its disk once."""
    configurations = [
        Configuration(tuple(Member(m.lower(), f"{m}:1", True, incarnation="second" * m.isupper()) for m in ids))
        for ids in memberships
    ]
    return node_of(configurations, commit=commit, incarnation=incarnation)


def node_of(configurations: list[Configuration], *, commit: int, incarnation: str | None) -> Node:
    entries = [
        Entry(i, 1, int(EntryKind.CONFIGURATION), encode(configuration))
        for i, configuration in enumerate(configurations, 1)
    ]
    return Node(
        Settings(id="c", incarnation=incarnation),
        Log(entries),
        hard_state=HardState(term=1, commit=commit),
        snapshot=None,
        applied=0,
        random=lambda: 0.5,
        now=0.0,
    )


@pytest.mark.parametrize(
    ("memberships", "commit", "member_at"),
    [
        ((), 0, -1),
        (("a", "ab"), 2, -1),  # catching up: not named yet
        (("a", "abc"), 0, 2),  # named, whether or not that is committed
        (("a", "abc", "ab"), 0, 2),  # the removal is the log's last word, its commit unknown
        (("a", "abc", "ab"), 3, 2),
        (("a", "abc", "ab", "abc"), 1, 4),  # taken back
    ],
)
def test_the_newest_configuration_that_names_the_node(
    memberships: tuple[str, ...], commit: int, member_at: int
) -> None:
    assert node_with(*memberships, commit=commit).member_at == member_at


@pytest.mark.parametrize(
    ("memberships", "commit", "member_at"),
    [
        (("abc", "ab"), 1, -1),  # what its lost disk was a member of says nothing of it
        (("abc", "ab"), 2, -1),
        (("abc", "ab", "abC"), 1, 3),
        (("abc", "ab", "abC", "ab"), 4, 3),
    ],
)
def test_a_configuration_that_names_an_earlier_disk_of_the_node_does_not_name_it(
    memberships: tuple[str, ...], commit: int, member_at: int
) -> None:
    node = node_with(*memberships, commit=commit, incarnation="second")
    node.ready(0)
    assert node.member_at == member_at


@pytest.mark.parametrize(
    ("incarnation", "role"), [("", Role.CANDIDATE), (None, Role.CANDIDATE), ("second", Role.FOLLOWER)]
)
def test_only_the_data_directory_that_is_meant_campaigns(incarnation, role):
    """A sole voter was removed and came back without its disk. Brought the log from its beginning, it reads there that
    it is the sole voter, and must not elect itself on what it has of the log."""
    node = node_with("c", commit=1, incarnation=incarnation)
    node.tick(10.0)
    assert node.role is role


@pytest.mark.parametrize(("incarnation", "role"), [("", Role.PRE_CANDIDATE), ("second", Role.FOLLOWER)])
def test_nor_does_another_by_the_votes_that_go_out_with_a_joint_change(incarnation, role):
    before = Configuration(tuple(Member(id, f"{id}:1", True) for id in "abc"))
    back = Member("c", "c:1", False, incarnation="second")
    both = Configuration((*before.members[:1], back, Member("d", "d:1", True)), before.members)
    node = node_of([before, both], commit=1, incarnation=incarnation)
    node.tick(10.0)
    assert node.role is role


def test_nor_does_it_by_an_earlier_configuration_than_one_that_is_not_committed():
    node = node_with("c", "ab", commit=1, incarnation="second")
    node.tick(10.0)
    assert node.role is Role.FOLLOWER
