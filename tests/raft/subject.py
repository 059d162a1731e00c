"""One node under test; the test itself plays all the other servers.

Nothing here judges: a test steps messages in and looks at what comes out and at what the node is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from leto.raft import invariants
from leto.raft.configuration import Configuration, encode
from leto.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    EntryKind,
    HardState,
    InstallSnapshot,
    Message,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
)
from leto.raft.node import Node
from leto.raft.ready import ReadState, Ready
from leto.raft.settings import Settings
from leto.raft.state import Role
from tests.raft.disk import Disk, LogImage, Write
from tests.raft.network import configuration_of

M = TypeVar("M")


class Subject:
    """A node `id` among `voters` (and `learners`), whose log has entries of `terms` (the first one is the
    configuration's) and whose hard state is (`term`, `vote`, `commit`). Its disk syncs at once while `syncing`."""

    def __init__(
        self,
        id: str = "a",
        voters: Sequence[str] = ("a", "b", "c"),
        *,
        learners: Sequence[str] = (),
        terms: Sequence[int] = (1,),
        term: int | None = None,
        vote: str = "",
        commit: int = 1,
        snapshot: SnapshotMeta | None = None,
        random: float = 0.0,
        **settings: Any,
    ) -> None:
        self.settings = Settings(id=id, **{"commit_notice": 0.0, **settings})  # the papers know no delay of it
        self.configuration = configuration_of(voters, learners)
        self.random = random
        self.now = 100.0
        self.disk = Disk()
        if terms:
            first = Entry(1, 1, EntryKind.CONFIGURATION, encode(self.configuration))
            rest = [command(index, term_) for index, term_ in enumerate(terms[1:], 2)]
            self.disk.durable = LogImage(1, 0, [first, *rest])
        self.disk.written = self.disk.durable.copy()
        self.disk.hard_state = HardState(max(terms, default=0) if term is None else term, vote, commit)
        if snapshot is not None:
            self.disk.blobs[snapshot.index] = (snapshot, ())
            self.disk.snapshot = snapshot
        self.syncing = True
        self.start()

    def start(self) -> None:
        """Also a restart: what is not on the disk is gone."""
        self.disk.crash()
        self.sent: list[Message] = []
        self.held: list[Ready] = []  # not durable yet
        self.applied: list[Entry] = []
        self.reads: list[ReadState] = []
        self.offers: list[InstallSnapshot] = []
        self.restored: list[SnapshotMeta] = []
        self.node = Node(
            self.settings,
            self.disk,
            hard_state=self.disk.hard_state,
            snapshot=self.disk.snapshot,
            applied=self.disk.snapshot.index if self.disk.snapshot is not None else 0,
            random=lambda: self.random,
            now=self.now,
        )
        self.settle()

    @property
    def log(self) -> list[tuple[int, int]]:
        """(index, term) of every entry written."""
        return [(entry.index, entry.term) for entry in self.disk.written.entries]

    def settle(self) -> None:
        node = self.node
        invariants.check(node)
        while (ready := node.ready(int(self.now * 1000))) is not None:
            self.sent.extend(ready.messages)
            self.offers.extend(ready.snapshots_to_send)
            if ready.snapshot is not None:
                self.restored.append(ready.snapshot)
                self.disk.receive_blob(ready.snapshot, ())
            self.disk.write(Write(ready.number, ready.hard_state, ready.entries, ready.snapshot))
            self.held.append(ready)
            if self.syncing or all(write.is_empty for write in self.disk.waiting):
                self._sync()
            self.applied.extend(ready.committed)
            if ready.committed:
                node.applied(ready.committed[-1].index)
            self.reads.extend(ready.reads)
            invariants.check(node)

    def _sync(self) -> None:
        if self.held:
            number = self.held[-1].number
            self.disk.sync(number)
            self.node.persisted(number)
            for ready in self.held:
                self.sent.extend(ready.messages_after_persist)
            self.held.clear()

    def sync(self) -> list[Message]:
        """The disk has all that waited; -> what that lets out."""
        return self.does(self._sync)

    def does(self, action: Callable[..., Any], *args: Any) -> list[Message]:
        """Do it and settle, -> what the node sends."""
        self.sent = []
        action(*args)
        self.settle()
        return self.sent

    def receives(self, message: Message) -> list[Message]:
        return self.does(self.node.step, message, self.now)

    def proposes(self, payload: bytes = b"x") -> list[Message]:
        return self.does(self.node.propose, payload, self.now)

    def waits(self, seconds: float) -> list[Message]:
        """Let time pass, with a tick at every deadline that is due; -> what it sends meanwhile."""
        sent: list[Message] = []
        end = self.now + seconds
        while (due := min(self.node.election_deadline, self.node.heartbeat_deadline)) <= end:
            self.now = max(self.now, due)
            sent += self.does(self.node.tick, self.now)
        self.now = end
        return sent

    def waits_for_election(self) -> list[Message]:
        """Until its election timeout passes."""
        return self.waits(self.node.election_deadline - self.now)

    def campaigns(self) -> list[Message]:
        """To a real candidate: the others grant the pre-vote. -> its vote requests"""
        self.does(self.node.campaign, self.now)
        for voter in self._others():
            if self.node.role == Role.PRE_CANDIDATE:
                self.receives(RequestVoteReply(voter, self.node.id, self.node.term + 1, True, pre=True))
        assert self.node.role in (Role.CANDIDATE, Role.LEADER)
        return self.sent

    def leads(self, *, committed: bool = True) -> Subject:
        """The others elect it and, if `committed`, have its first entry."""
        self.campaigns()
        term = self.node.term
        for voter in self._others():
            if self.node.role == Role.CANDIDATE:
                self.receives(RequestVoteReply(voter, self.node.id, term, True))
        assert self.node.role == Role.LEADER
        if committed:
            for id_ in self.node.configuration.ids():
                if id_ != self.node.id:
                    self.receives(self.acknowledgement(id_))
            assert self.node.commit == self.node.last_index
        return self

    def _others(self) -> list[str]:
        configuration = self.node.configuration
        return [id_ for id_ in configuration.ids() if configuration.votes(id_) and id_ != self.node.id]

    def acknowledgement(
        self, sender: str, match: int | None = None, *, round_: int = 0, promised_ms: int = 0
    ) -> AppendEntriesReply:
        """A follower has everything up to `match` (None: all)."""
        match = self.node.last_index if match is None else match
        return AppendEntriesReply(
            sender, self.node.id, self.node.term, True, match_index=match, round=round_, promised_ms=promised_ms
        )


def command(index: int, term: int) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"%d@%d" % (index, term))


def append(
    term: int,
    prev: tuple[int, int],
    entries: Sequence[tuple[int, int]] = (),
    *,
    commit: int = 0,
    sender: str = "b",
    to: str = "a",
    **more: Any,
) -> AppendEntries:
    """An AppendEntries after the entry `prev`, with commands at `entries`, all (index, term)."""
    return AppendEntries(sender, to, term, prev[0], prev[1], commit, tuple(command(*at) for at in entries), **more)


def vote_request(term: int, last: tuple[int, int], *, sender: str = "b", to: str = "a", **more: Any) -> RequestVote:
    return RequestVote(sender, to, term, last[0], last[1], **more)


def of_kind(messages: Sequence[Message], kind: type[M]) -> list[M]:
    return [message for message in messages if isinstance(message, kind)]


def the(messages: Sequence[Message], kind: type[M]) -> M:
    """The one message of that kind."""
    found = of_kind(messages, kind)
    assert len(found) == 1, messages
    return found[0]


__all__ = [
    "AppendEntries",
    "AppendEntriesReply",
    "Configuration",
    "InstallSnapshot",
    "RequestVote",
    "RequestVoteReply",
    "Role",
    "SnapshotMeta",
    "Subject",
    "TimeoutNow",
    "append",
    "command",
    "of_kind",
    "the",
    "vote_request",
]
