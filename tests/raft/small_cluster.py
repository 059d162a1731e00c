"""A small cluster of cores for tests: instant disks, a network that loses nothing but what is cut off."""

from __future__ import annotations

import math

from leto.errors import (
    Compacted,
    Unavailable,
)
from leto.raft import configuration as configurations
from leto.raft.configuration import Configuration, Member
from leto.raft.invariants import check
from leto.raft.messages import (
    AppendEntries,
    Entry,
    EntryKind,
    HardState,
)
from leto.raft.node import Node
from leto.raft.settings import Settings
from leto.raft.state import Role


class Disk:
    """LogReader over a list; only what was written to it."""

    def __init__(self, entries=(), snapshot=None):
        self.stored = list(entries)
        self.snapshot = snapshot
        self.hard_state = HardState()
        self.first_index = snapshot.index + 1 if snapshot else 1

    @property
    def last_index(self):
        return self.first_index + len(self.stored) - 1

    def term(self, index):
        if index == 0:
            return 0
        if self.snapshot and index == self.snapshot.index:
            return self.snapshot.term
        if index < self.first_index:
            raise Compacted(str(index))
        if index > self.last_index:
            raise Unavailable(str(index))
        return self.stored[index - self.first_index].term

    def entries(self, low, high, max_bytes):
        if low < self.first_index:
            raise Compacted(str(low))
        result, size = [], 0
        for entry in self.stored[low - self.first_index : high - self.first_index]:
            size += len(entry.payload)
            if result and size > max_bytes:
                break
            result.append(entry)
        return result

    def configurations(self):
        return [e for e in self.stored if e.kind == EntryKind.CONFIGURATION]

    def write(self, ready):
        if ready.snapshot:
            meta = ready.snapshot
            keep = self.first_index <= meta.index <= self.last_index and self.term(meta.index) == meta.term
            self.stored = self.stored[meta.index + 1 - self.first_index :] if keep else []
            self.snapshot, self.first_index = meta, meta.index + 1
        if ready.entries:
            start = ready.entries[0].index
            assert start <= self.last_index + 1
            del self.stored[start - self.first_index :]
            self.stored.extend(ready.entries)
        if ready.hard_state:
            self.hard_state = ready.hard_state

    def compact(self, index):
        del self.stored[: index + 1 - self.first_index]
        self.first_index = index + 1


class Cluster:
    """Nodes whose disks are instant and whose messages all arrive, except to and from those in `cut`."""

    def __init__(self, ids, *, voters=None, own=None, **settings):
        """`own`: some nodes' own settings, by id."""
        self.now = 100.0
        self.own = own or {}
        self.wall_offsets = {}  # by id: seconds that a node's wall clock is off; else it shows `now`
        self.settings = {"commit_notice": 0.0, **settings}  # no test has to wait for a commit to be told
        self.nodes, self.disks, self.applied, self.reads, self.cut = {}, {}, {}, {}, set()
        members = tuple(Member(i, f"{i}:1", i in (voters or ids)) for i in sorted(voters or ids))
        first = Entry(1, 1, EntryKind.CONFIGURATION, configurations.encode(Configuration(members)))
        for id in ids:
            disk = Disk([first] if id in (voters or ids) else [])
            disk.hard_state = HardState(1, "", 1) if disk.stored else HardState()
            self.boot(id, disk)

    def boot(self, id, disk):
        seed = len(self.disks) * 0.37 + 0.1
        self.disks[id] = disk
        self.applied[id] = []
        self.reads.setdefault(id, [])
        snapshot = disk.snapshot
        self.nodes[id] = Node(
            Settings(id=id, **{**self.settings, **self.own.get(id, {})}),
            disk,
            hard_state=disk.hard_state,
            snapshot=snapshot,
            applied=snapshot.index if snapshot else 0,
            random=lambda: math.fmod(seed * 7.13, 1.0),
            now=self.now,
        )

    def wall_ms(self, id):
        return round((self.now + self.wall_offsets.get(id, 0.0)) * 1000)

    def run(self):
        """Until nobody has anything to do."""
        busy = True
        while busy:
            busy = False
            for id, node in list(self.nodes.items()):
                may_be_due = True
                while ready := node.ready(self.wall_ms(id)):
                    assert may_be_due, f"{node} has something to do though it said that nothing was due"
                    busy = True
                    check(node)
                    self.disks[id].write(ready)
                    may_be_due = node.persisted(ready.number) or bool(ready.committed or ready.snapshots_to_send)
                    check(node)
                    for snapshot in ready.snapshots_to_send:
                        self.deliver(snapshot)
                        if snapshot.to not in self.cut and id not in self.cut:
                            node.snapshot_sent(snapshot.to, snapshot.meta.index, True, self.now)
                    for message in [*ready.messages, *ready.messages_after_persist]:
                        self.deliver(message)
                    self.applied[id].extend(ready.committed)
                    if ready.committed:
                        node.applied(ready.committed[-1].index)
                    self.reads[id].extend(ready.reads)

    def deliver(self, message):
        if message.sender in self.cut or message.to in self.cut or message.to not in self.nodes:
            return
        self.nodes[message.to].step(message, self.now)
        check(self.nodes[message.to])

    def advance(self, seconds, step=0.05):
        for _ in range(round(seconds / step)):
            self.now += step
            for node in self.nodes.values():
                node.tick(self.now)
                check(node)
            self.run()

    def leader(self):
        leaders = [n for n in self.nodes.values() if n.role is Role.LEADER and n.id not in self.cut]
        assert len(leaders) == 1, leaders
        return leaders[0]

    def elect(self, id):
        self.nodes[id].campaign(self.now)
        self.run()
        assert self.nodes[id].role is Role.LEADER
        return self.nodes[id]

    def payloads(self, id):
        return [e.payload for e in self.applied[id] if e.kind == EntryKind.COMMAND]


def lone(stored=(), term=1, **settings):
    """Node "a" of a, b, c with an asynchronous disk (the test calls persisted); entries after the bootstrap one."""
    members = tuple(Member(i, f"{i}:1", True) for i in "abc")
    first = Entry(1, 1, EntryKind.CONFIGURATION, configurations.encode(Configuration(members)))
    disk = Disk([first, *stored])
    return Node(
        Settings(id="a", **settings),
        disk,
        hard_state=HardState(term, "", 1),
        snapshot=None,
        applied=0,
        random=lambda: 0.5,
        now=0.0,
    ), disk


def append(sender, term, prev_index, prev_term, *entries, commit=0, round=0):
    return AppendEntries(sender, "a", term, prev_index, prev_term, commit, tuple(entries), round)
