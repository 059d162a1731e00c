"""Log entries made of commands, for the tests of the keyspace."""

from __future__ import annotations

import hiredis

from leto.keyspace import batch
from leto.keyspace.checked import CheckedMachine
from leto.keyspace.machine import Machine
from leto.keyspace.snapshot import LEVELS
from leto.raft.messages import Entry, EntryKind
from tests.keyspace.aliases import aliases

NOW = 1_700_000_000_000  # milliseconds: log time in tests


def words(command):
    """b"SET a b" or ("SET", b"a", 1) as a list of bytes."""
    if isinstance(command, bytes):
        return command.split()
    if isinstance(command, str):
        return command.encode().split()
    return [part if isinstance(part, bytes) else str(part).encode() for part in command]


def pack(*commands):
    return b"".join(hiredis.pack_command(tuple(words(command))) for command in commands)


def entry(index, *requests, time_ms=NOW, term=1):
    """One entry of requests; a list among them is a transaction: [watched pairs or b"", command, ...]."""
    packed = []
    for request in requests:
        if isinstance(request, list):
            watched, *commands = request
            packed.append(pack([b"MULTI", *words(watched)], *commands, b"EXEC"))
        else:
            packed.append(pack(request))
    return Entry(index, term, EntryKind.COMMAND, batch.encode(time_ms, len(requests), b"".join(packed)))


class Bench:
    """A machine with a counter of entries and a clock that only moves when told."""

    def __init__(self, random=lambda: 0.5, now=NOW, commands=None, level=None, checked=True):
        """`commands`: others than Leto's; `level`: the cluster's, if not one that has types. `checked`: the
        keyspace's invariants hold after each entry, and no reply is part of it; that takes as long as it is
        large."""
        self.machine = (CheckedMachine if checked else Machine)(random=random, commands=commands)
        self.machine.level = max(LEVELS.values()) if level is None else level
        self.commands = commands
        self.checked = checked
        self.now = now

    def batch(self, *requests):
        return self._told(self.machine.apply(entry(self.machine.applied + 1, *requests, time_ms=self.now)).replies)

    def write(self, *command):
        [reply] = self.packed(pack(command[0] if len(command) == 1 else command))
        return reply

    def packed(self, requests, count=1):
        """Apply requests that are packed already."""
        machine = self.machine
        payload = batch.encode(self.now, count, requests)
        return self._told(machine.apply(Entry(machine.applied + 1, 1, EntryKind.COMMAND, payload)).replies)

    def read(self, *command):
        return self._told(self.machine.query(words(command[0] if len(command) == 1 else command), self.now))

    def _told(self, replies):
        """Replies, none of which holds what a later command may change."""
        if self.checked:
            assert aliases(replies, self.machine.database) == [], "a reply holds something of the database's"
        return replies

    def wait(self, milliseconds):
        self.now += milliseconds

    def copy(self):
        """Another machine, restored from a snapshot of this one."""
        other = Bench(now=self.now, commands=self.commands, level=self.machine.level)
        writer = self.machine.snapshot()
        chunks = []
        while chunk := writer.next_slice(1 << 16):
            chunks.append(chunk)
        writer.close()
        other.machine.restore(chunks, self.machine.applied)
        return other
